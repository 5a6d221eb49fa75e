"""What is doubted as files: for each task a table that a person mends or goes by, and a page with the pictures."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

from pocketvision.atomic_files import replacing
from pocketvision.csv_text import csv_bytes
from pocketvision.data.audit import Audit
from pocketvision.data.samples import SPLITS, Samples
from pocketvision.errors import UsageError
from pocketvision.evaluation.doubts import Doubted, doubts_of, require_judges
from pocketvision.evaluation.images import seen_before
from pocketvision.progress import silent
from pocketvision.runtime.chained_predictor import Answering
from pocketvision.style import stylesheet
from pocketvision.tasks.doubting import Doubt

PAGE = "index.html"
SHOWN = 60
"""Pictures of each kind at most."""

_STYLE = (
    "main{max-width:80rem;margin:1rem auto;padding:0 1rem}.doubts{display:flex;flex-wrap:wrap;gap:1rem}"
    "figure{margin:0;width:240px;max-width:100%;break-inside:avoid}figure img{width:100%;height:auto;border-radius:6px}"
    "figcaption{font-size:.85rem;overflow-wrap:anywhere}"
)


def with_doubts(
    found: Audit,
    judges: Sequence[Answering],
    folder: Path,
    workers: int,
    max_pixels: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> Audit:
    """The audit, and what was doubted of its objects and masks, which is written to `folder`. Raises as require_judges,
    require_no_tables and doubts_of do."""
    found.samples.require_elsewhere(folder, "--label-problems")
    require_no_tables(folder, list(require_judges(judges, found.samples)))
    seen = [seen_before(judge.bundle, found.samples, workers, max_pixels, silent) for judge in judges]
    doubted = doubts_of(judges, seen, found.samples, max_pixels=max_pixels, on_progress=on_progress)
    return replace(found, label_problems=write_doubts(doubted, folder))


def table_of(task: str) -> str:
    """The name of a task's table."""
    return f"{task}.csv"


def require_no_tables(folder: Path, tasks: Sequence[str]) -> None:
    """Raise UsageError, before the work, where a table is there already: a person may have mended it."""
    there = [folder / table_of(task) for task in tasks if (folder / table_of(task)).exists()]
    if folder.exists() and not folder.is_dir():
        there = [folder]
    if there:
        raise UsageError(
            f"{there[0]} is there already, and what was mended is never overwritten. Name a new folder for --label-problems."
        )


def write_doubts(found: Sequence[Doubted], folder: Path) -> tuple[str, ...]:
    """A table of each task, and PAGE. Returns what was found and written, in sentences. Raises UsageError as require_no_tables
    does, OSError."""
    require_no_tables(folder, [each.task for each in found])
    folder.mkdir(parents=True, exist_ok=True)
    said: list[str] = []
    for each in found:
        with replacing(folder / table_of(each.task)) as temporary:
            temporary.write_bytes(b"".join(csv_bytes(row) for row in _table(each)))
        prefix = f"{each.task}: " if len(found) > 1 else ""
        said += [f"{prefix}{line}" for line in each.lines]
        said.append(f"{prefix}{each.doubting.mending}: {folder / table_of(each.task)}.")
    with replacing(folder / PAGE) as temporary:
        temporary.write_bytes(_page(found).encode("utf-8", "surrogateescape"))
    return *said, f"Pictures: {folder / PAGE}."


def _table(found: Doubted) -> Iterator[list[object]]:
    samples, doubting = found.samples, found.doubting
    yield ["path", *doubting.columns, *_further_names(samples)]
    told = set[int]()
    for doubt in found.doubts:
        cells = doubting.cells(doubt)
        if cells is not None:
            row = found.places[doubt.image]
            told.add(row)
            yield [samples.paths[row], *cells, *_further(samples, row)]
    for row in found.places if doubting.whole else ():
        if row not in told:
            yield [samples.paths[row], *[""] * len(doubting.columns), *_further(samples, row)]


def _further_names(samples: Samples) -> list[object]:
    return [*([] if samples.splits is None else ["split"]), *([] if samples.groups is None else ["group"])]


def _further(samples: Samples, row: int) -> list[object]:
    split = [] if samples.splits is None else [SPLITS[samples.splits[row]]]
    group = None if samples.groups is None else int(samples.groups[row])
    return [*split, *([] if group is None else ["" if group < 0 else group])]


def _page(found: Sequence[Doubted]) -> str:
    parts = "".join(_task(each, len(found) > 1) for each in found)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Labels that may be wrong</title><style>{stylesheet()}{_STYLE}</style><main><h1>Labels that may be wrong</h1>"
        f"{parts}</main></html>\n"
    )


def _task(found: Doubted, several: bool) -> str:
    said = "".join(f"<p>{escape(line)}</p>" for line in found.lines)
    head = f"<h2>{escape(found.task)}</h2>" if several else ""
    doubting = found.doubting
    mending = (
        f"<p>{escape(doubting.mending)}: <code>{escape(table_of(found.task))}</code>. {escape(doubting.legend)}</p>"
    )
    parts = []
    for kind, means in doubting.kinds.items():
        own = [each for each in found.doubts if each.kind == kind and each.likely]
        if not own:
            continue
        shown = f"{len(own):,}" if len(own) <= SHOWN else f"{SHOWN} of {len(own):,}"
        figures = "".join(_figure(found, each) for each in own[:SHOWN])
        parts.append(
            f'<section><h3>{escape(kind.capitalize())} ({shown})</h3><p>{escape(means)}</p><div class="doubts">{figures}</div>'
            "</section>"
        )
    return f"{head}{said}{mending}{''.join(parts) or '<p>Nothing.</p>'}"


def _figure(found: Doubted, doubt: Doubt) -> str:
    path = found.samples.paths[found.places[doubt.image]]
    data = found.doubting.picture(found.samples.file(found.places[doubt.image]), doubt)
    said = escape(f"{doubt.kind}: {doubt.text}")
    image = f'<img alt="{said}" src="{data}">' if data else ""
    return f"<figure>{image}<figcaption><b>{escape(doubt.text)}</b> ({doubt.doubt:.2f})<br>{escape(path)}</figcaption></figure>"
