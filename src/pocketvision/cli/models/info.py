"""`pocketvision models info`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketvision.cli.display import write_json_option
from pocketvision.cli.options import JsonFile
from pocketvision.cli.terminal import stdout

if TYPE_CHECKING:
    from pocketvision.models.layer import Layer
    from pocketvision.models.stage_table import StageInfo


def info(
    name: Annotated[str, typer.Argument(help="An architecture, or a JSON or TOML file of rows.")],
    size: Annotated[int | None, typer.Option(help="Input size in pixels.  [default: the architecture's]")] = None,
    draw: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Draw it into this SVG file.")] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Show every layer, not only the stages.")] = False,
    json: JsonFile = None,
) -> None:
    """Show an architecture's stages: resolution, channels, repeats, stride, kernel, expansion, and what each costs.

    A dash stands where a stage has no kernel (transformers), not one alone, or where timm does not tell.
    The last column is what the stage's depthwise-separable convolutions cost as a share of standard ones, counted; theory
    says 1/N + 1/k² for N output channels and a k x k kernel.

    Examples:

        pocketvision models info efficientnet_b0

        pocketvision models info mobilenet_v2_050 --size 160 --draw mobilenet.svg
    """
    from pocketvision.workflows.models import model_info

    found = model_info(name, size=size, drawing=draw)
    write_json_option(json, found.to_dict())
    if str(json) == "-":
        return
    _print_stages(found.stages)
    if layers:
        _print_layers(found.layers)
    cost = found.cost
    stdout().print(
        f"{found.architecture.name} at {found.size} px: {cost.parameters:,} parameters, {cost.macs / 1e6:,.1f} M "
        f"multiply-accumulates, {cost.activations / 1e6:.1f} M activations",
        soft_wrap=True,
    )


def _print_stages(stages: "tuple[StageInfo, ...]") -> None:
    from rich.table import Table

    table = Table(
        "Stage",
        "Block",
        "Output",
        "Channels",
        "Repeats",
        "Stride",
        "Kernel",
        "Expansion",
        "Parameters",
        "MACs",
        "Separable / standard",
        box=None,
        header_style="bold",
    )
    for column in range(2, 11):
        table.columns[column].justify = "right"
    for stage in stages:
        share = ""
        if stage.separable_theory is not None:
            share = f"{stage.separable_macs / stage.standard_macs:.1%} (theory {stage.separable_theory:.1%})"
        table.add_row(
            stage.name,
            stage.block,
            f"{stage.size} px",
            str(stage.channels),
            str(stage.repeats),
            str(stage.stride),
            "–" if stage.kernel is None else f"{stage.kernel}x{stage.kernel}",
            "–" if stage.expansion is None else f"{stage.expansion:g}",
            f"{stage.parameters:,}",
            f"{stage.macs / 1e6:.1f} M",
            share,
        )
    stdout().print(table)


def _print_layers(layers: "tuple[Layer, ...]") -> None:
    from rich.table import Table

    table = Table(
        "Layer", "In", "Out", "Kernel", "Stride", "Output", "Parameters", "MACs", box=None, header_style="bold"
    )
    for column in range(1, 8):
        table.columns[column].justify = "right"
    for layer in layers:
        height, width = layer.kernel_sides
        table.add_row(
            layer.name,
            str(layer.in_channels),
            str(layer.out_channels),
            f"{height}x{width}",
            str(layer.stride),
            f"{layer.size} px",
            f"{layer.parameters:,}",
            f"{layer.macs / 1e6:.2f} M",
        )
    stdout().print(table)
