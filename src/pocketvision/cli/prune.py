"""`pocketvision prune`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketvision.cli.comparisons import format_drop
from pocketvision.cli.display import TrainingDisplay, write_json_option
from pocketvision.cli.options import Images, JsonFile
from pocketvision.cli.terminal import stdout
from pocketvision.compression.prune_settings import PruneSettings
from pocketvision.printable import counted

if TYPE_CHECKING:
    from pocketvision.compression.pruning import PruneResult


KeepMacs = Annotated[float | None, typer.Option(help="Share of the multiply-accumulates that stays, such as 0.6.")]
Unstructured = Annotated[
    float | None,
    typer.Option(help="In place of channels: set this share of all weights to zero. Nothing gets faster by it."),
]
Augmentation = Annotated[str, typer.Option(help="Of the images that tune: none, light, standard or strong.")]
Distill = Annotated[
    bool, typer.Option("--distill/--no-distill", help="Learn half from the answers of the network as it was.")
]
MaxAccuracyDrop = Annotated[
    float, typer.Option(min=0, max=100, help="Percentage points that the accuracy (of objects: AP) may drop.")
]
LabelledImages = Annotated[
    Path | None,
    typer.Option(help="Labelled images: its training split tunes, its validation split judges.  [default: the run's]"),
]


def prune(
    bundle: Annotated[str, typer.Argument(help="A bundle's folder.")],
    keep_macs: KeepMacs = None,
    keep_parameters: Annotated[float | None, typer.Option(help="Share of the parameters that stays.")] = None,
    latency_ms: Annotated[float | None, typer.Option(help="Milliseconds of one image in ONNX Runtime here.")] = None,
    unstructured: Unstructured = None,
    importance: Annotated[
        str, typer.Option(help="What ranks channels: l1, bn-scale or taylor.")
    ] = PruneSettings.importance,
    rounds: Annotated[int, typer.Option(help="Prunings with tuning between them.")] = PruneSettings.rounds,
    epochs: Annotated[float, typer.Option(help="Epochs of tuning in all.")] = PruneSettings.epochs,
    augmentation: Augmentation = PruneSettings.augmentation,
    distill: Distill = PruneSettings.distill,
    lr: Annotated[float, typer.Option(help="Highest learning rate of the tuning.")] = PruneSettings.lr,
    max_accuracy_drop: MaxAccuracyDrop = PruneSettings.max_accuracy_drop,
    data: LabelledImages = None,
    images: Images = None,
    out: Annotated[Path | None, typer.Option(help="The pruned bundle's folder.  [default: BUNDLE-pruned]")] = None,
    seed: Annotated[int, typer.Option(help="Of the order and the views of the images.")] = PruneSettings.seed,
    json: JsonFile = None,
) -> None:
    """Remove a network's least important channels, tune what is left, and write it as a bundle of its own.

    Exit code 1 when the accuracy drops by more than --max-accuracy-drop: no bundle is written, the figures are left beside it.

    Examples:

        pocketvision prune runs/leaves/bundle --keep-macs 0.6

        pocketvision prune runs/leaves/bundle --latency-ms 8 --importance taylor --epochs 10
    """
    from pocketvision.workflows.prune import prune as run_prune

    settings = PruneSettings(
        keep_macs=keep_macs,
        keep_parameters=keep_parameters,
        latency_ms=latency_ms,
        unstructured=unstructured,
        importance=importance,
        rounds=rounds,
        epochs=epochs,
        augmentation=augmentation,
        distill=distill,
        lr=lr,
        max_accuracy_drop=max_accuracy_drop,
        seed=seed,
    )
    with TrainingDisplay() as display:
        found = run_prune(bundle, settings, data=data, images=images, out=out, on_event=display)
    write_json_option(json, found.to_dict())
    if str(json) != "-":
        _print(found)


def _print(found: "PruneResult") -> None:
    compared = found.comparison
    drop, same = format_drop(compared), f"{compared.kept:.1%}"
    images = counted(compared.images, "image")
    name = "" if compared.headline is None else compared.headline.name
    lines = (
        f"Multiply-accumulates: {found.before.macs / 1e6:.1f} M to {found.after.macs / 1e6:.1f} M; parameters: "
        f"{found.before.parameters / 1e6:.2f} M to {found.after.parameters / 1e6:.2f} M",
        f"Weights that are not zero: {found.nonzero:,} of {found.weights:,}",
        f"One image: {found.float_latency.latency_ms:.2f} ms to {found.latency.latency_ms:.2f} ms",
        f"Same answers: {same} on {images}{f'; {name} drops by {drop}' if drop else ''}",
        f"Bundle: {found.bundle.folder}",
    )
    for line in lines:
        stdout().print(line, soft_wrap=True)
