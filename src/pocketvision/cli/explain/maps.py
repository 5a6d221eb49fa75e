"""`pocketvision explain BUNDLE IMAGES`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketvision.cli.answer_options import Tasks, listed
from pocketvision.cli.display import write_json_option
from pocketvision.cli.options import BackendName, BundleArgument, JsonFile, Threads
from pocketvision.cli.terminal import stderr, stdout

if TYPE_CHECKING:
    from pocketvision.explain.explained import Explanation


def maps(
    bundle: BundleArgument,
    images: Annotated[list[str], typer.Argument(help="Files, folders or globs.")],
    out: Annotated[Path, typer.Option(help="A new folder for copies with heat maps and a page.", metavar="FOLDER")],
    method: Annotated[
        str,
        typer.Option(
            help="map, grad-cam, grad-cam++, hires-cam, integrated-gradients, attention-rollout, occlusion, score-cam, or auto."
        ),
    ] = "auto",
    layer: Annotated[
        str | None,
        typer.Option(help="Whose map, by name (`explain layers` lists them).  [default: the deepest that is read]"),
    ] = None,
    class_name: Annotated[
        str | None,
        typer.Option("--class", help="The class that is explained.  [default: what is answered]", metavar="NAME"),
    ] = None,
    tasks: Tasks = None,
    most: Annotated[int, typer.Option(min=1, help="Objects or tags of a picture that are explained.")] = 1,
    checks: Annotated[
        bool, typer.Option("--checks/--no-checks", help="Check each map by covering, uncovering and random weights.")
    ] = True,
    limit: Annotated[int, typer.Option(min=1, help="Pictures at most.")] = 100,
    threads: Threads = None,
    backend: BackendName = None,
    json: JsonFile = None,
) -> None:
    """Lay heat maps of what speaks for the answer over copies of pictures, and say how far they are to be believed.

    Exit code 0: all explained; 1: some pictures could not be read.

    Examples:

        pocketvision explain runs/leaves/bundle photos/ --out where/

        pocketvision explain runs/leaves/bundle photo.jpg --method occlusion --class oak --out oak/
    """
    from pocketvision.workflows.explain import explain_maps

    found = explain_maps(
        bundle,
        images,
        out=out,
        method=method,
        layer=layer,
        class_name=class_name,
        tasks=listed(tasks),
        most=most,
        checks=checks,
        limit=limit,
        threads=threads,
        backend=backend,
    )
    write_json_option(json, found.to_dict())
    if str(json) != "-":
        _print(found)
    if found.failed:
        stderr().print(f"{found.failed} could not be read", soft_wrap=True)
        raise typer.Exit(1)


def _print(found: "Explanation") -> None:
    console = stdout()
    for each in found.answers:
        said = f"{each.picture}  {each.error or each.words or each.headline}  {each.note}"
        console.print(said.rstrip(), soft_wrap=True)
    if found.overall is not None:
        console.print(found.overall.text, soft_wrap=True)
    console.print(f"Page: {found.page}", soft_wrap=True)
