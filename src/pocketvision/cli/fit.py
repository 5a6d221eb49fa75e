"""`pocketvision fit`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pocketvision.cli.comparisons import format_drop, format_headline, headline_column, too_few_images
from pocketvision.cli.display import TrainingDisplay, write_json_option
from pocketvision.cli.options import Images, JsonFile
from pocketvision.cli.terminal import stdout
from pocketvision.compression.budget import Budget
from pocketvision.compression.trial_settings import TrialSettings

if TYPE_CHECKING:
    from pocketvision.compression.study import TrialResult
    from pocketvision.workflows.fit import FitResult


MaxAccuracyDrop = Annotated[
    float, typer.Option(min=0, max=100, help="Percentage points that the accuracy (of objects: AP) may drop.")
]
Weights = Annotated[
    str | None,
    typer.Option(
        help="Of several tasks, by which the points that one loses count, as detection=2,number=0.5; 1 for the others."
    ),
]
LabelledImages = Annotated[
    Path | None,
    typer.Option(
        help="Labelled images: its training split tunes and trains, its validation split judges.  [default: the run's]"
    ),
]
Kinds = Annotated[
    str | None,
    typer.Option(
        "--try", help="What to try: some of size, int8, tuned-size, pruning, network.  [default: all]", metavar="KINDS"
    ),
]
Networks = Annotated[
    str | None, typer.Option(help="Smaller networks to train, by name.  [default: two of the catalogue]")
]
Backends = Annotated[
    str | None, typer.Option(help="Runtimes to time.  [default: onnxruntime and, if installed, openvino]")
]
Everything = Annotated[bool, typer.Option("--everything", help="Also train what is not needed to keep the budget.")]
Epochs = Annotated[float, typer.Option(min=0, help="Epochs of one tuning, of a smaller input or of fewer channels.")]
PlotFile = Annotated[
    Path | None, typer.Option(help="Where to draw what was tried (.png or .svg).  [default: in BUNDLE-fit.steps]")
]


def fit(
    bundle: Annotated[str, typer.Argument(help="A bundle's folder.")],
    latency: Annotated[str | None, typer.Option(help="Of one image on this machine, such as 8ms.")] = None,
    size: Annotated[str | None, typer.Option(help="Of the network's file, such as 5MB.")] = None,
    max_accuracy_drop: MaxAccuracyDrop = Budget.max_accuracy_drop,
    weights: Weights = None,
    data: LabelledImages = None,
    images: Images = None,
    out: Annotated[Path | None, typer.Option(help="The fitted bundle's folder.  [default: BUNDLE-fit]")] = None,
    kinds: Kinds = None,
    networks: Networks = None,
    backends: Backends = None,
    everything: Everything = False,
    epochs: Epochs = TrialSettings.epochs,
    plot: PlotFile = None,
    seed: Annotated[int, typer.Option(help="Of the order and the views of the images.")] = TrialSettings.seed,
    json: JsonFile = None,
) -> None:
    """Write the most accurate bundle that keeps to a budget, out of smaller inputs, backends, 8 bits, pruning, smaller networks.

    What needs no training comes first; the rest is tried, step by step, only until the budget is kept. Repeat the command to go
    on after an interruption: what was made is found again. Exit code 1 when nothing keeps to the budget.

    Examples:

        pocketvision fit runs/leaves/bundle --latency 8ms --size 5MB --max-accuracy-drop 1

        pocketvision fit bundle --data photos/ --size 1MB --try int8,network --networks mobilenet_v3_small
    """
    from pocketvision.compression.budget import parse_latency, parse_size, parse_weights
    from pocketvision.compression.trials import KINDS
    from pocketvision.workflows.fit import fit as run_fit

    budget = Budget(
        None if latency is None else parse_latency(latency),
        None if size is None else parse_size(size),
        max_accuracy_drop,
        {} if weights is None else parse_weights(weights),
    )
    with TrainingDisplay() as display:
        found = run_fit(
            bundle,
            budget,
            data=data,
            images=images,
            out=out,
            kinds=_names(kinds) or tuple(KINDS),
            networks=_names(networks),
            backends=_names(backends),
            everything=everything,
            settings=TrialSettings(epochs=epochs, seed=seed),
            plot=plot,
            on_event=display,
        )
    write_json_option(json, found.to_dict())
    if str(json) != "-":
        _print(found)
    if found.bundle is None:
        raise typer.Exit(1)


def _names(text: str | None) -> tuple[str, ...] | None:
    names = tuple(part.strip() for part in (text or "").split(",") if part.strip())
    return names or None


def _print(found: "FitResult") -> None:
    from rich.table import Table

    figure = headline_column(each.comparison for each in found.trials)
    table = Table("", "", "Size", "One image", figure, "Drop", "Misses", box=None, header_style="bold")
    for each in sorted(found.trials, key=lambda trial: trial.latency.latency_ms):
        compared = each.comparison
        table.add_row(
            "*" if each.best_of_its_cost else "",
            each.title,
            f"{each.bytes / 1e6:.2f} MB",
            f"{each.latency.latency_ms:.2f} ms",
            format_headline(compared.headline),
            format_drop(compared),
            ", ".join(_said(name, each) for name in each.misses),
            style="bold" if each is found.chosen else "",
        )
    stdout().print(table)
    stdout().print("* no other is as fast, as small and as accurate (the Pareto front)", soft_wrap=True)
    for trial, reason in found.failed.items():
        stdout().print(f"Failed: {trial}: {reason}", soft_wrap=True)
    stdout().print(f"Plot: {found.plot}; all trials: {found.trials_folder}", soft_wrap=True)
    if found.chosen is not None and found.bundle is not None:
        if not found.chosen.comparison.is_sure(found.budget.max_accuracy_drop):
            stdout().print(too_few_images(found.chosen.comparison, found.budget.max_accuracy_drop), soft_wrap=True)
        stdout().print(f"Bundle: {found.bundle.folder} ({found.chosen.title})", soft_wrap=True)
    else:
        stdout().print(
            f"Nothing keeps to the budget. Nearest: {_exceeded_limits(found.nearest, found)}", soft_wrap=True
        )


def _said(limit: str, trial: "TrialResult") -> str:
    """A limit's name: the figure's own where it is that."""
    return trial.figure if limit == "accuracy" else limit


def _exceeded_limits(trial: "TrialResult", found: "FitResult") -> str:
    from pocketvision.tasks.comparing import lost_points

    budget, parts = found.budget, []
    if "latency" in trial.misses:
        parts.append(f"{trial.latency.latency_ms:.2f} ms of {budget.latency_ms:g} ms")
    if "size" in trial.misses:
        parts.append(f"{trial.bytes / 1e6:.2f} MB of {(budget.bytes or 0) / 1e6:.2f} MB")
    if "accuracy" in trial.misses:
        parts.append(f"{lost_points(trial.comparison):.2f} points lost of {budget.max_accuracy_drop:g}")
    return f"{trial.title}: {', '.join(parts)}. It lies in {trial.folder}."
