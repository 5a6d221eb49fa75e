"""`pocketvision models info`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketvision.cli.display import write_json_option
from pocketvision.cli.models.layer_tables import print_costs
from pocketvision.cli.options import JsonFile, Threads, parse_names
from pocketvision.cli.terminal import stdout

if TYPE_CHECKING:
    from pocketvision.costs.layer_cost import NetworkCosts
    from pocketvision.models.stage_table import StageInfo
    from pocketvision.workflows.models import ModelInfo


NameOrBundle = Annotated[
    str,
    typer.Argument(
        metavar="NAME|BUNDLE", help="An architecture, a JSON or TOML file of rows, or with --layers a bundle's folder."
    ),
]
Draw = Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Draw it into this SVG file.")]
Layers = Annotated[
    bool, typer.Option("--layers", help="Show every layer: parameters, multiply-accumulates, output, what it sees.")
]
Layer = Annotated[
    str | None,
    typer.Option(help="Show only the layers at this path and inside of it, such as stages.3.", metavar="PATH"),
]
Profile = Annotated[
    bool,
    typer.Option("--profile", help="Time every layer here, and against what the machine can do. Shows the layers."),
]
Unfreeze = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Count what learns when the last so many stages do.  [default: as the bundle's run did; else everything]",
    ),
]
Backends = Annotated[
    str | None,
    typer.Option(help="Of --profile: torch, onnxruntime, openvino, with commas between.  [default: all installed]"),
]
Batch = Annotated[int, typer.Option(min=1, help="Of --profile: images at once.")]
Passes = Annotated[int, typer.Option(min=1, max=1000, help="Of --profile: passes that medians are taken over.")]
Trace = Annotated[
    Path | None, typer.Option(metavar="FILE.json", help="Of --profile: write Chrome traces, for ui.perfetto.dev.")
]


def info(
    name: NameOrBundle,
    size: Annotated[int | None, typer.Option(help="Input size in pixels.  [default: the model's]")] = None,
    draw: Draw = None,
    layers: Layers = False,
    layer: Layer = None,
    unfreeze: Unfreeze = None,
    profile: Profile = False,
    backends: Backends = None,
    batch: Batch = 1,
    threads: Threads = None,
    passes: Passes = 10,
    trace: Trace = None,
    json: JsonFile = None,
) -> None:
    """Show an architecture's stages: resolution, channels, repeats, stride, kernel, expansion, and what each costs; with --layers
    every layer of it or of a bundle.

    A dash stands where a stage has no kernel (transformers), not one alone, or where timm does not tell.
    The last column is what the stage's depthwise-separable convolutions cost as a share of standard ones, counted; theory
    says 1/N + 1/k² for N output channels and a k x k kernel.

    Examples:

        pocketvision models info efficientnet_b0

        pocketvision models info mobilenet_v2_050 --size 160 --draw mobilenet.svg

        pocketvision models info runs/leaves/bundle --layers --profile --trace trace.json
    """
    from pocketvision.workflows.models import model_info

    content: dict[str, Any] = {}
    printed = str(json) != "-"
    costs = None
    layers = layers or profile or layer is not None
    if layers or trace is not None or is_bundle(name):
        costs = _costs(name, size, unfreeze, profile, backends, batch, threads, passes, trace)
        costs = costs if layer is None else costs.only(layer)
        content = {"costs": costs.to_dict()}
    if not is_bundle(name):
        found = model_info(name, size=size, drawing=draw)
        content = found.to_dict() | content
        if printed:
            _print_stages(found.stages)
            _print_sum(found)
    write_json_option(json, content)
    if costs is not None and printed:
        print_costs(costs, layers=layers)


def is_bundle(name: str) -> bool:
    """Whether a name is a folder, or a published detector or segmenter, which is taken as the bundle that it becomes."""
    from pocketvision.benchmarking.contenders import is_folder
    from pocketvision.models.published_networks import NETWORKS

    return is_folder(name) or name in NETWORKS


def _costs(
    name: str,
    size: int | None,
    unfreeze: int | None,
    profile: bool,
    backends: str | None,
    batch: int,
    threads: int | None,
    passes: int,
    trace: Path | None,
) -> "NetworkCosts":
    from pocketvision.errors import MissingExtraError

    try:
        from pocketvision.costs.profiling import ProfileSettings
        from pocketvision.workflows.model_costs import model_costs
    except ModuleNotFoundError as error:
        raise MissingExtraError("Looking into a network's layers", "train") from error
    settings = ProfileSettings(tuple(parse_names(backends)), batch, passes, threads) if profile else None
    return model_costs(name, size=size, unfreeze=unfreeze, profile=settings, trace=trace)


def _print_sum(found: "ModelInfo") -> None:
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
