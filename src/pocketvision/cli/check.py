"""`pocketvision check`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketvision.cli.display import TrainingDisplay, write_json_option
from pocketvision.cli.options import (
    BoxColumns,
    Download,
    Format,
    GroupColumn,
    Ignore,
    Images,
    JsonFile,
    LabelColumn,
    Labels,
    MaxPixels,
    MinPerClass,
    PathColumn,
    Root,
    SplitColumn,
    TaskKind,
    Workers,
    parse_labels,
    parse_names,
)
from pocketvision.cli.terminal import stdout, styled
from pocketvision.printable import counted

if TYPE_CHECKING:
    from pocketvision.data.audit import Audit
    from pocketvision.data.boxes.changes import Changes

# Lines of the table on the terminal; --json has everything.
SHOWN_KINDS, SHOWN_FILES = 20, 10
PICTURES_LEFT_OUT = ("heic", "other_format", "outside", "no_permission")
COLOURS = {"error": "red", "warning": "yellow", "note": "dim"}


def check(
    data: Annotated[
        Path,
        typer.Argument(
            help="An image folder (DATA/class/*.jpg), a CSV or Parquet table, or pictures with boxes (COCO, YOLO, VOC …)."
        ),
    ],
    after: Annotated[
        Path | None,
        typer.Argument(help="The same pictures with other boxes: tell what is new, gone, moved and renamed there."),
    ] = None,
    labels: Labels = None,
    format: Format = None,
    task: TaskKind = None,
    path_column: PathColumn = "path",
    label_column: LabelColumn = "label",
    split_column: SplitColumn = "split",
    group_column: GroupColumn = "group",
    box_columns: BoxColumns = None,
    images: Images = None,
    ignore: Ignore = None,
    root: Root = None,
    download: Download = False,
    min_per_class: MinPerClass = 1,
    workers: Workers = 2,
    max_pixels: MaxPixels = 50_000_000,
    groups: Annotated[
        bool,
        typer.Option(
            "--groups", help="Find pictures of the same object, person or scene, and how far validation flatters."
        ),
    ] = False,
    label_problems: Annotated[
        Path | None,
        typer.Option(
            "--label-problems",
            metavar="FOLDER",
            help="Find labels that are likely wrong: a table to mend and a page with the pictures, in FOLDER.",
        ),
    ] = None,
    bundle: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BUNDLE",
            help="With --label-problems: what judges boxes and masks; repeatable, each image is judged by one that has not "
            "learned from it.",
        ),
    ] = None,
    json: JsonFile = None,
) -> None:
    """Audit images before training: broken files, duplicates, leaks between splits, imbalance.

    Exit code 0: clean; 1: something would hurt a training or its figures; 2: wrong use.

    Examples:

        pocketvision check photos/

        pocketvision check samples.csv --json audit.json

        pocketvision check photos/ --groups

        pocketvision check photos/ --label-problems suspicious/

        pocketvision check boxes.csv --label-problems suspicious/ --bundle runs/one-half --bundle runs/other-half

        pocketvision check to-correct/ corrected/
    """
    if after is not None:
        from pocketvision.workflows.changes import changes as run_changes

        _compare(
            run_changes(
                data,
                after,
                format=format,
                path_column=path_column,
                label_column=label_column,
                box_columns=parse_names(box_columns),
                images=images,
            ),
            json,
        )
        return
    from pocketvision.progress import Counted
    from pocketvision.workflows.check import check as run_check

    with TrainingDisplay() as display:
        audit = run_check(
            data,
            labels=parse_labels(labels),
            format=format,
            task=task,
            path_column=path_column,
            label_column=label_column,
            split_column=split_column,
            group_column=group_column,
            box_columns=parse_names(box_columns),
            images=images,
            ignore=ignore,
            root=root,
            download=download,
            min_per_class=min_per_class,
            workers=workers,
            max_pixels=max_pixels,
            groups=groups,
            label_problems=label_problems,
            bundle=bundle,
            on_progress=lambda done, total: display(Counted("audit", done, total)),
        )
    write_json_option(json, audit.to_dict())
    if json is None or str(json) != "-":
        _print_findings(audit)
        for line in () if audit.flattery is None else audit.flattery.lines:
            stdout().print(line, soft_wrap=True)
        for line in audit.label_problems:
            stdout().print(line, soft_wrap=True)
    if audit.hurts:
        raise typer.Exit(1)


def _compare(found: "Changes", json: Path | None) -> None:
    """A line for each kind of change, with an example, and how each class fared."""
    from rich.table import Table

    write_json_option(json, found.to_dict())
    if str(json) == "-":
        return
    console = stdout()
    for line in found.lines:
        console.print(line, soft_wrap=True)
    table = Table("Change", "Count", "Example", box=None, header_style="bold")
    table.columns[1].justify = "right"
    for kind, count in found.counts.items():
        table.add_row(kind, f"{count:,}", found.examples[kind].text if kind in found.examples else "")
    console.print(table)
    by_class = Table("Class", "Kept", *(kind.capitalize() for kind in found.counts), box=None, header_style="bold")
    for name, counts in found.by_class.items():
        by_class.add_row(name, *(f"{count:,}" for count in counts.values()))
    console.print()
    console.print(by_class)


def _print_findings(audit: "Audit") -> None:
    """What was looked at, a line for each kind of finding, and the files with the most findings."""
    from rich.table import Table

    console = stdout()
    images, readable = counted(len(audit.samples), "image"), int(audit.readable.sum())
    classes = counted(len(audit.samples.class_names), "class")
    console.print(f"{images}{f' in {classes}' if audit.samples.class_names else ''}, {readable} readable")
    for line in audit.samples.account:
        console.print(line, soft_wrap=True)
    if not audit.findings:
        left = any(each.reason in PICTURES_LEFT_OUT for each in audit.samples.left_out)
        console.print("Nothing found in what was read." if left else styled("Clean: nothing found.", "green"))
        return
    table = Table("Finding", "Count", "Example", box=None, header_style="bold")
    table.columns[1].justify = "right"
    for kind, count in list(audit.counts.items())[:SHOWN_KINDS]:
        first = next(finding for finding in audit.findings if finding.kind == kind)
        example = f"{', '.join(first.files[:2])}: {first.message}" if first.files else first.message
        colour = COLOURS[first.severity]
        table.add_row(styled(kind.replace("_", " "), colour), str(count), example)
    console.print(table)
    worst = Table("Worst files", "Findings", box=None, header_style="bold")
    for file, kinds in audit.worst_files(SHOWN_FILES):
        worst.add_row(file, ", ".join(kind.replace("_", " ") for kind in kinds))
    if worst.row_count:
        console.print()
        console.print(worst)
    console.print()
    console.print(
        "This would hurt a training or its figures." if audit.hurts else "Nothing that would hurt a training."
    )
