"""Suspicious labels as files: a table that a person mends and trains on, and a page with the pictures."""

from html import escape
from pathlib import Path

from pocketvision.atomic_files import replacing
from pocketvision.csv_text import csv_bytes
from pocketvision.errors import UsageError
from pocketvision.tasks.reporting.thumbnails import thumbnail
from pocketvision.training.label_problems import COLUMNS, LabelProblems

TABLE, PAGE = "labels.csv", "index.html"
SHOWN = 200
"""Pictures on the page at most."""
_STYLE = (
    "body{font-family:system-ui,sans-serif;margin:1rem}main{display:flex;flex-wrap:wrap;gap:1rem}"
    "figure{margin:0;width:170px}img{max-width:160px;max-height:160px}figcaption{font-size:.85rem;overflow-wrap:anywhere}"
)


def require_no_table(folder: Path) -> None:
    """Raise UsageError, before the work, where a table is there already: a person may have mended it."""
    if (folder / TABLE).exists() or (folder.exists() and not folder.is_dir()):
        there = folder / TABLE if folder.is_dir() else folder
        raise UsageError(
            f"{there} is there already, and labels that were mended are never overwritten. Name a new folder for "
            "--label-problems."
        )


def write_label_sheet(found: LabelProblems, folder: Path) -> None:
    """TABLE with every judged label, the most suspicious first, and PAGE with the first SHOWN that may be wrong. Raises
    UsageError as require_no_table does."""
    require_no_table(folder)
    folder.mkdir(parents=True, exist_ok=True)
    header: list[object] = [*COLUMNS, *([] if found.samples.splits is None else ["split"])]
    with replacing(folder / TABLE) as temporary:
        temporary.write_bytes(b"".join(csv_bytes(row) for row in (header, *found.table())))
    with replacing(folder / PAGE) as temporary:
        temporary.write_bytes(_page(found).encode("utf-8", "surrogateescape"))


def _page(found: LabelProblems) -> str:
    rows = found.table()[: min(SHOWN, found.doubtful)]
    figures = "".join(_figure(found.samples.root / str(row[0]), row) for row in rows)
    said = "".join(f"<p>{escape(line)}</p>" for line in found.lines)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Labels that may be wrong</title><style>{_STYLE}</style><h1>Labels that may be wrong</h1>{said}"
        f"<p>Mend the column label of {TABLE} where a label is wrong, and train on that table.</p><main>{figures}</main></html>\n"
    )


def _figure(file: Path, row: list[object]) -> str:
    path, label, suggested, score = (escape(str(each)) for each in row[:4])
    return (
        f'<figure><img alt="{path}" src="{thumbnail(file) or ""}"><figcaption><b>{label}</b>, rather {suggested}? ({score})<br>'
        f"{path}</figcaption></figure>"
    )
