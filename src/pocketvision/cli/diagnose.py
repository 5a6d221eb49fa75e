"""`pocketvision diagnose`."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli.display import TrainingDisplay, write_json_option
from pocketvision.cli.options import JsonFile
from pocketvision.cli.terminal import joined, stdout, styled

STYLES = {"problem": "bold red", "look": "yellow", "fine": "green", "unknown": "dim"}


def diagnose(
    run: Annotated[Path, typer.Argument(help="A finished run's folder.")],
    pictures: Annotated[
        int, typer.Option(help="Of the training and of the validation split that are answered at most.")
    ] = 600,
    json: JsonFile = None,
) -> None:
    """Say what ails a training, worst first: each finding with its evidence and one next step.

    Looked at are over- and underfitting, channels that say nothing, gradients that vanish or explode, waiting for data, classes
    that are taken for each other, the input's size, and what more pictures would bring.

    Example:

        pocketvision diagnose runs/photos
    """
    from pocketvision.errors import MissingExtraError

    try:
        from pocketvision.workflows.diagnose import diagnose as run_diagnose
    except ModuleNotFoundError as error:
        raise MissingExtraError("Looking into a training", "train") from error

    with TrainingDisplay() as display:
        found = run_diagnose(run, pictures=pictures, on_event=display)
    write_json_option(json, found.to_dict())
    if str(json) == "-":
        return
    for each in found.findings:
        stdout().print(
            joined(styled(f"{each.level:<8}", STYLES[each.level]), styled(each.about, "bold")), soft_wrap=True
        )
        stdout().print(f"  {each.evidence}", soft_wrap=True)
        if each.step:
            stdout().print(joined("  Next: ", each.step), soft_wrap=True)
