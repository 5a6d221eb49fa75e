"""import: a bundle of weights that somebody else trained."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from pocketvision.bundle import Bundle, require_place
from pocketvision.data.demo_faces import some_pictures
from pocketvision.errors import UsageError
from pocketvision.export.shipping import ship
from pocketvision.models.weights import Pretrained, load_pretrained
from pocketvision.preprocessing import Interpolation, Preprocessing
from pocketvision.printable import counted
from pocketvision.progress import Note, OnEvent, silent
from pocketvision.tasks.classification.task import classifying


def import_weights(
    weights: str | Path,
    *,
    model: str,
    labels: Sequence[str],
    out: str | Path | None = None,
    size: int | None = None,
    crop_share: float | None = None,
    interpolation: str | None = None,
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
    weights_key: str | None = None,
    on_event: OnEvent = silent,
) -> Bundle:
    """Make a bundle of `weights` (a .safetensors or .pth file) for the architecture `model`.

    labels: class names in index order, as many as the weights have outputs. The preprocessing is that of the published weights
    of the file's key layout, with what is given here in its place. weights_key: which of several sets of weights in the file
    (None: plain ones before averaged ones, which a note says). Agreement is measured on the embedded face pictures.
    Raises WeightsError for weights of another architecture, UsageError for a wrong number of labels and for weights that hold no
    classifier.
    """
    path = Path(weights)
    if not path.exists():
        raise UsageError(
            f"{path}: there is no such file. Expected a .safetensors or .pth file with weights of {model}."
        )
    pretrained = load_pretrained(model, path, weights_key=weights_key)
    if pretrained.note:
        on_event(Note(pretrained.note))
    _check_classes(pretrained, path, model, labels)
    preprocessing = _preprocessing(pretrained.preprocessing, size, crop_share, interpolation, mean, std)
    images = some_pictures()
    name = path.name.removesuffix(".tar").rpartition(".")[0] or path.name
    folder = path.with_name(f"{name}-bundle") if out is None else Path(out)
    require_place(folder)
    shipped = ship(
        pretrained.network,
        folder,
        tasks=classifying(labels),
        preprocessing=preprocessing,
        load=lambda index: preprocessing.place(images[index]),
        names=[image.name for image in images],
    )
    return shipped.bundle


def _check_classes(pretrained: Pretrained, path: Path, model: str, labels: Sequence[str]) -> None:
    if pretrained.untrained_classifier:
        raise UsageError(
            f"{path} holds no classifier, only the layers before it, so it has no outputs for labels. "
            f"Train a classifier on images of yours: pocketvision train FOLDER --model {model} --weights {path}"
        )
    classes = pretrained.network.num_classes
    if classes != len(labels):
        raise UsageError(
            f"{path} has {counted(classes, 'output')} and {counted(len(labels), 'label')}: expected one name an output, in index "
            "order."
        )


def _preprocessing(
    published: Preprocessing,
    size: int | None,
    crop_share: float | None,
    interpolation: str | None,
    mean: tuple[float, float, float] | None,
    std: tuple[float, float, float] | None,
) -> Preprocessing:
    try:
        return replace(
            published,
            height=size or published.height,
            width=size or published.width,
            crop_share=crop_share or published.crop_share,
            interpolation=cast(Interpolation, interpolation or published.interpolation),
            mean=mean or published.mean,
            std=std or published.std,
        )
    except ValueError as error:
        raise UsageError(f"The preprocessing is not usable: {error}.") from error
