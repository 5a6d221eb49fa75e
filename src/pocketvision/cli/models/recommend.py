"""`pocketvision models recommend`."""

from typing import Annotated

import typer

from pocketvision.cli.display import write_json_option
from pocketvision.cli.options import JsonFile
from pocketvision.cli.terminal import joined, stdout, styled


def recommend(
    target: Annotated[str, typer.Option(help="Where it will run: cpu, gpu or phone.")] = "cpu",
    goal: Annotated[str, typer.Option(help="What counts: real-time, accurate or battery.")] = "real-time",
    json: JsonFile = None,
) -> None:
    """Say which architecture, input size and number format to begin with, and why.

    Examples:

        pocketvision models recommend --target phone --goal battery
    """
    from pocketvision.models.recommend import recommend as run_recommend

    advice = run_recommend(target, goal)
    write_json_option(json, advice.to_dict())
    if str(json) == "-":
        return
    line = advice.summary
    top1 = "" if line.top1 is None else f", {line.top1:.1f} % top-1 with {line.weights[0]}"
    console = stdout()
    console.print(
        joined(styled(advice.model, "bold"), f" at {advice.input_size} px in {advice.precision}"), soft_wrap=True
    )
    console.print(advice.reason, soft_wrap=True)
    console.print(
        f"{line.parameters / 1e6:.2f} M parameters, {line.macs / 1e6:,.0f} M multiply-accumulates at {line.input_size} px{top1}",
        soft_wrap=True,
    )
