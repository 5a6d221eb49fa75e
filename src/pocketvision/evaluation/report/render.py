"""The report as one HTML page: nothing is loaded from elsewhere, and everything that comes from data is escaped."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketvision.data.findings import KINDS
from pocketvision.errors import MissingExtraError
from pocketvision.evaluation.evaluation import Evaluation
from pocketvision.evaluation.overlap import Overlap
from pocketvision.evaluation.report import suspects
from pocketvision.evaluation.report.advice import SURE, what_next
from pocketvision.evaluation.report.confusions import Confusion, anchor, confusions, worst_first
from pocketvision.evaluation.report.figures import page_charts
from pocketvision.evaluation.report.formats import agreement, bound, duration, figure, percent, setting, size
from pocketvision.evaluation.report.record import RunRecord
from pocketvision.evaluation.report.texts import texts
from pocketvision.evaluation.report.thumbnails import thumbnail
from pocketvision.printable import printable
from pocketvision.statistics import Interval
from pocketvision.style import stylesheet
from pocketvision.tasks.classification.coverage import coverage
from pocketvision.tasks.classification.metrics import ClassificationMetrics
from pocketvision.tasks.classification.mistakes import Mistake

if TYPE_CHECKING:
    from jinja2 import Environment

PICTURES_SHOWN = 48
PICTURES_IN_A_GROUP = 6
CONFUSIONS_SHOWN = 10
FILES_SHOWN = 20
# A larger matrix is not readable as a table; the page shows the most frequent confusions then, and no more groups than this.
LARGEST_MATRIX = 25
GROUPS_SHOWN = 40
# The threshold that the page puts into words.
_QUOTED_THRESHOLD = 0.8
_TEMPLATES = Path(__file__).parent / "templates"
# The figures that have intervals, in the page's order.
_INTERVALS = ("accuracy", "balanced_accuracy", "f1", "precision", "recall", "macro_f1", "roc_auc")
_FOLDED = ("recipe", "bundle", "timings")


@dataclass(frozen=True)
class IntervalRow:
    """A figure with its interval; method is a key of the texts: "wilson" or "bootstrap"."""

    name: str
    value: float
    interval: Interval | None
    method: str


@dataclass(frozen=True)
class Group:
    """A confusion as the page shows it: some of its mistakes as pictures (None when a file is gone), the rest by name."""

    confusion: Confusion
    pictures: tuple[tuple[Mistake, str | None], ...]
    rest: tuple[Mistake, ...]


@dataclass(frozen=True)
class BannerLine:
    """A kind of finding that spoils the model or its figures, and how many there are."""

    kind: str
    count: int


def render_report(record: RunRecord, lang: str = "en") -> str:
    """The page of `record` in `lang` ("en" or "ko").

    Raises UsageError for another language, MissingExtraError without Jinja or matplotlib.
    """
    table, environment = texts(lang), _environment()
    from markupsafe import Markup

    def translate(key: str, **values: object) -> str:
        """A text with its values, which are escaped; the text itself is ours."""
        return Markup(table[key]).format(**{name: _shown(value) for name, value in values.items()})

    charts = page_charts(record, lambda key, **values: table[key].format(**values))
    return environment.get_template("report.html.j2").render(
        record=record,
        lang=lang,
        t=translate,
        named=lambda group, name: table.get(f"{group}.{name}", name),
        role=_role,
        style=Markup(stylesheet()),
        sections=_sections(record),
        folded=_FOLDED,
        charts={name: Markup(svg) for name, svg in charts.items()},
        recipe=_settings(record, table),
        duration=lambda seconds: duration(seconds, table),
        **_findings(record),
        **_figures(record),
    )


def _figures(record: RunRecord) -> dict[str, Any]:
    """What the page shows of the main evaluation."""
    main = record.main
    confused = confusions(main)
    groups = _groups(main, confused)
    rows = coverage(main.probabilities, main.labels)
    return {
        "main": main,
        "overlap": _overlap(main),
        "advice": what_next(record, confused),
        "baseline": max(main.metrics.per_class, key=lambda figures: figures.support),
        "intervals": _interval_rows(main.metrics),
        "confusions": confused[:CONFUSIONS_SHOWN],
        "groups": groups,
        "anchors": {"suspects", *_sections(record), *(group.confusion.id for group in groups)},
        "anchor": anchor,
        "sure": SURE,
        "small_matrix": len(main.class_names) <= LARGEST_MATRIX,
        "classes": worst_first(main.metrics),
        "coverage": rows,
        "quoted": next(row for row in rows if row.threshold == _QUOTED_THRESHOLD),
        "agreement_columns": list(dict.fromkeys(name for row in (record.agreement or {}).values() for name in row)),
        "agreement": agreement,
    }


def _findings(record: RunRecord) -> dict[str, Any]:
    """What the page shows of the data: the banner, and the suspects as pictures."""
    found = record.audit.suspects if record.audit is not None else None
    groups = () if found is None else found.groups
    pictures = (
        {}
        if found is None
        else {picture.path: thumbnail(found.root / picture.path) for group in groups for picture in group.pictures}
    )
    banner = _banner(record)
    return {
        "banner": banner,
        "banner_is_error": any(KINDS.get(line.kind, "error") == "error" for line in banner),
        "suspects": found,
        "suspect_pictures": pictures,
        "files_shown": FILES_SHOWN,
    }


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
    environment.filters.update(percent=percent, bound=bound, figure=figure, size=size)
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
        "mistakes": bool(main.mistakes),
        "classes": True,
        "coverage": True,
        "calibration": True,
        "curves": bool(main.metrics.roc_curves),
        "intervals": True,
        "learning": bool(record.history),
        "audit": record.audit is not None,
        "split": bool(record.classes),
        "recipe": bool(record.recipe),
        "bundle": bool(record.bundle or record.agreement or record.sizes),
        "timings": bool(record.timings),
    }
    return [section for section, present in there.items() if present]


def _role(evaluation: Evaluation) -> str:
    """What its images were to the training, as a key of the texts."""
    if evaluation.role == "given":
        return "given" if evaluation.overlap is None else "unseen"
    return "untouched" if evaluation.role == "test" else evaluation.role


def _overlap(evaluation: Evaluation) -> Overlap | None:
    """What of its images the model had seen, where there is something to be said of them."""
    overlap = evaluation.overlap
    # Images that chose the epoch are said to have done so; there is nothing to add unless some were learned from.
    if overlap is None or not overlap.seen or (evaluation.role == "selection" and not overlap.left_out):
        return None
    return overlap


def _banner(record: RunRecord) -> tuple[BannerLine, ...]:
    """The findings that spoil a model or its figures, the worst first; without an audit, what the evaluation itself found."""
    if record.audit is None:
        overlap, unreadable = _overlap(record.main), len(record.main.unreadable)
        lines = (BannerLine("learned_from", overlap.seen if overlap else 0), BannerLine("unreadable", unreadable))
        return tuple(line for line in lines if line.count)
    rank = {kind: place for place, kind in enumerate(KINDS)}
    spoiling = [each for each in record.audit.findings if each.severity == "error" or each.kind in suspects.KINDS]
    spoiling.sort(key=lambda each: rank.get(each.kind, len(rank)))
    return tuple(BannerLine(each.kind, each.count) for each in spoiling)


def _interval_rows(metrics: ClassificationMetrics) -> list[IntervalRow]:
    shares = {"accuracy"} if metrics.positive is None else {"accuracy", "precision", "recall"}
    rows = [
        IntervalRow(name, value, metrics.intervals.get(name), "wilson" if name in shares else "bootstrap")
        for name in _INTERVALS
        if (value := getattr(metrics, name)) is not None
    ]
    # With more than two classes the macro averages stand as f1 and recall already.
    return [row for row in rows if metrics.positive is not None or row.name not in ("macro_f1", "balanced_accuracy")]


def _groups(main: Evaluation, confused: tuple[Confusion, ...]) -> tuple[Group, ...]:
    """Every confusion that a cell of the matrix can lead to; pictures for the most frequent, as many as a page can carry."""
    if len(main.class_names) > LARGEST_MATRIX:
        confused = confused[:GROUPS_SHOWN]
    groups, left = [], PICTURES_SHOWN
    for confusion in confused:
        shown = min(PICTURES_IN_A_GROUP, left, confusion.count)
        left -= shown
        pictures = tuple((mistake, thumbnail(main.root / mistake.path)) for mistake in confusion.mistakes[:shown])
        groups.append(Group(confusion, pictures, confusion.mistakes[shown : shown + FILES_SHOWN]))
    return tuple(groups)


def _settings(record: RunRecord, table: Mapping[str, str]) -> list[tuple[str, str]]:
    """Every setting by name with the value that was used."""
    recipe = {**(record.recipe or {}), **(record.used or {})}
    return [(name, setting(name, value, table)) for name, value in recipe.items()]
