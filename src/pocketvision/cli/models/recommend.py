"""`pocketvision models recommend`."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli.display import write_json_option
from pocketvision.cli.options import JsonFile
from pocketvision.cli.terminal import joined, stdout, styled


def recommend(
    data: Annotated[
        Path | None, typer.Argument(help="Images as `train` takes them: pictures, classes and their size are counted.")
    ] = None,
    target: Annotated[str, typer.Option(help="Where it will run: cpu, gpu, small-gpu, phone, npu or browser.")] = "cpu",
    goal: Annotated[
        str | None,
        typer.Option(
            help="What counts: real-time, accurate or battery.  [default: accurate with budgets, else real-time]"
        ),
    ] = None,
    pictures: Annotated[int | None, typer.Option(help="Of the training.")] = None,
    classes: Annotated[int | None, typer.Option(help="That are told apart.")] = None,
    picture_size: Annotated[int | None, typer.Option(help="Pixels of the pictures' longer side.")] = None,
    latency: Annotated[float | None, typer.Option(help="At most so many milliseconds an image, on one core.")] = None,
    megabytes: Annotated[float | None, typer.Option(help="At most so large a file.")] = None,
    minutes: Annotated[float | None, typer.Option(help="At most so long a training, on two cores.")] = None,
    size: Annotated[int | None, typer.Option(help="The input's side in pixels.  [default: the weights']")] = None,
    json: JsonFile = None,
) -> None:
    """Say which architecture, input size and number format to begin with, and why: from data, budgets and the device.

    With a target and a goal alone it names one network; with data or a budget the three best that keep it.

    Examples:

        pocketvision models recommend --target phone --goal battery

        pocketvision models recommend photos/ --target cpu --latency 20

        pocketvision models recommend --pictures 800 --classes 5 --target browser --megabytes 20
    """
    from pocketvision.models.wishes import Wishes
    from pocketvision.workflows.recommend import recommend as run_recommend

    budgets = (data, pictures, classes, picture_size, latency, megabytes, minutes, size)
    if all(each is None for each in budgets) and target in ("cpu", "gpu", "phone"):
        _print_advice(target, goal or "real-time", json)
        return
    wishes = Wishes(target, goal or "accurate", pictures, classes, picture_size, latency, megabytes, minutes, size)
    found = run_recommend(wishes, data=data)
    write_json_option(json, [each.to_dict() for each in found])
    if str(json) == "-":
        return
    for each in found:
        took = "" if each.minutes is None else f", trains in about {each.minutes:.0f} min on two cores"
        line = f" at {each.input_size} px in {each.precision}, a file of {each.megabytes:.1f} MB{took}"
        stdout().print(joined(styled(each.model, "bold"), line), soft_wrap=True)
        for reason in each.reasons:
            stdout().print(f"  {reason}", soft_wrap=True)
        stdout().print(f"  Smaller: {each.smaller}", soft_wrap=True)
        for warning in each.warnings:
            stdout().print(joined(styled("  Mind: ", "yellow"), warning), soft_wrap=True)
    stdout().print("To check it here: pocketvision benchmark " + " ".join(each.model for each in found), soft_wrap=True)


def _print_advice(target: str, goal: str, json: Path | None) -> None:
    """Of a target and a goal alone."""
    from pocketvision.models.recommend import recommend as advise

    advice = advise(target, goal)
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
