"""`pocketvision tune …`: what a training should be told, looked for before it begins."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketvision.cli.display import TrainingDisplay, write_json_option
from pocketvision.cli.options import Format, JsonFile, TaskKind
from pocketvision.cli.terminal import stdout
from pocketvision.training.setting_values import given_settings

if TYPE_CHECKING:
    from pocketvision.training.recipe import Recipe

app = typer.Typer(
    help="Look for a learning rate or a batch size; nothing is trained for good.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

Data = Annotated[Path, typer.Argument(help="Images and what is said of them, as `train` takes them.")]
Preset = Annotated[str | None, typer.Option(help="A recipe by its name, as in train.", metavar="NAME")]
RecipeFile = Annotated[Path | None, typer.Option("--recipe", help="A TOML file of settings, or a run's folder.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting by its path, as model.name=mobilenet_v2; repeatable.", metavar="PATH=VALUE"),
]
Phase = Annotated[int | None, typer.Option(help="Of the recipe.  [default: the first one that learns step by step]")]


@app.command()
def lr(
    data: Data,
    preset: Preset = None,
    recipe: RecipeFile = None,
    set: Settings = None,
    phase: Phase = None,
    steps: Annotated[int, typer.Option(help="From the lowest rate to the highest.")] = 100,
    plot: Annotated[Path | None, typer.Option(help="Save the curve as a PNG.")] = None,
    format: Format = None,
    task: TaskKind = None,
    json: JsonFile = None,
) -> None:
    """Raise the learning rate step by step until the loss runs away, and say where it fell fastest.

    Example:

        pocketvision tune lr photos/ --plot rates.png
    """
    from pocketvision.workflows.tune import tune_lr

    with TrainingDisplay() as display:
        found = tune_lr(
            data,
            _recipe(recipe, set, preset),
            phase=phase,
            steps=steps,
            plot=plot,
            format=format,
            task=task,
            on_event=display,
        )
    write_json_option(json, found.to_dict())
    if str(json) == "-":
        return
    console = stdout()
    if found.suggested is None:
        console.print(
            "The loss never fell: look at the data (`pocketvision check`), or try another model.", soft_wrap=True
        )
    else:
        console.print(
            f"Suggested: --set phases.{found.phase}.lr={found.suggested:.2g} (the loss fell fastest there; it was lowest at "
            f"{found.rates[found.losses.index(min(found.losses))]:.2g})",
            soft_wrap=True,
        )
    if plot is not None:
        console.print(f"Curve: {plot}", soft_wrap=True)


@app.command()
def batch(
    data: Data,
    preset: Preset = None,
    recipe: RecipeFile = None,
    set: Settings = None,
    phase: Phase = None,
    memory: Annotated[
        float | None,
        typer.Option(help="Gigabytes that the process may take.  [default: three quarters of what is free]"),
    ] = None,
    format: Format = None,
    task: TaskKind = None,
    json: JsonFile = None,
) -> None:
    """Find the largest batch whose steps stay within a limit of memory, and the fastest.

    Example:

        pocketvision tune batch photos/ --memory 4
    """
    from pocketvision.workflows.tune import tune_batch

    with TrainingDisplay() as display:
        found = tune_batch(
            data, _recipe(recipe, set, preset), phase=phase, memory=memory, format=format, task=task, on_event=display
        )
    write_json_option(json, found.to_dict())
    if str(json) != "-":
        stdout().print(
            f"Largest within {found.limit / 1000:.3g} GB: --batch {found.largest}. Fastest: --batch {found.fastest}.",
            soft_wrap=True,
        )


def _recipe(file: Path | None, settings: list[str] | None, preset: str | None) -> "Recipe":
    from pocketvision.training.recipe_file import recipe_of

    return recipe_of(file, given_settings(settings or []), None, preset)
