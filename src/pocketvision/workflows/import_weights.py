"""import: a bundle of weights, or of an ONNX detector, that somebody else trained."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from pocketvision.bundle import Bundle, require_place
from pocketvision.errors import UsageError
from pocketvision.export.from_onnx import bundle_of_onnx
from pocketvision.export.taken import check_classes, ship_classifier, ship_named
from pocketvision.models.named_networks import read_named
from pocketvision.models.published_networks import published_network
from pocketvision.models.weights import load_pretrained
from pocketvision.preprocessing import Fit, Interpolation, Preprocessing
from pocketvision.progress import Note, OnEvent, silent


def import_weights(
    weights: str | Path,
    *,
    model: str | None = None,
    labels: Sequence[str] = (),
    out: str | Path | None = None,
    size: int | None = None,
    crop_share: float | None = None,
    interpolation: str | None = None,
    fit: str | None = None,
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
    weights_key: str | None = None,
    on_event: OnEvent = silent,
) -> Bundle:
    """Make a bundle of `weights`: a .safetensors or .pth file for the architecture, detector or segmenter `model`, or a
    detector's .onnx.

    labels: class names in index order, as many as the weights have outputs; of detectors see models/named_networks.py. The
    preprocessing is that of the published weights of the file's key layout, with what is given here in its place. weights_key:
    which of several sets of weights in the file (None: plain ones before averaged ones, which a note says). Agreement is measured
    on the embedded face pictures.
    Raises WeightsError for weights of another architecture, UsageError for a wrong number of labels and for weights that hold no
    classifier.
    """
    path = Path(weights)
    if not path.exists():
        raise UsageError(
            f"{path}: there is no such file. Expected a .safetensors or .pth file with weights of {model or 'a network'}, or a "
            "detector's .onnx file."
        )
    name = path.name.removesuffix(".tar").rpartition(".")[0] or path.name
    folder = path.with_name(f"{name}-bundle") if out is None else Path(out)
    require_place(folder)

    def prepared(published: Preprocessing) -> Preprocessing:
        return _preprocessing(published, size, crop_share, interpolation, fit, mean, std)

    if path.suffix.lower() == ".onnx":
        return bundle_of_onnx(path, labels, folder, prepared)
    if model is None:
        raise UsageError(f"{path}: say of which architecture, detector or segmenter the weights are (--model).")
    if published_network(model) is not None:
        named = read_named(path, model, labels, weights_key)
        return ship_named(named, folder, prepared(named.published.weights.preprocessing))
    pretrained = load_pretrained(model, path, weights_key=weights_key)
    if pretrained.note:
        on_event(Note(pretrained.note))
    check_classes(pretrained, path, model, labels)
    return ship_classifier(pretrained.network, folder, labels, prepared(pretrained.preprocessing))


def _preprocessing(
    published: Preprocessing,
    size: int | None,
    crop_share: float | None,
    interpolation: str | None,
    fit: str | None,
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
            fit=cast(Fit, fit or published.fit),
            mean=mean or published.mean,
            std=std or published.std,
        )
    except ValueError as error:
        raise UsageError(f"The preprocessing is not usable: {error}.") from error
