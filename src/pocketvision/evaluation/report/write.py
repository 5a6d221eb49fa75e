"""Writes a run's report: the page, the figures, the history and the plots, each whole or not at all."""

import csv
import io
from pathlib import Path

from pocketvision.atomic_files import write_json, write_text
from pocketvision.evaluation.report.figures import can_write, write_plots
from pocketvision.evaluation.report.record import HISTORY_COLUMNS, RunRecord, epoch_to_dict
from pocketvision.evaluation.report.render import render_report
from pocketvision.evaluation.report.texts import texts

REPORT = "report.html"
METRICS = "metrics.json"
HISTORY = "history.csv"
PLOTS = "plots"


def write_report(folder: Path, record: RunRecord, lang: str = "en") -> Path:
    """Write `record` to `folder`: report.html, metrics.json, history.csv (when there is a history) and plots/*.png.

    The plots speak `lang` where this machine has the fonts for it, else English. Returns the path of report.html.
    Raises UsageError for an unknown language, MissingExtraError, OSError.
    """
    table = texts(lang)
    page = render_report(record, lang)
    if not can_write("".join(table[key] for key in table if key.startswith("chart."))):
        table = texts("en")
    write_json(folder / METRICS, record.to_dict())
    if record.history:
        write_text(folder / HISTORY, _history(record))
    write_plots(folder / PLOTS, record, lambda key, **values: table[key].format(**values))
    write_text(folder / REPORT, page)
    return folder / REPORT


def _history(record: RunRecord) -> str:
    """One row an epoch, with Unix line ends."""
    written = io.StringIO()
    rows = csv.DictWriter(written, HISTORY_COLUMNS, lineterminator="\n")
    rows.writeheader()
    rows.writerows(epoch_to_dict(epoch) for epoch in record.history)
    return written.getvalue()
