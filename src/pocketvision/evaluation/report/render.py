"""The report as one HTML page: nothing is loaded from elsewhere, and everything that comes from data is escaped."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketvision.data.finding import KINDS
from pocketvision.errors import MissingExtraError
from pocketvision.evaluation.evaluation import Evaluation
from pocketvision.evaluation.overlap import Overlap
from pocketvision.evaluation.report import suspects
from pocketvision.evaluation.report.advice import what_next
from pocketvision.evaluation.report.figures import page_charts
from pocketvision.evaluation.report.formats import agreement, duration, of_any_phase, setting, size
from pocketvision.evaluation.report.plots import learning_charts, pace_charts, robustness_charts
from pocketvision.evaluation.report.record import RunRecord
from pocketvision.evaluation.report.repeating import beside
from pocketvision.evaluation.report.texts import texts
from pocketvision.printable import printable
from pocketvision.style import stylesheet
from pocketvision.tasks.measuring import TaskEvaluation
from pocketvision.tasks.reporting.charts import Translate
from pocketvision.tasks.reporting.formats import bound, figure, percent
from pocketvision.tasks.reporting.parts import Advice, Column, Subject, TaskReport
from pocketvision.tasks.reporting.thumbnails import thumbnail

if TYPE_CHECKING:
    from jinja2 import Environment

FILES_SHOWN = 20
_TEMPLATES = Path(__file__).parent / "templates"
_FOLDED = ("recipe", "bundle", "timings")


@dataclass(frozen=True)
class Entry:
    """A section as the page has it. title: in the contents. html: None where it is one of the page's own templates, by its id."""

    id: str
    title: str
    html: str | None = None


@dataclass(frozen=True)
class Part:
    """What a task brought. t: its texts. columns, headline, entries: see TaskReport."""

    name: str
    evaluation: TaskEvaluation
    t: Translate
    columns: tuple[Column, ...]
    headline: str
    entries: tuple[Entry, ...]
    advice: tuple[Advice, ...]


@dataclass(frozen=True)
class BannerLine:
    """A kind of finding that spoils the model or its figures, and how many there are."""

    kind: str
    count: int


def render_report(record: RunRecord, lang: str = "en") -> str:
    """The page of `record` in `lang` ("en" or "ko").

    Raises UsageError for another language, MissingExtraError without Jinja or matplotlib.
    """
    table = texts(lang)
    environment, shared = _environment((), record), _shared(record, table)
    from markupsafe import Markup

    watched = texts(lang, record.watched.folder)
    worse = robustness_charts(record)
    own = page_charts({**learning_charts(record), **pace_charts(record), **worse}, _drawn(watched))
    parts = [
        _part(name, *part, record, lang, shared) for name, part in zip(record.main.tasks, record.parts, strict=True)
    ]
    sections = _sections(record, parts, shared["t"])
    links = {"suspects", *(each.id for each in sections)}
    links.update(re.findall(r'\bid="([^"]+)"', "".join(each.html or "" for each in sections)))
    advice = what_next(record)
    return environment.get_template("report.html.j2").render(
        **shared,
        lang=lang,
        style=Markup(stylesheet()),
        sections=sections,
        parts=parts,
        learned=_translator(watched),
        folded=_FOLDED,
        charts={name: Markup(svg) for name, svg in own.items()},
        robustness=list(worse),
        recipe=_settings(record, table),
        duration=lambda seconds: duration(seconds, table),
        advice=[(next((part.t for part in parts if item in part.advice), shared["t"]), item) for item in advice],
        anchors=links,
        agreement_columns=list(dict.fromkeys(name for row in (record.agreement or {}).values() for name in row)),
        agreement=agreement,
        **_findings(record),
    )


