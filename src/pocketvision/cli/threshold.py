"""`pocketvision threshold`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketvision.cli.display import TrainingDisplay, write_json_option
from pocketvision.cli.options import (
    BoxColumns,
    BundleArgument,
    DecodingWorkers,
    Format,
    GroupColumn,
    Images,
    JsonFile,
    LabelColumn,
    MaxPixels,
    PathColumn,
    Positive,
    SplitColumn,
    parse_names,
)
from pocketvision.cli.terminal import stdout
from pocketvision.printable import counted, shortened

if TYPE_CHECKING:
    from pocketvision.evaluation.deciding import ThresholdResult
    from pocketvision.statistics import Interval

MOST_CLASSES = 20
"""Rows of the table; --json has all."""

_WISHES = "Wishes (one of them)"
F1 = Annotated[bool, typer.Option("--f1", help="The best F1.", rich_help_panel=_WISHES)]
Precision = Annotated[
    float | None, typer.Option(help="At least this precision, with the best recall.", rich_help_panel=_WISHES)
]
Recall = Annotated[
    float | None, typer.Option(help="At least this recall, with the best precision.", rich_help_panel=_WISHES)
]
Cost = Annotated[
    str | None,
    typer.Option(
        help="The lowest cost: with 5:1 a miss costs as much as five false alarms.",
        metavar="MISS:ALARM",
        rich_help_panel=_WISHES,
    ),
]
At = Annotated[float | None, typer.Option(help="This threshold, from 0 to 1; needs no DATA.", rich_help_panel=_WISHES)]
OfClass = Annotated[
    str | None,
    typer.Option(
        "--class",
        help="The class that the wish is for.  [default: two classes: the positive one; more: every one]",
        metavar="NAME",
    ),
]
AbstainBelow = Annotated[
    float | None, typer.Option(help="Answers with a score below this are unsure. 0 for none.", metavar="SCORE")
]

CoverageShare = Annotated[
    float | None,
    typer.Option(
        help="Answers come with the set of classes that holds the true one in this share of images.", metavar="SHARE"
    ),
]

NoneOfThese = Annotated[
    float | None,
    typer.Option(
        help="What is unlike all that was learned is none of the classes; so are this share of ordinary images. DATA needs the "
        "training split too.",
        metavar="SHARE",
    ),
]


def threshold(
    bundle: BundleArgument,
    data: Annotated[
        Path | None, typer.Argument(help="Labelled images that choose; of data with splits its validation split.")
    ] = None,
    f1: F1 = False,
    precision: Precision = None,
    recall: Recall = None,
    cost: Cost = None,
    at: At = None,
    of_class: OfClass = None,
    positive: Positive = None,
    abstain_below: AbstainBelow = None,
    coverage: CoverageShare = None,
    none_of_these: NoneOfThese = None,
    reset: Annotated[bool, typer.Option("--reset", help="First take away what was set before.")] = False,
    task: Annotated[str | None, typer.Option(help="Which of a bundle's tasks.", metavar="NAME")] = None,
    split: Annotated[str | None, typer.Option(help="Another split of the data: train, val or test.")] = None,
    format: Format = None,
    path_column: PathColumn = "path",
    label_column: LabelColumn = "label",
    split_column: SplitColumn = "split",
    group_column: GroupColumn = "group",
    box_columns: BoxColumns = None,
    images: Images = None,
    workers: DecodingWorkers = None,
    max_pixels: MaxPixels = 50_000_000,
    json: JsonFile = None,
) -> None:
    """Choose from which probability or score on a class is answered, and write that into the bundle. Its network stays as it is.

    Images that the bundle learned from are left out. What was chosen on few images is uncertain: look at the intervals.

    Examples:

        pocketvision threshold runs/leaves runs/leaves/split.csv --recall 0.9

        pocketvision threshold runs/leaves more-photos/ --class oak --precision 0.95 --abstain-below 0.6

        pocketvision threshold runs/leaves runs/leaves/split.csv --coverage 0.9

        pocketvision threshold runs/leaves runs/leaves/split.csv --none-of-these 0.05

        pocketvision threshold runs/leaves --reset
    """
    from pocketvision.progress import Counted
    from pocketvision.workflows.threshold import threshold as run_threshold

    wishes = _wishes(of_class, {"f1": f1 or None, "precision": precision, "recall": recall, "cost": cost, "at": at})
    with TrainingDisplay() as display:
        found = run_threshold(
            bundle,
            data,
            wishes,
            positive=positive,
            abstain_below=abstain_below,
            coverage=coverage,
            none_of_these=none_of_these,
            reset=reset,
            task=task,
            format=format,
            split=split,
            path_column=path_column,
            label_column=label_column,
            split_column=split_column,
            group_column=group_column,
            box_columns=parse_names(box_columns),
            images=images,
            workers=workers,
            max_pixels=max_pixels,
            on_progress=lambda done, total: display(Counted("evaluate", done, total)),
            on_event=display,
        )
    write_json_option(json, found.to_dict())
    if str(json) != "-":
        _print(found)


def _wishes(of_class: str | None, told: dict[str, float | str | bool | None]) -> list[str]:
    """As texts (tasks/thresholds.py); the workflow says what is wrong with one."""
    from pocketvision.errors import UsageError

    named = {name: value for name, value in told.items() if value is not None}
    if len(named) > 1:
        options = ", ".join(f"--{name}" for name in named)
        raise UsageError(
            f"{options} are wishes for one threshold; keep one. Other classes have theirs in another call."
        )
    if of_class is not None and not named:
        raise UsageError(
            f"Nothing is wished for the class {of_class!r}: add --f1, --precision, --recall, --cost or --at."
        )
    before = "" if of_class is None else f"{of_class}:"
    return [f"{before}{name}" + ("" if value is True else f"={value}") for name, value in named.items()]


def _print(found: "ThresholdResult") -> None:
    from rich.table import Table

    from pocketvision.tasks.thresholds import Wish

    if found.before is not None and found.after is not None and found.chosen_for:
        before, after = found.points(found.before), found.points(found.after)
        wished = {Wish.parse(text).of for text in found.chosen_for.get("wishes", ())}
        names = [name for name in after if name in wished] or [*after]
        table = Table("", "Threshold", "Precision", "Recall", "F1", box=None, header_style="bold")
        for name in names[:MOST_CLASSES]:
            for word, point in ((name, before[name]), ("  now", after[name])):
                table.add_row(
                    shortened(word, 30),
                    f"{point.threshold:.3f}",
                    _share(point.precision, point.precision_interval),
                    _share(point.recall, point.recall_interval),
                    "–" if point.f1 is None else f"{point.f1:.3f}",
                )
        stdout().print(table)
        if len(names) > MOST_CLASSES:
            stdout().print(f"{counted(len(names) - MOST_CLASSES, 'class')} more: --json has them.")
    for line in _lines(found):
        stdout().print(line, soft_wrap=True)


def _lines(found: "ThresholdResult") -> Iterator[str]:
    if found.before is not None and found.after is not None:
        for word, each in (("Before", found.before), ("Now", found.after)):
            yield f"{word}: {each.tasks[found.task].metrics.text}"
        images, word = counted(found.after.tasks[found.task].metrics.images, "image"), found.before.word
        yield f"On {images} ({word}), which this was chosen on: new images will do somewhat worse."
        if sets := found.now.get("conformal"):
            yield (
                f"Prediction sets: the classes with a probability of {sets['least']:.3f} and more. Of new images like these, "
                f"{sets['coverage']:.0%} of the sets hold the true class. An empty set says none of these."
            )
        if found.before.overlap_text:
            yield f"  {found.before.overlap_text}"
        if novel := found.now.get("novel_from"):
            yield f"None of these: what is more novel than {novel:.0%} of ordinary images."
        if found.before.name == "test":
            yield "These images are no untouched test any more: take others to measure the bundle."
    elif found.now:
        told = {
            name: each for name, each in found.now.items() if not isinstance(each, dict) or len(each) <= MOST_CLASSES
        }
        yield "Now: " + "; ".join(f"{name.replace('_', ' ')}: {_told(each)}" for name, each in told.items())
    if not found.now:
        yield f"Now: {found.unset}."
    yield f"Bundle: {found.bundle.folder}"


def _told(value: object) -> str:
    return ", ".join(f"{name} {each:g}" for name, each in value.items()) if isinstance(value, dict) else f"{value:g}"


def _share(share: float | None, interval: "Interval | None") -> str:
    if share is None or interval is None:
        return "–"
    return f"{share:.3f} ({interval.low:.2f} to {interval.high:.2f})"
