"""`pocketvision check`."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli.display import TrainingDisplay, stdout, write_json_option
from pocketvision.cli.options import (
    GroupColumn,
    JsonFile,
    LabelColumn,
    Labels,
    MaxPixels,
    PathColumn,
    SplitColumn,
    Workers,
    parse_labels,
)

# Files named for each finding on the terminal; --json has them all.
SHOWN_FILES = 3


def check(
    data: Annotated[Path, typer.Argument(help="An image folder (DATA/class/*.jpg) or a CSV or Parquet table.")],
    labels: Labels = None,
    path_column: PathColumn = "path",
    label_column: LabelColumn = "label",
    split_column: SplitColumn = "split",
    group_column: GroupColumn = "group",
    workers: Workers = 2,
    max_pixels: MaxPixels = 50_000_000,
    json: JsonFile = None,
) -> None:
    """Audit images before training: broken files, duplicates, leaks between splits, imbalance.

    Exit code 0: clean; 1: something would hurt a training or its figures; 2: wrong use.

    Examples:

        pocketvision check photos/

        pocketvision check samples.csv --json audit.json
    """
    from pocketvision.workflows.check import check as run_check
    from pocketvision.workflows.progress import Counted

    with TrainingDisplay() as display:
        audit = run_check(
            data, labels=parse_labels(labels), path_column=path_column, label_column=label_column,
            split_column=split_column, group_column=group_column, workers=workers, max_pixels=max_pixels,
            on_progress=lambda done, total: display(Counted("audit", done, total)),
        )  # fmt: skip
    write_json_option(json, audit.to_dict())
    if json is None or str(json) != "-":
        _print_findings(audit)
    if audit.hurts:
        raise typer.Exit(1)
