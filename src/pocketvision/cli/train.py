"""`pocketvision train`."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketvision.cli.display import TrainingDisplay, print_evaluations, write_json_option
from pocketvision.cli.exit_codes import INTERRUPTED
from pocketvision.cli.options import (
    BoxColumns,
    Download,
    Format,
    Images,
    JsonFile,
    LabelColumn,
    Labels,
    Lang,
    PathColumn,
    Positive,
    Root,
    SplitColumn,
    TaskKind,
    parse_labels,
    parse_names,
)
from pocketvision.cli.terminal import stdout, write_line
from pocketvision.errors import UsageError
from pocketvision.printable import counted
from pocketvision.training.setting import said
from pocketvision.training.setting_aliases import Alias, given_flat, with_aliases
from pocketvision.training.setting_values import given_settings

if TYPE_CHECKING:
    from pocketvision.training.recipe import Recipe
    from pocketvision.workflows.training_run import TrainResult

SHOWN = (
    "model",
    "weights",
    "size",
    "batch",
    "seed",
    "val_share",
    "test_share",
    "group",
    "class_weights",
    "balance_to",
    "augmentation",
    "min_per_class",
    "workers",
    "device",
    "teacher",
    "unlabelled",
    "threshold",
    "abstain_below",
)
"""What everybody uses. The other flat names of settings are options too, which the help does not show; all are in the recipe."""


def _option(alias: Alias) -> tuple[Any, Any]:
    """How typer is told of a setting; None is not given."""
    setting = alias.setting
    default = setting.unset if alias.default is None else said(alias.default)
    help, hidden = f"{setting.help}.  [default: {default}]", alias.name not in SHOWN
    return Annotated[setting.plain | None, typer.Option(help=help, hidden=hidden, rich_help_panel="The recipe")], None


@with_aliases(_option)
def train(
    data: Annotated[
        Path | None,
        typer.Argument(
            help="Images and what is said of them: a folder, a table, COCO, YOLO … or a published set's name."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder.  [default: runs/NAME]")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with this run's folder.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="With --resume: go on where images were changed or are gone.")
    ] = False,
    effort: Annotated[
        str | None,
        typer.Option(
            help="How long it may take: quick (the heads alone, in one pass where they have a closed form), default, best "
            "(more stages, for longer).  [default: default]"
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="A recipe by its name, such as finetune (docs/training.md has all).", metavar="NAME"),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            help="A TOML file of settings, or a run's folder; what it leaves out has its default.", metavar="FILE"
        ),
    ] = None,
    set: Annotated[
        list[str] | None,
        typer.Option(
            help="A setting by its path, as optimizer.lr=3e-4 or phases.2.epochs=5; repeatable.", metavar="PATH=VALUE"
        ),
    ] = None,
    show_recipe: Annotated[
        bool, typer.Option("--show-recipe", help="Print every setting, with what it means, as a recipe; train nothing.")
    ] = False,
    show_batch: Annotated[
        Path | None,
        typer.Option(help="Save a picture of a batch as it is learned from, boxes and masks drawn; train nothing."),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Plan views, cut and epochs of the last phase so that all of it takes this long, from measured speed."
        ),
    ] = None,
    labels: Labels = None,
    format: Format = None,
    task: TaskKind = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            help="A task and its source (a table, an annotation file, a folder), as number=ages.csv; repeatable: one network "
            "learns them all.",
            metavar="NAME=SOURCE",
        ),
    ] = None,
    add_to: Annotated[
        Path | None,
        typer.Option(
            help="Add heads for the data's tasks to this bundle; its backbone and earlier heads stay as they are.",
            metavar="BUNDLE",
        ),
    ] = None,
    path_column: PathColumn = "path",
    label_column: LabelColumn = "label",
    split_column: SplitColumn = "split",
    box_columns: BoxColumns = None,
    images: Images = None,
    root: Root = None,
    download: Download = False,
    positive: Positive = None,
    tracker: Annotated[
        str | None,
        typer.Option(
            help="Where its figures go besides its own files: tensorboard, mlflow, wandb; several with commas. A run that goes "
            "on keeps its own.",
            metavar="NAMES",
        ),
    ] = None,
    cache_dir: Annotated[Path | None, typer.Option(help="Keep the trunk cache here, for further runs.")] = None,
    ship_hashes: Annotated[
        bool,
        typer.Option(
            "--ship-hashes/--no-ship-hashes",
            help="Hashes of the training's images go into the bundle, so that whoever measures it can tell what it has seen.",
        ),
    ] = True,
    lang: Lang = "en",
    json: JsonFile = None,
    **flat: Any,
) -> None:
    """Train on images with classes, tags, numbers or boxes; leave a report and a bundle.

    Examples:

        pocketvision train photos/

        pocketvision train photos/ --effort quick

        pocketvision train photos/ --model mobilenet_v2 --test-share 0.2 --out runs/leaves

        pocketvision train samples.csv --class-weights balanced --set phases.2.epochs=5

        pocketvision train cifar10 --root sets/ --download --weights none

        pocketvision train --resume runs/leaves
    """
    from pocketvision.training.deadline import Deadline

    deadline = None if minutes is None else Deadline(minutes)  # before the imports that take seconds
    from pocketvision.training.processes import is_follower
    from pocketvision.workflows.train import train as run_train

    if show_recipe or show_batch is not None:
        from pocketvision.training.recipe_file import recipe_of

        found = recipe_of(recipe, [*given_settings(set or []), *given_flat(flat)], effort, preset)
    if show_recipe:
        _print_recipe(found)
        return
    columns = {"path_column": path_column, "label_column": label_column, "split_column": split_column}
    if show_batch is not None:
        _show_batch(data, show_batch, found, columns, format, task, parse_labels(labels), images)
        return
    with TrainingDisplay() as display:
        result = run_train(
            data,
            out=out,
            effort=effort,
            preset=preset,
            recipe=recipe,
            settings=set,
            labels=parse_labels(labels),
            format=format,
            task=task,
            tasks=tasks,
            add_to=add_to,
            path_column=path_column,
            label_column=label_column,
            split_column=split_column,
            box_columns=parse_names(box_columns),
            images=images,
            root=root,
            download=download,
            positive=positive,
            cache_dir=cache_dir,
            ship_hashes=ship_hashes,
            resume=resume,
            force=force,
            minutes=deadline,
            tracker=tracker or (),
            lang=lang,
            on_event=display,
            **flat,
        )
    if is_follower():
        return
    write_json_option(json, result.to_dict())
    if json is None or str(json) != "-":
        _print_result(result)
    if code := INTERRUPTED if result.interrupted else int(result.unreported is not None):
        raise typer.Exit(code)


def _print_recipe(recipe: "Recipe") -> None:
    from pocketvision.training.recipe_file import recipe_text

    for line in recipe_text(recipe, explained=True).splitlines():
        write_line(line)


def _show_batch(
    data: Path | None,
    file: Path,
    recipe: "Recipe",
    columns: dict[str, Any],
    format: str | None,
    task: str | None,
    labels: list[str] | None,
    images: Path | None,
) -> None:
    """Without data it is said what is missing."""
    from pocketvision.workflows.show_batch import show_batch

    if data is None:
        raise UsageError("--show-batch needs data: name an image folder or a table.")
    with TrainingDisplay() as display:
        shown = show_batch(
            data,
            file,
            recipe,
            columns=columns,
            format=format,
            task=task,
            labels=labels,
            images=images,
            on_event=display,
        )
    stdout().print(f"{counted(shown, 'view')}: {file}", soft_wrap=True)


def _print_result(result: "TrainResult") -> None:
    """What was measured, where it lies, and what to do next."""
    console = stdout()
    print_evaluations(result.evaluations)
    if result.unchanged:
        for figure in result.bundle.figures:
            console.print(figure.text, soft_wrap=True)
    if result.unreported is None:
        console.print(f"Report: {result.report}", soft_wrap=True)
    console.print(f"Bundle: {result.bundle.folder}", soft_wrap=True)
    run = shlex.quote(str(result.run))
    console.print(f"Next: pocketvision predict {run} PHOTO.jpg, or pocketvision serve {run}", soft_wrap=True)
