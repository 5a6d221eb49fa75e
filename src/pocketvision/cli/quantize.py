"""`pocketvision quantize`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketvision.cli.comparisons import format_drop, format_headline, headline_column, too_few_images
from pocketvision.cli.display import TrainingDisplay, write_json_option
from pocketvision.cli.options import BundleArgument, Images, JsonFile, MaxAccuracyDrop
from pocketvision.cli.terminal import stdout
from pocketvision.compression.settings import CALIBRATION, MAX_ACCURACY_DROP, Tuning

if TYPE_CHECKING:
    from pocketvision.workflows.quantize import QuantizeResult


def quantize(
    bundle: BundleArgument,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Labelled images: its training split calibrates, its validation split judges.  [default: the run's]"
        ),
    ] = None,
    images: Images = None,
    out: Annotated[Path | None, typer.Option(help="The 8-bit bundle's folder.  [default: BUNDLE-int8]")] = None,
    method: Annotated[
        str,
        typer.Option(
            help="What is tried: auto (ONNX Runtime's, until one is good enough), all, onnxruntime, openvino or dynamic (linear "
            "layers only)."
        ),
    ] = "auto",
    max_accuracy_drop: MaxAccuracyDrop = MAX_ACCURACY_DROP,
    calibration: Annotated[int, typer.Option(min=1, help="Images that ranges are found on.")] = CALIBRATION,
    tune_epochs: Annotated[
        float, typer.Option(help="Epochs of the training split to tune the weights for 8 bits first; 0 for none.")
    ] = Tuning.epochs,
    tune_lr: Annotated[float, typer.Option(help="Highest learning rate of that tuning.")] = Tuning.lr,
    json: JsonFile = None,
) -> None:
    """Write an 8-bit bundle: about a quarter of the size, checked to be as accurate as --max-accuracy-drop asks for.

    What every installation runs (ONNX Runtime) is preferred. The command says what it took, why, and what runs it.

    Exit code 1 when none stays within --max-accuracy-drop: no bundle is written, and the figures are left beside it.

    Examples:

        pocketvision quantize runs/leaves/bundle

        pocketvision quantize bundle --data photos/ --method onnxruntime --max-accuracy-drop 1

        pocketvision quantize bundle --data photos/ --method all

        pocketvision quantize bundle --data photos/ --tune-epochs 2
    """
    from pocketvision.workflows.quantize import quantize as run_quantize

    with TrainingDisplay() as display:
        found = run_quantize(
            bundle,
            data=data,
            images=images,
            out=out,
            method=method,
            max_accuracy_drop=max_accuracy_drop,
            calibration=calibration,
            tune_epochs=tune_epochs,
            tune_lr=tune_lr,
            on_event=display,
        )
    write_json_option(json, found.to_dict())
    if str(json) != "-":
        _print(found)


def _print(found: "QuantizeResult") -> None:
    from rich.table import Table

    figure = headline_column([found.chosen.comparison])
    table = Table("", "Size", "Same answers", figure, "Drop", "One image", "Batches", box=None, header_style="bold")
    size, float_latency = found.float_bytes, found.search.float_latency
    reference = found.chosen.comparison.reference_headline
    table.add_row(
        "float32",
        f"{size / 1e6:.1f} MB",
        "",
        format_headline(reference),
        "",
        f"{float_latency.latency_ms:.1f} ms",
        f"{float_latency.images_per_second:.0f} images/s",
    )
    for each in found.search.candidates:
        compared, timed = each.comparison, each.latency
        table.add_row(
            each.settings.title,
            f"{each.bytes / 1e6:.1f} MB",
            f"{compared.kept:.2%}",
            format_headline(compared.headline),
            format_drop(compared),
            "" if timed is None else f"{timed.latency_ms:.1f} ms",
            "" if timed is None else f"{timed.images_per_second:.0f} images/s",
            style="bold" if each is found.chosen or each.settings == found.chosen.settings else "",
        )
    stdout().print(table)
    for title, reason in found.search.failed.items():
        stdout().print(f"Failed: {title}: {reason}", soft_wrap=True)
    for line in _selection_lines(found):
        stdout().print(line, soft_wrap=True)


def _selection_lines(found: "QuantizeResult") -> Iterator[str]:
    """What was taken, why, and what it needs."""
    yield f"Taken: {found.chosen.settings.title}: {found.search.reason}."
    if not found.is_sure:
        yield too_few_images(found.chosen.comparison, found.max_accuracy_drop)
    size, before, now = found.chosen.bytes, found.search.float_latency, found.chosen.latency
    if now is not None:
        alone, batches = before.latency_ms / now.latency_ms, now.images_per_second / before.images_per_second
        yield (
            f"{size / 1e6:.1f} MB of {found.float_bytes / 1e6:.1f} MB; one image {alone:.1f} times as fast, batches "
            f"{batches:.1f} times."
        )
    yield f"Runs in: {found.chosen.settings.backend}" + (
        f", which this needs wherever it runs: {found.install}" if found.install else ", part of every installation"
    )
    yield f"Bundle: {found.bundle.folder}"
