"""`pocketvision export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketvision.cli.comparisons import format_drop, format_headline, headline_column
from pocketvision.cli.display import TrainingDisplay, write_json_option
from pocketvision.cli.options import BundleArgument, Images, JsonFile, MaxAccuracyDrop
from pocketvision.cli.terminal import stdout
from pocketvision.compression.settings import MAX_ACCURACY_DROP

MAPPED = "onnx"
"""What --with-map writes where nothing else is asked for."""

if TYPE_CHECKING:
    from pocketvision.compression.exported import ExportedFile


def export(
    bundle: BundleArgument,
    to: Annotated[
        str | None,
        typer.Option(
            help="Targets, by comma: onnx, onnx-uint8, onnx-free-size, openvino, openvino-fp16, program, torchscript, "
            "executorch, executorch-int8, litert, coreml, timm, torchvision.  [required, but with --with-map: onnx]"
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Labelled images to compare answers on.  [default: the validation split of the bundle's run]"
        ),
    ] = None,
    images: Images = None,
    out: Annotated[
        Path | None, typer.Option(help="Write a copy of the bundle there.  [default: into the bundle]")
    ] = None,
    max_accuracy_drop: MaxAccuracyDrop = MAX_ACCURACY_DROP,
    with_map: Annotated[
        bool,
        typer.Option(
            "--with-map",
            help="model.onnx says where each class is seen, too: for predict --map, serve, stream and the page.",
        ),
    ] = False,
    json: JsonFile = None,
) -> None:
    """Add files for other runtimes to a bundle. Each is run on real images first and compared with the trained network.

    Exit code 1 when a file answers otherwise: it is not added, and what was measured is left beside the bundle.

    Examples:

        pocketvision export runs/leaves/bundle --to openvino,executorch

        pocketvision export runs/leaves/bundle --to onnx-uint8 --data photos/ --out for-the-phone

        pocketvision export runs/leaves/bundle --with-map
    """
    from pocketvision.workflows.export import export as run_export

    targets = MAPPED if to is None and with_map else to or ""
    with TrainingDisplay() as display:
        found = run_export(
            bundle,
            [name.strip() for name in targets.split(",") if name.strip()],
            data=data,
            images=images,
            out=out,
            max_accuracy_drop=max_accuracy_drop,
            with_map=with_map,
            on_event=display,
        )
    write_json_option(json, found.to_dict())
    if str(json) != "-":
        _print(found.exported)
        stdout().print(f"Bundle: {found.bundle.folder}", soft_wrap=True)


def _print(exported: "tuple[ExportedFile, ...]") -> None:
    from rich.table import Table

    table = Table(
        "Target",
        "Size",
        "Same answers",
        "Largest difference",
        headline_column(each.comparison for each in exported if each.comparison is not None),
        "Drop",
        "One image",
        "Batches",
        box=None,
        header_style="bold",
    )
    for each in exported:
        found = each.comparison
        if found is None or each.latency is None:
            table.add_row(each.target, f"{each.bytes / 1e6:.1f} MB", "not run here", "", "", "", "", "")
            continue
        table.add_row(
            each.target,
            f"{each.bytes / 1e6:.1f} MB",
            f"{found.kept:.2%}",
            "" if each.largest is None else f"{each.largest:.1e}",
            format_headline(found.headline),
            format_drop(found),
            f"{each.latency.latency_ms:.1f} ms",
            f"{each.latency.images_per_second:.0f} images/s",
        )
    stdout().print(table)
