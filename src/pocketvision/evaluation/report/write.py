"""Writes a run's report: the page, the figures, the history and the plots, each whole or not at all."""

from pathlib import Path

from pocketvision.atomic_files import write_json, write_text
from pocketvision.evaluation.report.figures import can_write, write_chart
from pocketvision.evaluation.report.model_card import CARD, model_card
from pocketvision.evaluation.report.plots import learning_charts, pace_charts, robustness_charts
from pocketvision.evaluation.report.record import RunRecord
from pocketvision.evaluation.report.render import render_report
from pocketvision.evaluation.report.texts import texts
from pocketvision.tasks.reporting.charts import Translate
from pocketvision.training.history import HISTORY, history_text

REPORT = "report.html"
METRICS = "metrics.json"
PLOTS = "plots"


def write_report(folder: Path, record: RunRecord, lang: str = "en") -> Path:
    """Write `record` to `folder`: report.html, metrics.json, history.csv (when there is a history) and plots/*.png.

    The plots speak `lang` where this machine has the fonts for it, else English. Returns the path of report.html.
    Raises UsageError for an unknown language, MissingExtraError, OSError.
    """
    page = render_report(record, lang)
    write_json(folder / METRICS, record.to_dict())
    if record.history:
        write_text(folder / HISTORY, history_text(record.history))
    _write_plots(folder / PLOTS, record, lang)
    write_text(folder / CARD, model_card(record))
    write_text(folder / REPORT, page)
    return folder / REPORT


def _write_plots(folder: Path, record: RunRecord, lang: str) -> None:
    """Both learning curves are in one file, and so are the learning rates and the time of the epochs."""
    if record.history:
        translate = _writable(lang, record.watched.folder)
        write_chart(folder / "learning_curves.png", list(learning_charts(record).values()), translate)
        write_chart(folder / "learning_pace.png", list(pace_charts(record).values()), translate)
    for name, draw in robustness_charts(record).items():
        write_chart(folder / f"{name}.png", [draw], _writable(lang, record.watched.folder))
    for subject, report in record.parts:
        translate = _writable(lang, report.folder)
        for section in report.sections(subject):
            for name, draw in section.charts.items():
                write_chart(folder / f"{subject.prefix}{name}.png", [draw], translate)
        for name, plot in report.plots(subject).items():
            write_chart(folder / f"{subject.prefix}{name}.png", [plot.draw], translate, plot.inches)


def _writable(lang: str, task: Path | None) -> Translate:
    """The texts of `lang`, or English where this machine lacks the fonts."""
    table = texts(lang, task)
    if not can_write("".join(table[key] for key in table if key.startswith("chart."))):
        table = texts("en", task)
    return lambda key, **values: table[key].format(**values)
