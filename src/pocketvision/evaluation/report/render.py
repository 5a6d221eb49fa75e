"""The report as one HTML page: nothing is loaded from elsewhere, and everything that comes from data is escaped."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pocketvision.errors import MissingExtraError
from pocketvision.evaluation.classification_metrics import ClassificationMetrics
from pocketvision.evaluation.evaluate import Evaluation
from pocketvision.evaluation.intervals import Interval
from pocketvision.evaluation.report.figures import page_charts
from pocketvision.evaluation.report.record import PlainValue, RunRecord
from pocketvision.evaluation.report.texts import texts
from pocketvision.evaluation.report.thumbnails import thumbnail
from pocketvision.printable import printable

if TYPE_CHECKING:
    from jinja2 import Environment

MISTAKES_SHOWN = 24
CONFUSIONS_SHOWN = 10
FILES_SHOWN = 20
# A larger matrix is not readable as a table; the page shows the most frequent confusions then.
LARGEST_MATRIX = 25
_TEMPLATES = Path(__file__).parent / "templates"
_NO_VALUE = "–"
# The figures that have intervals, in the page's order.
_INTERVALS = ("accuracy", "balanced_accuracy", "f1", "precision", "recall", "macro_f1", "roc_auc")


@dataclass(frozen=True)
class Confusion:
    """How often images of the class `true` were answered `predicted`; share is of the true class's images."""

    true: str
    predicted: str
    count: int
    share: float


@dataclass(frozen=True)
class IntervalRow:
    """A figure with its interval; method is a key of the texts: "wilson" or "bootstrap"."""

    name: str
    value: float
    interval: Interval | None
    method: str


def render_report(record: RunRecord, lang: str = "en") -> str:
    """The page of `record` in `lang` ("en" or "ko").

    Raises UsageError for another language, MissingExtraError without Jinja or matplotlib.
    """
    table, environment = texts(lang), _environment()
    from markupsafe import Markup

    def translate(key: str, **values: object) -> str:
        """A text with its values, which are escaped; the text itself is ours."""
        return Markup(table[key]).format(**{name: _shown(value) for name, value in values.items()})

    main = record.main
    charts = page_charts(record, lambda key, **values: table[key].format(**values))
    mistakes = main.mistakes[:MISTAKES_SHOWN]
    return environment.get_template("report.html.j2").render(
        record=record,
        main=main,
        lang=lang,
        t=translate,
        named=lambda group, name: table.get(f"{group}.{name}", name),
        standing=_standing,
        sections=_sections(record),
        charts={name: Markup(svg) for name, svg in charts.items()},
        baseline=_baseline(main.metrics),
        intervals=_interval_rows(main.metrics),
        confusions=_confusions(main.metrics),
        mistakes=[(mistake, thumbnail(main.root / mistake.path)) for mistake in mistakes],
        small_matrix=len(main.class_names) <= LARGEST_MATRIX,
        files_shown=FILES_SHOWN,
        recipe=[(name, _setting(value, table)) for name, value in (record.recipe or {}).items()],
        agreement_columns=list(dict.fromkeys(name for row in (record.agreement or {}).values() for name in row)),
        agreement=_agreement,
        duration=lambda seconds: _duration(seconds, table),
    )


def _environment() -> "Environment":
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise MissingExtraError("A report", "train") from error
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters.update(percent=_percent, figure=_figure, size=_size)
    return environment


def _shown(value: object) -> object:
    """Text from data on one line; markup is ours."""
    from markupsafe import Markup

    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _sections(record: RunRecord) -> list[str]:
    """The ids of the sections that `record` has something for, in the page's order."""
    main = record.main
    there = {
        "evaluations": len(record.evaluations) > 1,
        "confusion": True,
        "classes": True,
        "mistakes": bool(main.mistakes),
        "curves": bool(main.metrics.roc_curves),
        "calibration": True,
        "intervals": True,
        "learning": bool(record.history),
        "recipe": bool(record.recipe),
        "audit": record.audit is not None,
        "split": bool(record.classes),
        "bundle": bool(record.bundle or record.agreement or record.sizes),
        "timings": bool(record.timings),
    }
    return [section for section, present in there.items() if present]


def _standing(evaluation: Evaluation) -> str:
    """What its images were to the training, as a key of the texts."""
    return {True: "selection", False: "untouched", None: "given"}[evaluation.selection]


def _baseline(metrics: ClassificationMetrics) -> Confusion:
    """The most frequent class and its share of the images: what a model that always answers it would get right."""
    largest = max(metrics.per_class, key=lambda figures: figures.support)
    return Confusion(largest.name, largest.name, largest.support, largest.support / metrics.images)


def _interval_rows(metrics: ClassificationMetrics) -> list[IntervalRow]:
    shares = {"accuracy"} if metrics.positive is None else {"accuracy", "precision", "recall"}
    rows = [
        IntervalRow(name, value, metrics.intervals.get(name), "wilson" if name in shares else "bootstrap")
        for name in _INTERVALS
        if (value := getattr(metrics, name)) is not None
    ]
    # With more than two classes the macro averages stand as f1 and recall already.
    return [row for row in rows if metrics.positive is not None or row.name not in ("macro_f1", "balanced_accuracy")]


def _confusions(metrics: ClassificationMetrics) -> list[Confusion]:
    """The most frequent confusions of two classes."""
    wrong = metrics.confusion_matrix.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSIONS_SHOWN]
    rows, columns = np.unravel_index(order, wrong.shape)
    names, figures = metrics.class_names, metrics.per_class
    return [
        Confusion(names[row], names[column], int(wrong[row, column]), wrong[row, column] / figures[row].support)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        if wrong[row, column]
    ]


def _setting(value: PlainValue, table: Mapping[str, str]) -> str:
    """A recipe's value as a reader writes it."""
    if value is None:
        return table["value.none"]
    if isinstance(value, bool):
        return table["value.yes" if value else "value.no"]
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {number:g}" for name, number in value.items())
    return value if isinstance(value, str) else ", ".join(value)


def _agreement(name: str, figures: Mapping[str, float]) -> str:
    value = figures.get(name)
    if value is None:
        return _NO_VALUE
    if name == "top1_agreement":
        return _percent(value)
    return f"{value:,.0f}" if name == "images" else f"{value:.1e}"


def _percent(share: float | None) -> str:
    return _NO_VALUE if share is None else f"{share * 100:.1f}%"


def _figure(value: float | None) -> str:
    return _NO_VALUE if value is None else f"{value:.3f}"


def _size(size: int) -> str:
    """Bytes in the unit that a reader would choose."""
    amount, unit = float(size), "B"
    for larger in ("kB", "MB", "GB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{size:,} B" if unit == "B" else f"{amount:.1f} {unit}"


def _duration(seconds: float, table: Mapping[str, str]) -> str:
    """Seconds, or minutes and seconds, or hours and minutes, in words."""
    if seconds < 60:
        return table["duration.seconds"].format(seconds=seconds)
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return table["duration.minutes"].format(minutes=minutes, seconds=rest)
    return table["duration.hours"].format(hours=minutes // 60, minutes=minutes % 60)
