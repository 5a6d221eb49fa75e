"""torchvision's SSDLite on MobileNetV3, from its state dict: a table from our module paths to theirs, and the network."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from pocketvision.errors import UsageError, WeightsError
from pocketvision.models.features import EXPANSION
from pocketvision.models.heads.detection.default_boxes import SSD_LITE
from pocketvision.models.heads.detection.ssd import COCO_BACKGROUNDS, LITE, LITE_COCO, ssd_lite_features
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.key_layouts import LAYOUTS
from pocketvision.models.mobilenet_v3 import LARGE_REDUCED
from pocketvision.models.network import Network
from pocketvision.models.spec import Architecture
from pocketvision.tasks.detection.truth import DETECTION

_MAPS = len(SSD_LITE.counts)
_ROWS = {1: LITE, COCO_BACKGROUNDS: LITE_COCO}
_CLASSES = "head.classification_head.module_list.0.1.bias"


def ssd_lite_network(state: Mapping[str, Tensor], without: Sequence[int] = (0,)) -> Network:
    """The network of torchvision's ssdlite320_mobilenet_v3_large, with weights of `state` and as many classes as it tells. It
    takes images of 320 x 320 with a mean and a deviation of 0.5.

    without: those of its outputs that stand for no object: the background alone, or COCO's eleven. Raises
    WeightsError that names what is missing, unknown or of another shape.
    """
    outputs = ssd_lite_outputs(state)
    row = _ROWS.get(len(without))
    if row is None or outputs <= max(without):
        raise WeightsError(
            f"They have {outputs} outputs, of which {len(without)} are of no object; expected 1, or COCO's 11 of 91."
        )
    network = Network(LARGE_REDUCED, {DETECTION: HeadSpec(row.name, outputs - len(without))})
    try:
        network.load_state_dict(_reordered(ssd_lite_state(LARGE_REDUCED, state), outputs, without))
    except RuntimeError as error:
        raise WeightsError(f"They are not torchvision's ssdlite320_mobilenet_v3_large: {error}") from error
    return network


def ssd_lite_outputs(state: Mapping[str, Tensor]) -> int:
    """Of a default box, the background's counted. WeightsError where the keys are of another network."""
    if _CLASSES not in state:
        raise WeightsError(f"The keys are not of torchvision's ssdlite320_mobilenet_v3_large: {_CLASSES} is missing.")
    return len(state[_CLASSES]) // SSD_LITE.counts[0]


def _reordered(state: dict[str, Tensor], outputs: int, first: Sequence[int]) -> dict[str, Tensor]:
    """The state with these outputs of every default box before the others."""
    order = [*first, *(each for each in range(outputs) if each not in first)]
    classifier = f"heads.{DETECTION}.classifiers."
    return {
        key: value.reshape(-1, outputs, *value.shape[1:])[:, order].reshape(value.shape)
        if key.startswith(classifier) and key.rpartition(".")[0].endswith(".1")
        else value
        for key, value in state.items()
    }


def torchvision_ssd_lite(architecture: Architecture, task: str = DETECTION) -> dict[str, str]:
    """{our module path: torchvision's} of a network with the head `ssd_lite` for `task`. Raises UsageError for a backbone that
    torchvision has no SSDLite of."""
    widened = ssd_lite_features(architecture)[0]
    if architecture.family != "mobilenet_v3" or not widened.startswith(EXPANSION):
        raise UsageError(f"torchvision has SSDLite on MobileNetV3 alone, none on {architecture.name}.")
    stage = int(widened.removeprefix(EXPANSION))
    split = 1 + sum(row.repeats for row in architecture.scaled_stages()[:stage])
    paths = {
        ours: _in_backbone(theirs, split)
        for ours, theirs in LAYOUTS["torchvision"].module_paths(architecture).items()
        if theirs.startswith("features.")
    }
    head = f"heads.{task}"
    for place in range(_MAPS - 2):
        for layer in range(3):
            paths |= _convolution(f"{head}.extras.{place}.{layer}", f"backbone.extra.{place}.{layer}")
    for ours, theirs in (("classifiers", "classification_head"), ("regressors", "regression_head")):
        for place in range(_MAPS):
            own, list_of_theirs = f"{head}.{ours}.{place}", f"head.{theirs}.module_list.{place}"
            paths |= _convolution(f"{own}.0", f"{list_of_theirs}.0")
            paths[f"{own}.1"] = f"{list_of_theirs}.1"
    return paths


def ssd_lite_state(architecture: Architecture, state: Mapping[str, Tensor], task: str = DETECTION) -> dict[str, Tensor]:
    """Torchvision's state dict with our keys; those that are in no table stay as they are, for load_state_dict to name."""
    ours = {theirs: path for path, theirs in torchvision_ssd_lite(architecture, task).items()}
    renamed = {}
    for key, value in state.items():
        module, _, tensor = key.rpartition(".")
        renamed[f"{ours.get(module, module)}.{tensor}"] = value
    return renamed


def _in_backbone(path: str, split: int) -> str:
    """From a path of the classifier's, features.NUMBER.REST. The detector's backbone is in two parts: up to the widening
    convolution of block `split`, and from its depthwise one on."""
    _, number, rest = path.split(".", 2)
    place = int(number)
    if place < split:
        return f"backbone.features.0.{place}.{rest}"
    if place > split:
        return f"backbone.features.1.{place - split}.{rest}"
    layer, rest = rest.removeprefix("block.").split(".", 1)
    return f"backbone.features.0.{split}.{rest}" if layer == "0" else f"backbone.features.1.0.{layer}.{rest}"


def _convolution(ours: str, theirs: str) -> dict[str, str]:
    return {f"{ours}.conv": f"{theirs}.0", f"{ours}.norm": f"{theirs}.1"}
