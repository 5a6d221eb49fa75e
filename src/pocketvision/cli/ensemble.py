"""`pocketvision ensemble`."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli.display import TrainingDisplay, write_json_option
from pocketvision.cli.options import Images, JsonFile
from pocketvision.cli.terminal import stdout

LabelledImages = Annotated[
    Path | None,
    typer.Option(help="Labelled images, whose validation split is measured on.  [default: the first one's run's]"),
]


def ensemble(
    bundles: Annotated[list[str], typer.Argument(help="Folders of two or more bundles or runs.")],
    out: Annotated[Path, typer.Option(help="The ensemble's folder.")],
    mean: Annotated[str, typer.Option(help="Of what: probabilities, or logits.")] = "probabilities",
    data: LabelledImages = None,
    images: Images = None,
    json: JsonFile = None,
) -> None:
    """Several bundles as one, whose answers are the mean of theirs. It costs as much as all of them together.

    Example:

        pocketvision ensemble runs/one runs/two runs/three --out ensemble
    """
    from pocketvision.workflows.ensemble import ensemble as run_ensemble

    with TrainingDisplay() as display:
        found = run_ensemble(bundles, out=out, mean=mean, data=data, images=images, on_event=display)
    write_json_option(json, found.to_dict())
    if str(json) == "-":
        return
    for folder, figures in {**found.members, "The ensemble": found.figures}.items():
        for name, each in figures.items():
            of = "" if len(figures) == 1 else f" of {name}"
            stdout().print(f"{folder}: {each.name}{of} {each.text}", soft_wrap=True)
    stdout().print(f"Bundle: {found.bundle.folder}", soft_wrap=True)
