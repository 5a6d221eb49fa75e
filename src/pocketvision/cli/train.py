"""`pocketvision train`."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketvision.cli.display import TrainingDisplay, print_evaluations, write_json_option
from pocketvision.cli.exit_codes import INTERRUPTED
from pocketvision.cli.options import (
    Format,
    GroupColumn,
    Images,
    JsonFile,
    LabelColumn,
    Labels,
    Lang,
    MaxPixels,
    MinPerClass,
    PathColumn,
    Positive,
    SplitColumn,
    TaskKind,
    WeightsKey,
    WhiteLevel,
    Workers,
    parse_class_weights,
    parse_labels,
)
from pocketvision.cli.terminal import stdout

if TYPE_CHECKING:
    from pocketvision.workflows.training_run import TrainResult

_STAGES = "The two stages"
_DATA = "Data"
_CACHE = "Speed and memory"


def train(
    data: Annotated[
        Path | None, typer.Argument(help="An image folder (DATA/class/*.jpg) or a CSV or Parquet table.")
    ] = None,
    model: Annotated[str, typer.Option(help="An architecture of `pocketvision models`.")] = "efficientnet_lite0",
    out: Annotated[Path | None, typer.Option(help="The run's folder.  [default: runs/NAME]")] = None,
    weights: Annotated[
        str, typer.Option(help="auto, a Hugging Face repository, a .safetensors or .pth file, or none (random start).")
    ] = "auto",
    weights_key: WeightsKey = None,
    size: Annotated[int | None, typer.Option(help="Input size in pixels.  [default: that of the weights]")] = None,
    interpolation: Annotated[str, typer.Option(help="How images are resized: bilinear or bicubic.")] = "bilinear",
    epochs1: Annotated[
        int | None, typer.Option(help="Epochs at most, head alone.  [default: 15]", rich_help_panel=_STAGES)
    ] = None,
    epochs2: Annotated[
        int | None, typer.Option(help="Epochs at most, last stages too.  [default: 20]", rich_help_panel=_STAGES)
    ] = None,
    lr1: Annotated[float, typer.Option(help="Learning rate of stage 1.", rich_help_panel=_STAGES)] = 1e-3,
    lr2: Annotated[float, typer.Option(help="Learning rate of stage 2.", rich_help_panel=_STAGES)] = 1e-4,
    batch: Annotated[int, typer.Option(help="Images a step.", rich_help_panel=_STAGES)] = 32,
    dropout: Annotated[float, typer.Option(help="Dropout before the classifier.", rich_help_panel=_STAGES)] = 0.3,
    weight_decay: Annotated[float, typer.Option(help="AdamW's weight decay.", rich_help_panel=_STAGES)] = 1e-4,
    label_smoothing: Annotated[float, typer.Option(help="Label smoothing.", rich_help_panel=_STAGES)] = 0.0,
    schedule: Annotated[str, typer.Option(help="plateau or cosine.", rich_help_panel=_STAGES)] = "plateau",
    schedule_patience: Annotated[
        int,
        typer.Option(
            help="Epochs without progress until the plateau schedule lowers the rate.", rich_help_panel=_STAGES
        ),
    ] = 3,
    patience: Annotated[
        int, typer.Option(help="Epochs without a lower validation loss until a stage ends.", rich_help_panel=_STAGES)
    ] = 7,
    unfreeze: Annotated[
        int, typer.Option(help="How many of the last stages learn in stage 2.", rich_help_panel=_STAGES)
    ] = 3,
    precision: Annotated[
        str, typer.Option(help="Number format of stage 2: auto, float32 or bfloat16.", rich_help_panel=_CACHE)
    ] = "auto",
    views: Annotated[int, typer.Option(help="Cached views of every training image.", rich_help_panel=_CACHE)] = 4,
    augmentation: Annotated[
        str, typer.Option(help="How strongly views differ: none, light, standard …", rich_help_panel=_DATA)
    ] = "standard",
    class_weights: Annotated[
        str,
        typer.Option(
            help="none, balanced, by name: cat=2.0,dog=1 (a name with a comma in quotes), or a file of such pairs",
            rich_help_panel=_DATA,
        ),
    ] = "none",
    balance_to: Annotated[
        int | None,
        typer.Option(help="Augment smaller classes of the training split up to N images.", rich_help_panel=_DATA),
    ] = None,
    val_share: Annotated[
        float, typer.Option(help="Share for validation when no split is given.", rich_help_panel=_DATA)
    ] = 0.2,
    test_share: Annotated[float, typer.Option(help="Share for an untouched test split.", rich_help_panel=_DATA)] = 0.0,
    labels: Labels = None,
    format: Format = None,
    task: TaskKind = None,
    path_column: PathColumn = "path",
    label_column: LabelColumn = "label",
    split_column: SplitColumn = "split",
    group_column: GroupColumn = "group",
    images: Images = None,
    min_per_class: MinPerClass = 1,
    positive: Positive = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same model.")] = 0,
    workers: Workers = 2,
    max_pixels: MaxPixels = 50_000_000,
    white_level: WhiteLevel = None,
    cache: Annotated[
        bool,
        typer.Option(
            "--cache/--no-cache", help="Run the frozen part once a view, or in every epoch.", rich_help_panel=_CACHE
        ),
    ] = True,
    cache_dir: Annotated[
        Path | None, typer.Option(help="Keep the trunk cache here, for further runs.", rich_help_panel=_CACHE)
    ] = None,
    cache_limit: Annotated[
        float, typer.Option(help="Size limit of the trunk cache in GB.", rich_help_panel=_CACHE)
    ] = 20.0,
    ship_hashes: Annotated[
        bool,
        typer.Option(
            "--ship-hashes/--no-ship-hashes",
            help="Hashes of the training's images go into the bundle, so that whoever measures it can tell what it has seen.",
        ),
    ] = True,
    resume: Annotated[Path | None, typer.Option(help="Go on with this run's folder.")] = None,
    lang: Lang = "en",
    json: JsonFile = None,
) -> None:
    """Train a classifier on a folder or table of images; leave a report and a bundle.

    Examples:

        pocketvision train photos/

        pocketvision train photos/ --model mobilenet_v2 --test-share 0.2 --out runs/leaves

        pocketvision train samples.csv --class-weights balanced --balance-to 250

        pocketvision train --resume runs/leaves
    """
    from pocketvision.workflows.train import train as run_train

    with TrainingDisplay() as display:
        result = run_train(
            data,
            model=model,
            out=out,
            weights=weights,
            weights_key=weights_key,
            size=size,
            interpolation=interpolation,
            epochs1=epochs1,
            epochs2=epochs2,
            lr1=lr1,
            lr2=lr2,
            batch=batch,
            dropout=dropout,
            weight_decay=weight_decay,
            label_smoothing=label_smoothing,
            schedule=schedule,
            schedule_patience=schedule_patience,
            patience=patience,
            unfreeze=unfreeze,
            precision=precision,
            views=views,
            augmentation=augmentation,
            class_weights=parse_class_weights(class_weights),
            balance_to=balance_to,
            val_share=val_share,
            test_share=test_share,
            labels=parse_labels(labels),
            format=format,
            task=task,
            path_column=path_column,
            label_column=label_column,
            split_column=split_column,
            group_column=group_column,
            images=images,
            min_per_class=min_per_class,
            positive=positive,
            seed=seed,
            workers=workers,
            max_pixels=max_pixels,
            white_level=white_level,
            cache=cache,
            cache_dir=cache_dir,
            cache_limit=int(cache_limit * 1e9),
            ship_hashes=ship_hashes,
            resume=resume,
            lang=lang,
            on_event=display,
        )
    write_json_option(json, result.to_dict())
    if json is None or str(json) != "-":
        _print_result(result)
    if code := INTERRUPTED if result.interrupted else int(result.unreported is not None):
        raise typer.Exit(code)


def _print_result(result: "TrainResult") -> None:
    """What was measured, where it lies, and what to do next."""
    console = stdout()
    print_evaluations(result.evaluations)
    if result.unchanged:
        for figure in result.bundle.figures:
            console.print(figure.text, soft_wrap=True)
    if result.unreported is None:
        console.print(f"Report: {result.report}", soft_wrap=True)
    console.print(f"Bundle: {result.bundle.folder}", soft_wrap=True)
    run = shlex.quote(str(result.run))
    console.print(f"Next: pocketvision predict {run} PHOTO.jpg, or pocketvision serve {run}", soft_wrap=True)
