"""`pocketvision evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketvision.cli.display import TrainingDisplay, print_evaluations, write_json_option
from pocketvision.cli.options import (
    BackendName,
    Batch,
    BoxColumns,
    BundleArgument,
    DecodingWorkers,
    Device,
    Download,
    Format,
    GroupColumn,
    Ignore,
    Images,
    JsonFile,
    LabelColumn,
    Lang,
    MaxPixels,
    MinPerClass,
    PathColumn,
    Positive,
    Root,
    Scales,
    SplitColumn,
    Threads,
    Tile,
    Tta,
    parse_names,
    parse_scales,
)
from pocketvision.cli.terminal import stdout
from pocketvision.printable import counted

if TYPE_CHECKING:
    from pocketvision.evaluation.evaluation import Evaluation


Split = Annotated[str | None, typer.Option(help="Only this split of the data: train, val or test.")]
Out = Annotated[Path | None, typer.Option(help="Also write report.html, metrics.json and plots into this folder.")]
Baseline = Annotated[
    bool,
    typer.Option(
        "--baseline",
        help="Write confidence and brightness of these images into the bundle, which `serve` tells drift from.",
    ),
]
Keep = Annotated[
    bool,
    typer.Option(
        "--keep", help="Write --tile and --scales into the bundle: predict, serve and stream look the same way."
    ),
]


def evaluate(
    bundle: BundleArgument,
    data: Annotated[
        Path, typer.Argument(help="An image folder, a CSV or Parquet table with labels, or a published set's name.")
    ],
    split: Split = None,
    out: Out = None,
    positive: Positive = None,
    format: Format = None,
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
    batch: Batch = None,
    workers: DecodingWorkers = None,
    threads: Threads = None,
    backend: BackendName = None,
    device: Device = "cpu",
    max_pixels: MaxPixels = 50_000_000,
    tile: Tile = None,
    scales: Scales = None,
    keep: Keep = False,
    tta: Tta = None,
    slices: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMNS",
            help="Also figures by columns of the table, and by size and brightness; auto: the last two alone.",
        ),
    ] = None,
    robustness: Annotated[
        bool,
        typer.Option("--robustness", help="Also answers to pictures made worse in six ways, of at most 200 pictures."),
    ] = False,
    lang: Lang = "en",
    baseline: Baseline = False,
    json: JsonFile = None,
) -> None:
    """Measure a bundle on labelled images: accuracy, F1 and calibration of classes, average precision of objects, with intervals.

    Classes are matched by name. Images that the bundle learned from are left out and counted.

    Examples:

        pocketvision evaluate runs/leaves more-photos/ --out runs/leaves/more

        pocketvision evaluate runs/leaves/bundle runs/leaves/split.csv --split val --json -
    """
    from pocketvision.progress import Counted
    from pocketvision.workflows.evaluate import evaluate as run_evaluate

    with TrainingDisplay() as display:
        evaluation = run_evaluate(
            bundle,
            data,
            split=split,
            out=out,
            positive=positive,
            format=format,
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
            batch=batch,
            workers=workers,
            threads=threads,
            backend=backend,
            device=device,
            max_pixels=max_pixels,
            tile=tile,
            scales=parse_scales(scales),
            keep=keep,
            tta=parse_names(tta),
            slices=None if slices is None else parse_names(slices),
            robustness=robustness,
            lang=lang,
            baseline=baseline,
            on_progress=lambda done, total: display(Counted("evaluate", done, total)),
            on_event=display,
        )
    write_json_option(json, evaluation.to_dict())
    if json is None or str(json) != "-":
        print_evaluations([evaluation])
        _print_written(evaluation, bundle if baseline else None, out)


def _print_written(evaluation: "Evaluation", baseline_of: str | None, out: Path | None) -> None:
    if baseline_of is not None:
        stdout().print(
            f"Baseline: {counted(len(evaluation.paths), 'image')}, written into {baseline_of}", soft_wrap=True
        )
    if out is not None:
        stdout().print(f"Report: {out / 'report.html'}", soft_wrap=True)
