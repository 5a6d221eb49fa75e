"""The page of two models compared: who is better, the figures of both, and the pictures on which they differ."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pocketvision.atomic_files import write_json, write_text
from pocketvision.errors import ImageError, MissingExtraError
from pocketvision.evaluation.report.texts import texts
from pocketvision.evaluation.versus import Difference, Duel, Versus
from pocketvision.preprocessing import decode
from pocketvision.printable import printable
from pocketvision.runtime.chained_predictor import Answering
from pocketvision.style import stylesheet
from pocketvision.tasks.canvas import Canvas
from pocketvision.tasks.catalog import task_named
from pocketvision.tasks.reporting.formats import bound, figure, percent

PAGE, FIGURES = "compare.html", "compare.json"
PICTURES_SHOWN = 24
SIDE = 280
_TEMPLATES = Path(__file__).parent / "templates"
_LEFT_OUT = ("images", "positive", "average", "mistake_count", "objects", "pixels", "unit")


@dataclass(frozen=True)
class Shown:
    """A difference with the answers of both: in words, and drawn on the picture as data URIs; None where it is gone."""

    difference: Difference
    answers: tuple[str, str]
    pictures: tuple[str | None, ...]


def write_versus(
    folder: Path, found: Versus, models: tuple[Answering, Answering], root: Path, lang: str = "en"
) -> Path:
    """compare.html and compare.json in `folder`. models: A and B, in the detail that is drawn. root: where paths start. Returns
    the page's path. Raises UsageError for an unknown language, MissingExtraError without Jinja, OSError."""
    page = render_versus(found, models, root, lang)
    write_json(folder / FIGURES, found.to_dict())
    write_text(folder / PAGE, page)
    return folder / PAGE


def render_versus(found: Versus, models: tuple[Answering, Answering], root: Path, lang: str = "en") -> str:
    """The page as HTML, with nothing loaded from elsewhere."""
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise MissingExtraError("A page", "train") from error
    from markupsafe import Markup

    table = texts(lang)
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
    )
    environment.filters.update(percent=percent, bound=bound, figure=figure)
    return environment.get_template("compare.html.j2").render(
        found=found,
        lang=lang,
        style=Markup(stylesheet()),
        t=lambda key, **values: table[key].format(**values),
        told={name: _told(duel, table) for name, duel in found.duels.items()},
        rows={name: _rows(duel) for name, duel in found.duels.items()},
        shown={name: _shown(name, duel, models, root) for name, duel in found.duels.items()},
    )


def _rows(duel: Duel) -> list[tuple[str, str, str]]:
    """Each figure that both have, in words: its name, A's and B's with their intervals."""
    a, b = (each.metrics.to_dict() for each in (duel.a, duel.b))
    names = [
        name
        for name, value in a.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in _LEFT_OUT and name in b
    ]
    return [(_in_words(name), _cell(name, a), _cell(name, b)) for name in names]


def _in_words(name: str) -> str:
    """As in "AP50 small" of ap50_small."""
    first, *further = name.split("_")
    known = {"miou": "mIoU", "map": "mAP", "r2": "R²", "mae": "MAE", "rmse": "RMSE", "roc": "ROC"}
    head = known.get(first) or (first.upper() if first.rstrip("0123456789") in ("ap", "ar", "f") else first)
    return " ".join([head, *("F1" if each == "f1" else "AUC" if each == "auc" else each for each in further)])


def _told(duel: Duel, table: Mapping[str, str]) -> str:
    """The figures of the verdict, in the page's language."""
    one, other, interval = duel.a.metrics.headline, duel.b.metrics.headline, duel.interval
    figures = {"name": one.name, "a": f"{one.value:.1%}", "b": f"{other.value:.1%}", "gain": f"{duel.gain:+.2f}"}
    parts = [table["compare.told"].format(**figures)]
    if interval is not None:
        parts.append(f"(95 %: {interval.low:+.2f} – {interval.high:+.2f})")
    if duel.p is not None:
        parts.append(f"p = {duel.p:.2g}")
    return ", ".join([" ".join(parts[:2]), *parts[2:]]) if interval is not None else ", ".join(parts)


def _cell(name: str, figures: Mapping[str, Any]) -> str:
    value, interval = figures[name], figures.get("intervals", {}).get(name)
    if value is None:
        return "–"
    bounds = "" if interval is None else f" ({interval[0]:.3f} – {interval[1]:.3f})"
    return f"{value:.3f}{bounds}"


def _shown(task: str, duel: Duel, models: tuple[Answering, Answering], root: Path) -> list[Shown]:
    found = []
    for difference in duel.differences[:PICTURES_SHOWN]:
        path = root / difference.path
        try:
            pixels = np.asarray(decode(path, white_level=None))
            answers = [_own(task, duel.a.task.kind, model.answers(path)) for model in models]
        except ImageError:
            found.append(Shown(difference, ("", ""), (None, None)))
            continue
        kind = task_named(duel.a.task.kind)
        drawn = [pixels]
        if kind.in_pixels or kind.places is not None:
            drawn = [_drawn(kind.draw, pixels, each) for each in answers]
        words = (answers[0].headline, answers[1].headline)
        found.append(Shown(difference, words, tuple(map(_data, drawn))))
    return found


def _own(task: str, kind: str, answers: Mapping[str, Any]) -> Any:
    return answers[task] if task in answers else next(each for each in answers.values() if each.kind == kind)


def _drawn(draw: Any, pixels: Any, answer: Any) -> Any:
    canvas = Canvas(pixels, latin=False)
    draw(canvas, answer)
    return canvas.finished()


def _data(pixels: Any) -> str:
    image, written = Image.fromarray(pixels), io.BytesIO()
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    image.save(written, "WEBP", quality=76)
    return "data:image/webp;base64," + base64.b64encode(written.getvalue()).decode("ascii")
