"""`pocketvision models scale`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketvision.cli.display import write_json_option
from pocketvision.cli.options import JsonFile
from pocketvision.cli.terminal import stdout

if TYPE_CHECKING:
    from pocketvision.models.scaled import ScaledModel


Phi = Annotated[
    float | None,
    typer.Option(help="How far: each step of 1 doubles the cost. With --coefficients it may be left out, for 1."),
]
MaxMacs = Annotated[
    float | None, typer.Option(help="In place of phi: at most so many multiply-accumulates, such as 2e9.")
]
Width = Annotated[
    bool, typer.Option("--width", help="With a budget: scale the width alone, at --depth times the repeats.")
]
Coefficients = Annotated[
    bool, typer.Option("--coefficients", help="With --max-macs: search alpha, beta and gamma for what uses most of it.")
]
RowsFile = Annotated[Path | None, typer.Option(metavar="FILE.json", help="Write the rows here, for --model FILE.json.")]


def scale(
    phi: Phi = None,
    base: Annotated[str, typer.Option(help="The network that is scaled.")] = "efficientnet_b0",
    alpha: Annotated[float | None, typer.Option(help="Depth's coefficient; the paper's is 1.2.")] = None,
    beta: Annotated[float | None, typer.Option(help="Width's coefficient; the paper's is 1.1.")] = None,
    gamma: Annotated[float | None, typer.Option(help="Resolution's coefficient; the paper's is 1.15.")] = None,
    max_macs: MaxMacs = None,
    max_parameters: Annotated[float | None, typer.Option(help="In place of phi: at most so many parameters.")] = None,
    width: Width = False,
    depth: Annotated[float, typer.Option(help="With --width: multiplier of the repeats.")] = 1.0,
    coefficients: Coefficients = False,
    out: RowsFile = None,
    json: JsonFile = None,
) -> None:
    """Scale a network in depth, width and resolution at once, and lay it beside EfficientNet B0 to B7.

    depth = alpha^phi, width = beta^phi, resolution = gamma^phi, with alpha · beta² · gamma² ≈ 2 (EfficientNet, section 3.3).

    Examples:

        pocketvision models scale --phi 3

        pocketvision models scale --base mobilenet_v2 --max-macs 1.5e8 --width --out narrow.json

        pocketvision models scale --coefficients --max-macs 8e8
    """
    from pocketvision.models.scaled import scale_model

    found = scale_model(
        base,
        phi=phi,
        alpha=alpha,
        beta=beta,
        gamma=gamma,
        width=width,
        depth=depth,
        coefficients=coefficients,
        max_macs=max_macs,
        max_parameters=max_parameters,
    )
    if out is not None:
        from pocketvision.atomic_files import write_json

        write_json(out, found.architecture.to_dict())
    write_json_option(json, found.to_dict())
    if str(json) != "-":
        _print(found)
    if out is not None and str(json) != "-":
        stdout().print(f"Rows: {out}", soft_wrap=True)


def _print(found: "ScaledModel") -> None:
    from rich.table import Table

    from pocketvision.models.scaled import published_scales

    table = Table("Model", "Depth", "Width", "Input", "Parameters", "MACs", box=None, header_style="bold")
    for column in range(1, 6):
        table.columns[column].justify = "right"
    for each in (found, *published_scales()):
        row, cost = each.architecture, each.cost
        table.add_row(
            row.name,
            f"{row.depth:.3g}",
            f"{row.width:.3g}",
            f"{row.input_size} px",
            f"{cost.parameters / 1e6:.2f} M",
            f"{cost.macs / 1e6:,.0f} M",
            style="bold" if each is found else "",
        )
    stdout().print(table)
    if found.alpha is not None and found.beta is not None and found.gamma is not None:
        growth = found.alpha * found.beta**2 * found.gamma**2
        stdout().print(
            f"phi {found.phi:g}: alpha {found.alpha:g} (depth), beta {found.beta:g} (width), gamma {found.gamma:g} (resolution); "
            f"alpha · beta² · gamma² = {growth:.2f}",
            soft_wrap=True,
        )
