"""`pocketvision demo`."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli.display import TrainingDisplay, print_evaluations, write_json_option
from pocketvision.cli.exit_codes import INTERRUPTED
from pocketvision.cli.options import JsonFile, Lang
from pocketvision.cli.terminal import joined, stdout, styled


def demo(
    task: Annotated[
        str,
        typer.Option(
            help="classification of faces; in scenes of them detection, segmentation, or all: one network for both and "
            "for what stands behind."
        ),
    ] = "classification",
    question: Annotated[
        str, typer.Option(help="cheerful (or upset), or teasing (or not): the reference job, and hard.")
    ] = "cheerful",
    out: Annotated[Path | None, typer.Option(help="The run's folder.  [default: runs/demo]")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same model.")] = 0,
    lang: Lang = "en",
    json: JsonFile = None,
) -> None:
    """Train, measure and ship a model on the embedded faces: is a face cheerful or upset? No downloads; about a minute.

    With --task detection it finds the faces, in scenes that are composed of them; with --task all one network tells what is
    behind them too, and which pixels are theirs.

    Examples:

        pocketvision demo

        pocketvision demo --task all
    """
    from pocketvision.evaluation.evaluation import untouched_first
    from pocketvision.workflows.demo import demo as run_demo

    with TrainingDisplay() as display:
        result = run_demo(task=task, question=question, out=out, seed=seed, lang=lang, on_event=display)
    training = result.training
    example = "IMAGE" if result.predictions else training.run / "scenes" / "test"
    write_json_option(json, training.to_dict())
    if json is None or str(json) != "-":
        print_evaluations(untouched_first(training.evaluations))
        console = stdout()
        console.print()
        if result.predictions:
            console.print("The bundle on faces it never saw:")
        for path, truth, answer in result.predictions:
            mark = styled("right", "green") if answer.label == truth else styled("wrong", "red")
            console.print(joined(f"  {path.name}: {answer.label} ({answer.probability:.0%}), ", mark), soft_wrap=True)
        if result.predictions:
            console.print()
        for line in (
            f"Done in {training.seconds:.0f} s.",
            f"Report: {training.report}",
            f"Bundle: {training.bundle.folder}",
            f"Try:    pocketvision predict {training.bundle.folder} {example}",
            f"Serve:  pocketvision serve {training.bundle.folder}",
        ):
            console.print(line, soft_wrap=True)
    if training.interrupted:
        raise typer.Exit(INTERRUPTED)
