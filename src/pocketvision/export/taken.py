"""Bundles of networks whose weights are taken as somebody else trained them."""

from collections.abc import Sequence
from pathlib import Path

from pocketvision.bundle import Bundle
from pocketvision.data.demo_faces import some_pictures
from pocketvision.errors import UsageError
from pocketvision.export.shipping import ship
from pocketvision.models.named_networks import NamedNetwork
from pocketvision.models.network import Network
from pocketvision.models.weights import Pretrained
from pocketvision.preprocessing import Preprocessing
from pocketvision.printable import counted
from pocketvision.tasks.classification.task import classifying
from pocketvision.tasks.detection.task import detecting
from pocketvision.tasks.detection.truth import DETECTION
from pocketvision.tasks.segmentation.task import segmenting
from pocketvision.tasks.segmentation.truth import SEGMENTATION

_PICTURES, _SIDE, _FEWEST = 16, 320, 4
"""That the exported file is compared on, of inputs of such a side; fewer of larger ones, but not less than the last."""

_TASKS = {DETECTION: detecting, SEGMENTATION: segmenting}
"""What a bundle says of a network of one kind."""


def ship_named(named: NamedNetwork, folder: Path, preprocessing: Preprocessing | None = None) -> Bundle:
    """Write it to `folder`. preprocessing: None takes its publisher's. Raises AgreementError and writes nothing where the
    exported file says something else."""
    prepared = preprocessing or named.published.weights.preprocessing
    affordable = _PICTURES * _SIDE**2 // (prepared.width * prepared.height)
    images = some_pictures(min(max(affordable, _FEWEST), _PICTURES))
    return ship(
        named.network,
        folder,
        tasks=_TASKS[named.published.task](named.labels, named.published.postprocessing),
        preprocessing=prepared,
        load=lambda index: prepared.place(images[index]),
        names=[image.name for image in images],
        origin=named.origin,
    ).bundle


def ship_classifier(network: Network, folder: Path, labels: Sequence[str], preprocessing: Preprocessing) -> Bundle:
    """The same of a classifier, compared on the embedded faces."""
    images = some_pictures()
    return ship(
        network,
        folder,
        tasks=classifying(labels),
        preprocessing=preprocessing,
        load=lambda index: preprocessing.place(images[index]),
        names=[image.name for image in images],
    ).bundle


def check_classes(pretrained: Pretrained, path: Path, model: str, labels: Sequence[str]) -> None:
    """Raise UsageError where the weights of a file have no classifier, or one of another number of classes than labels."""
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
