"""Charts on their canvases: inline SVG that follows the page's colours, and PNG files on white."""

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from pocketvision.atomic_files import replacing
from pocketvision.errors import MissingExtraError
from pocketvision.evaluation.report.plots import (
    Look,
    Translate,
    draw_calibration,
    draw_confusion,
    draw_coverage,
    draw_history,
    draw_precision_recall,
    draw_probabilities,
    draw_roc,
)
from pocketvision.evaluation.report.record import RunRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Draw = Callable[["Axes", Look], None]

# Colours that stand for the page's own until the SVG is written: none of them occurs otherwise.
_PAGE_COLOURS = {
    "#00000a": "currentColor",
    "#00000b": "var(--muted)",
    "#00000c": "var(--line)",
    **{f"#0000d{number}": f"var(--series-{number})" for number in range(1, 7)},
}
# Small enough that text stays legible where a phone shows a chart 350 pixels wide.
_CHART_INCHES = (4.6, 3.3)
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


def page_charts(record: RunRecord, translate: Translate) -> dict[str, str]:
    """Every chart of the page by name, as SVG elements to put into HTML.

    Raises MissingExtraError without matplotlib.
    """
    colours = list(_PAGE_COLOURS)
    look = Look(translate, colours[0], colours[1], colours[2], tuple(colours[3:]), _fonts())
    return {name: _svg(name, draw, look) for name, draw in _charts(record).items()}


def write_plots(folder: Path, record: RunRecord, translate: Translate) -> None:
    """Write every chart as `folder`/<name>.png, whole or not at all; both learning curves are in one.

    Raises OSError, and MissingExtraError without matplotlib.
    """
    look = Look(translate, "#1c1f23", "#5b6470", "#c9ced6", _PAPER_SERIES, _fonts())
    charts = _charts(record)
    curves = [charts.pop(name) for name in ("loss", "accuracy") if name in charts]
    if curves:
        _write_png(folder / "learning_curves.png", curves, look, _CHART_INCHES)
    for name, draw in charts.items():
        _write_png(folder / f"{name}.png", [draw], look, _CHART_INCHES)
    side = min(3.6 + 0.25 * len(record.main.class_names), 14.0)
    _write_png(folder / "confusion_matrix.png", [_confusion(record)], look, (side, side))


def can_write(text: str) -> bool:
    """Whether the fonts of this machine have every character of `text`, so that a PNG can show it."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    known: set[int] = set()
    for family in _fonts():
        known.update(get_font(findfont(FontProperties(family=family))).get_charmap())
    return all(ord(character) in known for character in text)


def _charts(record: RunRecord) -> dict[str, Draw]:
    """The charts that `record` has something for, by name."""
    main = record.main
    charts: dict[str, Draw] = {}
    if record.history:
        charts["loss"] = lambda axes, look: draw_history(axes, record.history, record.chosen, "loss", look)
        charts["accuracy"] = lambda axes, look: draw_history(axes, record.history, record.chosen, "accuracy", look)
    if main.metrics.roc_curves:
        charts["roc"] = lambda axes, look: draw_roc(axes, main.metrics, look)
        charts["pr"] = lambda axes, look: draw_precision_recall(axes, main.metrics, look)
    charts["coverage"] = lambda axes, look: draw_coverage(axes, main, look)
    charts["probability_distribution"] = lambda axes, look: draw_probabilities(axes, main, look)
    charts["calibration"] = lambda axes, look: draw_calibration(axes, main.calibration, look)
    return charts


def _confusion(record: RunRecord) -> Draw:
    return lambda axes, look: draw_confusion(axes, record.main.metrics, look)


def _new_figure(draws: Sequence[Draw], look: Look, inches: tuple[float, float]) -> "Figure":
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("A report", "train") from error
    figure = Figure(figsize=(inches[0] * len(draws), inches[1]), layout="constrained", facecolor="none")
    for place, draw in enumerate(draws):
        draw(figure.add_subplot(1, len(draws), place + 1), look)
    return figure


def _write_png(path: Path, draws: Sequence[Draw], look: Look, inches: tuple[float, float]) -> None:
    with _WRITING, _no_glyph_warnings(), replacing(path) as temporary:
        figure = _new_figure(draws, look, inches)
        figure.savefig(temporary, format="png", dpi=150, facecolor="white")


def _svg(name: str, draw: Draw, look: Look) -> str:
    """One chart as an SVG element whose ids start with `name` and whose colours are the page's."""
    import matplotlib

    written = io.StringIO()
    with _WRITING, _no_glyph_warnings():
        figure = _new_figure([draw], look, _CHART_INCHES)
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