def _part(
    name: str, subject: Subject, report: TaskReport, record: RunRecord, lang: str, shared: Mapping[str, Any]
) -> Part:
    """A task's headline and sections, from its own templates and texts."""
    from markupsafe import Markup

    table, environment = texts(lang, report.folder), _environment((report.folder / "templates",), record)
    t, whose = _translator(table), f"{name} · " if subject.prefix else ""
    values = {
        **shared,
        **report.values(subject),
        "t": t,
        "evaluation": subject.evaluation,
        "metrics": subject.evaluation.metrics,
        "task": subject.evaluation.task,
        "prefix": subject.prefix,
        "whose": name if subject.prefix else None,
    }
    entries = []
    for section in report.sections(subject):
        identifier = f"{subject.prefix}{section.name}"
        drawn = {f"{subject.prefix}{each}": draw for each, draw in section.charts.items()}
        charts = {each: Markup(svg) for each, svg in page_charts(drawn, _drawn(table)).items()}
        heading, title = (f"{whose}{t(f'{group}.{section.name}')}" for group in ("section", "nav"))
        template = environment.get_template(f"section_{section.name}.html.j2")
        html = template.render(**values, id=identifier, heading=heading, charts=charts)
        entries.append(Entry(identifier, title, Markup(html)))
    return Part(
        name=name,
        evaluation=subject.evaluation,
        t=t,
        columns=report.columns,
        headline=Markup(environment.get_template("headline.html.j2").render(**values)),
        entries=tuple(entries),
        advice=tuple(report.advice(subject, record)),
    )


def _shared(record: RunRecord, table: Mapping[str, str]) -> dict[str, Any]:
    """What the page's templates and those of the tasks read."""
    return {
        "record": record,
        "main": record.main,
        "overlap": _overlap(record.main),
        "t": _translator(table),
        "named": lambda group, name: table.get(f"{group}.{name}", name),
        "role": _role,
        "with_interval": lambda headline: "–" if headline is None else headline.text,
    }


def _translator(table: Mapping[str, str]) -> Translate:
    """To a text with its values, which are escaped; the text itself is ours."""
    from markupsafe import Markup

    def translate(key: str, **values: object) -> str:
        return Markup(table[key]).format(**{name: _shown(value) for name, value in values.items()})

    return translate


def _drawn(table: Mapping[str, str]) -> Translate:
    """The same for charts, where nothing is markup."""
    return lambda key, **values: table[key].format(**values)


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


def _environment(task: Sequence[Path], record: RunRecord) -> "Environment":
    """task: where its templates are looked for before the page's."""
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise MissingExtraError("A report", "train") from error
    environment = Environment(
        loader=FileSystemLoader([*task, _TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.globals.update(
        looked_at=record.looking,
        believed=record.looking.believed,
        repeated_by=lambda section: beside(section, record.command, record.bundle, record.repeats),
    )
    environment.filters.update(percent=percent, bound=bound, figure=figure, size=size)
    return environment


def _shown(value: object) -> object:
    """Text from data on one line; markup is ours."""
    from markupsafe import Markup

    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _sections(record: RunRecord, parts: Sequence[Part], t: Translate) -> list[Entry]:
    """The sections that `record` has something for, in the page's order."""
    there = {
        "learning": bool(record.history),
        "slices": "slices" in record.main.further,
        "robustness": "robustness" in record.main.further,
        "audit": record.audit is not None,
        "split": bool(record.classes),
        "recipe": bool(record.recipe),
        "bundle": bool(record.bundle or record.agreement or record.sizes),
        "timings": bool(record.timings),
    }
    return [
        *([Entry("evaluations", t("nav.evaluations"))] if len(record.evaluations) > 1 else []),
        *(entry for part in parts for entry in part.entries),
        *(Entry(name, "" if name in _FOLDED else t(f"nav.{name}")) for name, present in there.items() if present),
    ]


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


def _settings(record: RunRecord, table: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Every setting by path with its name, in the report's language where there is one, and the value that was used."""
    recipe = {**(record.recipe or {}), **(record.used or {})}
    meanings = record.meanings or {}
    return [
        (path, table.get(f"recipe.{of_any_phase(path)}", meanings.get(path, path)), setting(path, value, table))
        for path, value in recipe.items()
    ]
