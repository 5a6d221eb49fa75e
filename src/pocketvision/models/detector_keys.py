"""torchvision's detectors, from their state dicts: a row each, and the networks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

from torch import Tensor

from pocketvision.errors import WeightsError
from pocketvision.models.foreign_network import Paths, network_from, renamed
from pocketvision.models.heads.detection.anchors import PER_PLACE
from pocketvision.models.heads.detection.default_boxes import SSD300, SSD_LITE
from pocketvision.models.heads.detection.ssd import COCO_BACKGROUNDS
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.mobilenet_v3 import LARGE_REDUCED, LARGE_SPLIT
from pocketvision.models.network import Network
from pocketvision.models.pyramid_keys import torchvision_fcos, torchvision_retinanet, until_0_13
from pocketvision.models.region_keys import torchvision_faster_rcnn, until_0_13_of_regions
from pocketvision.models.resnet import RESNET50
from pocketvision.models.spec import Architecture
from pocketvision.models.ssd_keys import torchvision_ssd300, torchvision_ssd_lite
from pocketvision.models.vgg import VGG16
from pocketvision.tasks.detection.truth import DETECTION

_HEAD = f"heads.{DETECTION}."
_SMALLEST = 1e-30
"""Of a variance: a channel of none is divided by no 0."""


@dataclass(frozen=True)
class DetectorKeys:
    """backbone: its rows. head: of HEADS, by how many outputs stand for no object and are one class in it; under 0 the head of
    those that leave such outputs away. paths: {our module path: torchvision's}. classes: {our module path, below the head: boxes
    at a place} of the layers whose outputs are those of the classes, one or several a class.
    features: what it reads (none: what the head chooses).
    older: {module path of an old file: torchvision's of today}. exact: whether torchvision divides by norms' variances as they
    are, where others add an epsilon to them."""

    backbone: Architecture
    head: Mapping[int, str]
    paths: Paths
    classes: Mapping[str, int]
    features: tuple[str, ...] = ()
    older: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    exact: bool = False


def _by_map(form: str, counts: Sequence[int]) -> dict[str, int]:
    return {form.format(place): count for place, count in enumerate(counts)}


_retinanet = partial(torchvision_retinanet, RESNET50)
_LOGITS = "classifier.said.logits"
_SPLIT = ("stage8", "head_conv")


def _regions(head: str) -> dict[int, str]:
    return {1: head, COCO_BACKGROUNDS: f"{head}_coco"}


def _mobile_regions(head: str) -> DetectorKeys:
    paths = torchvision_faster_rcnn(LARGE_SPLIT, maps=len(_SPLIT), newer=False)
    older = until_0_13_of_regions(maps=len(_SPLIT))
    return DetectorKeys(LARGE_SPLIT, _regions(head), paths, REGIONS, features=_SPLIT, older=older)


REGIONS = {"classifier": 1, "regressor": 1}
"""The layers of Faster R-CNN that say something of every class, of a proposal."""
KEYS: dict[str, DetectorKeys] = {
    "ssdlite320_mobilenet_v3_large": DetectorKeys(
        LARGE_REDUCED,
        {1: "ssd_lite", COCO_BACKGROUNDS: "ssd_lite_coco"},
        torchvision_ssd_lite(LARGE_REDUCED),
        _by_map("classifiers.{}.1", SSD_LITE.counts),
    ),
    "ssd300_vgg16": DetectorKeys(
        VGG16,
        {1: "ssd300", COCO_BACKGROUNDS: "ssd300_coco"},
        torchvision_ssd300(),
        _by_map("classifiers.{}", SSD300.counts),
        features=("stage3", "stage4"),
    ),
    "retinanet_resnet50_fpn": DetectorKeys(
        RESNET50,
        {0: "retinanet"},
        _retinanet(norms=False),
        {_LOGITS: PER_PLACE},
        older=until_0_13(towers=True),
        exact=True,
    ),
    "retinanet_resnet50_fpn_v2": DetectorKeys(
        RESNET50, {0: "retinanet_v2"}, _retinanet(norms=True), {_LOGITS: PER_PLACE}, older=until_0_13(towers=False)
    ),
    "fcos_resnet50_fpn": DetectorKeys(
        RESNET50, {0: "fcos"}, torchvision_fcos(RESNET50), {_LOGITS: 1}, older=until_0_13(towers=False)
    ),
    "fasterrcnn_resnet50_fpn": DetectorKeys(
        RESNET50,
        _regions("faster_rcnn"),
        torchvision_faster_rcnn(RESNET50, maps=4, newer=False),
        REGIONS,
        older=until_0_13_of_regions(maps=4),
        exact=True,
    ),
    "fasterrcnn_resnet50_fpn_v2": DetectorKeys(
        RESNET50, _regions("faster_rcnn_v2"), torchvision_faster_rcnn(RESNET50, maps=4, newer=True), REGIONS
    ),
    "fasterrcnn_mobilenet_v3_large_fpn": _mobile_regions("faster_rcnn_mobile"),
    "fasterrcnn_mobilenet_v3_large_320_fpn": _mobile_regions("faster_rcnn_mobile_320"),
}
"""By torchvision's names."""


def detector_network(name: str, state: Mapping[str, Tensor], without: Sequence[int] = (0,)) -> Network:
    """The network of torchvision's `name`, of KEYS, with weights of `state` and as many classes as it tells.

    without: those of its outputs that stand for no object: the background alone, or COCO's eleven. Where classes share one
    probability they are one class, which is never answered; where each has its own they are left away. Raises WeightsError that
    names what is missing, unknown or of another shape.
    """
    own, outputs = KEYS[name], detector_outputs(name, state)
    head = own.head.get(0) or own.head.get(len(without))
    if head is None or outputs <= max(without, default=0):
        raise WeightsError(
            f"They have {outputs} outputs, of which {len(without)} are of no object; expected 1, or COCO's 11 of 91."
        )
    rest = [each for each in range(outputs) if each not in without]
    ours = detector_state(name, state)
    if own.exact:
        ours = _without_epsilon(ours, own.backbone.norm_epsilon)
    ours = _reordered(ours, own, outputs, rest if 0 in own.head else [*without, *rest])
    spec = HeadSpec(head, len(rest), features=own.features)
    return network_from(name, own.backbone, {DETECTION: spec}, ours)


def detector_outputs(name: str, state: Mapping[str, Tensor]) -> int:
    """Of a box at a place, the background's counted. WeightsError where the keys are of another network."""
    own = KEYS[name]
    path, boxes = next(iter(own.classes.items()))
    key = f"{own.paths[_HEAD + path]}.bias"
    if key not in state:
        raise WeightsError(f"The keys are not of torchvision's {name}: {key} is missing.")
    return len(state[key]) // boxes


def detector_state(name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Torchvision's state dict with our keys."""
    own = KEYS[name]
    ours = {theirs: path for path, theirs in own.paths.items()}
    return renamed(ours | {path: ours[today] for path, today in own.older.items()}, state)


def _reordered(state: Mapping[str, Tensor], own: DetectorKeys, outputs: int, order: Sequence[int]) -> dict[str, Tensor]:
    """The state with these outputs of every box, in this order. Those of another size are left for load_state_dict to name."""
    found = dict(state)
    for path, boxes in own.classes.items():
        for key in (f"{_HEAD}{path}.weight", f"{_HEAD}{path}.bias"):
            value = found.get(key)
            if value is not None and len(value) % (boxes * outputs) == 0:
                found[key] = value.reshape(boxes, outputs, -1, *value.shape[1:])[:, order].flatten(0, 2)
    return found


def _without_epsilon(state: Mapping[str, Tensor], epsilon: float) -> dict[str, Tensor]:
    """Norms that say with the epsilon what these would say without: their scales make up for it."""
    found = dict(state)
    for key, variance in state.items():
        module, _, tensor = key.rpartition(".")
        scale = f"{module}.weight"
        if tensor == "running_var" and scale in state:
            least = variance.double().clamp(min=_SMALLEST)
            found[scale] = (state[scale].double() * ((variance.double() + epsilon) / least).sqrt()).float()
    return found
