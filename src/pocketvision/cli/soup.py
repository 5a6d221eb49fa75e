"""`pocketvision soup`."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli.display import TrainingDisplay, write_json_option
from pocketvision.cli.options import Images, JsonFile
from pocketvision.cli.terminal import stdout

LabelledImages = Annotated[
    Path | None, typer.Option(help="Labelled images: its validation split decides.  [default: the first one's run's]")
]


def soup(
    bundles: Annotated[list[str], typer.Argument(help="Folders of two or more bundles or runs of one network.")],
    out: Annotated[Path, typer.Option(help="The soup's folder.")],
    data: LabelledImages = None,
    images: Images = None,
    json: JsonFile = None,
) -> None:
    """The mean of several trainings' weights: one network, each training taken in only where the validation loss does not rise.

    Exit code 1 when no average is as good as the best training alone: no bundle is written.

    Example:

        pocketvision soup runs/one runs/two runs/three --out soup
    """
    from pocketvision.workflows.soup import soup as run_soup

    with TrainingDisplay() as display:
        found = run_soup(bundles, out=out, data=data, images=images, on_event=display)
    write_json_option(json, found.to_dict())
    if str(json) == "-":
        return
    for folder, taste in found.tastes:
        how = "in" if taste.added else "left out"
        stdout().print(f"{folder}: loss {taste.alone:.4f} alone, {taste.together:.4f} together: {how}", soft_wrap=True)
    for what, figures in (("The best alone", found.best), ("The soup", found.figures)):
        for name, each in figures.items():
            of = "" if len(figures) == 1 else f" of {name}"
            stdout().print(f"{what}: {each.name}{of} {each.text}", soft_wrap=True)
    stdout().print(f"Bundle: {found.bundle.folder}", soft_wrap=True)
