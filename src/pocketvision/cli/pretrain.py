"""`pocketvision pretrain`."""

from pathlib import Path
from typing import Annotated

import typer

from pocketvision.cli.display import TrainingDisplay, write_json_option
from pocketvision.cli.options import JsonFile
from pocketvision.cli.terminal import stdout

Probe = Annotated[
    Path | None,
    typer.Option(
        help="Labelled images, by whose classes the features are judged after each epoch; their labels are not learned."
    ),
]


def pretrain(
    data: Annotated[Path | None, typer.Argument(help="A folder of images; labels are not needed.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder.  [default: runs/NAME]")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with this run's folder.")] = None,
    model: Annotated[str, typer.Option(help="An architecture of `pocketvision models`.")] = "efficientnet_lite0",
    weights: Annotated[str, typer.Option(help="What it starts from, as in train; none is a random start.")] = "auto",
    size: Annotated[int | None, typer.Option(help="Input size in pixels.  [default: that of the weights]")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the images.  [default: 100]")] = None,
    batch: Annotated[int, typer.Option(help="Images a step, two views of each.")] = 128,
    lr: Annotated[float, typer.Option(help="Highest learning rate.")] = 1e-3,
    temperature: Annotated[float, typer.Option(help="Of the loss: less asks for more.")] = 0.5,
    smallest_area: Annotated[float, typer.Option(help="Share of an image that a view shows at least.")] = 0.2,
    seed: Annotated[int, typer.Option(help="The same seed gives the same weights.")] = 0,
    probe: Probe = None,
    json: JsonFile = None,
) -> None:
    """A backbone learns to know images again in other views (SimCLR): from a folder without labels, for `train` to start from.

    Examples:

        pocketvision pretrain photos/ --epochs 50 --out runs/unlabelled

        pocketvision train labelled/ --weights runs/unlabelled/backbone.safetensors
    """
    from pocketvision.training.contrast.settings import ContrastSettings
    from pocketvision.workflows.pretrain import pretrain as run_pretrain

    settings = None
    if resume is None:
        settings = ContrastSettings(
            model=model,
            weights=weights,
            size=size,
            epochs=ContrastSettings.epochs if epochs is None else epochs,
            batch=batch,
            lr=lr,
            temperature=temperature,
            smallest_area=smallest_area,
            seed=seed,
        )
    with TrainingDisplay() as display:
        found = run_pretrain(data, settings, out=out, probe=probe, resume=resume, epochs=epochs, on_event=display)
    write_json_option(json, found.to_dict())
    if str(json) == "-":
        return
    last = found.history[-1]
    for name, value in last.tasks.items():
        if name.endswith(".right"):
            stdout().print(f"Classes by {name.removesuffix('.right')}: {value:.1%} right", soft_wrap=True)
    stdout().print(f"Weights: {found.weights}", soft_wrap=True)
    stdout().print(f"Next: pocketvision train LABELLED --model {found.model} --weights {found.weights}", soft_wrap=True)
