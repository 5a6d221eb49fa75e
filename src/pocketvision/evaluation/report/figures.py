"""Charts on their canvases: inline SVG that follows the page's colours, and PNG files on white."""

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from pocketvision.atomic_files import replacing
from pocketvision.errors import MissingExtraError
from pocketvision.tasks.reporting.charts import Draw, Look, Translate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Colours that stand for the page's own until the SVG is written: none of them occurs otherwise.
_PAGE_COLOURS = {
    "#00000a": "currentColor",
    "#00000b": "var(--muted)",
    "#00000c": "var(--line)",
    **{f"#0000d{number}": f"var(--series-{number})" for number in range(1, 7)},
}
# Inches, (width, height): small enough that text stays legible where a phone shows a chart 350 pixels wide.
CHART = (4.6, 3.3)
_PAPER_SERIES = ("#2f6db3", "#b24c09", "#1b7f6b", "#8a4fbf", "#b8336a", "#7a7a1f")

# Matplotlib's own font lacks these scripts; the first that is installed fills in.
_WIDE_FONTS = (
    "Noto Sans CJK KR",
    "Noto Sans KR",
    "Malgun Gothic",
    "Apple SD Gothic Neo",
    "AppleGothic",
    "NanumGothic",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Microsoft YaHei",
    "Hiragino Sans",
    "Arial Unicode MS",
    "WenQuanYi Zen Hei",
)

# The SVG writer reads two settings from matplotlib's global ones: they are changed only while this is held.
_WRITING = Lock()


def page_charts(charts: Mapping[str, Draw], translate: Translate) -> dict[str, str]:
    """Charts of the page by name, as SVG elements to put into HTML; their ids begin with the name.

    Raises MissingExtraError without matplotlib.
    """
    colours = list(_PAGE_COLOURS)
    look = Look(translate, colours[0], colours[1], colours[2], tuple(colours[3:]), _fonts())
    return {name: _svg(name, draw, look) for name, draw in charts.items()}


def write_chart(path: Path, draws: Sequence[Draw], translate: Translate, inches: tuple[float, float] = CHART) -> None:
    """Write charts side by side as a PNG, whole or not at all. inches: (width, height) of each.

    Raises OSError, and MissingExtraError without matplotlib.
    """
    look = Look(translate, "#1c1f23", "#5b6470", "#c9ced6", _PAPER_SERIES, _fonts())
    with _WRITING, _no_glyph_warnings(), replacing(path) as temporary:
        figure = _new_figure(draws, look, inches)
        figure.savefig(temporary, format="png", dpi=150, facecolor="white")


def can_write(text: str) -> bool:
    """Whether the fonts of this machine have every character of `text`, so that a PNG can show it."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    known: set[int] = set()
    for family in _fonts():
        known.update(get_font(findfont(FontProperties(family=family))).get_charmap())
    return all(ord(character) in known for character in text)


def _new_figure(draws: Sequence[Draw], look: Look, inches: tuple[float, float]) -> "Figure":
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("A report", "train") from error
    figure = Figure(figsize=(inches[0] * len(draws), inches[1]), layout="constrained", facecolor="none")
    for place, draw in enumerate(draws):
        draw(figure.add_subplot(1, len(draws), place + 1), look)
    return figure


def _svg(name: str, draw: Draw, look: Look) -> str:
    """One chart as an SVG element whose ids start with `name` and whose colours are the page's."""
    import matplotlib

    written = io.StringIO()
    with _WRITING, _no_glyph_warnings():
        figure = _new_figure([draw], look, CHART)
        # Text stays text: the browser has the fonts for every script. The salt makes ids the same in every run.
        with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
            figure.savefig(written, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _for_page(written.getvalue(), name)


def _for_page(svg: str, name: str) -> str:
    """Fit an SVG file into a page: no prologue, size, fonts or styles of its own; the page's colours; unique ids."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'<svg[^>]*viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true">', svg, count=1)
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", svg)  # matplotlib before 3.10
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg).replace("xlink:href", "href")
    for stand_in, colour in _PAGE_COLOURS.items():
        svg = svg.replace(stand_in, colour)
    return re.sub(r"\s*\n\s*", " ", svg).strip()


@contextmanager
def _no_glyph_warnings() -> Iterator[None]:
    """Silence the warning for characters that no font has: the page's browser has them, a PNG shows boxes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


@cache
def _fonts() -> tuple[str, ...]:
    """The fonts to try for a character, in turn: matplotlib's own, then one for wide scripts if there is one."""
    from matplotlib.font_manager import fontManager

    installed = set(fontManager.get_font_names())
    return ("DejaVu Sans", *[name for name in _WIDE_FONTS if name in installed][:1])
