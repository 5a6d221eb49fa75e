"""torchvision's LR-ASPP on MobileNetV3, from its state dict: a table from our module paths to theirs, and the network."""

from collections.abc import Mapping

from torch import Tensor

from pocketvision.errors import WeightsError
from pocketvision.models.features import HEAD_CONV
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.key_layouts import LAYOUTS
from pocketvision.models.mobilenet_v3 import LARGE, LARGE_DILATED
from pocketvision.models.network import Network
from pocketvision.tasks.segmentation.truth import SEGMENTATION

FEATURES = ("stage3", HEAD_CONV)
"""What the head reads: the first block of stride 8, and the last convolution."""

_CLASSES = "classifier.low_classifier.bias"
_SPLIT = 3
"""The stage of LARGE that LARGE_DILATED has in two."""

_HEAD = {
    "value.conv": "cbr.0",
    "value.norm": "cbr.1",
    "gate": "scale.1",
    "of_fine": "low_classifier",
    "of_coarse": "high_classifier",
}


def lr_aspp_network(state: Mapping[str, Tensor]) -> Network:
    """The network of torchvision's lraspp_mobilenet_v3_large, with weights of `state` and as many classes as it tells, the
    background among them. Its logits are of stride 8; theirs are interpolated to the input.

    Raises WeightsError that names what is missing, unknown or of another shape.
    """
    if _CLASSES not in state:
        raise WeightsError(f"The keys are not of torchvision's lraspp_mobilenet_v3_large: {_CLASSES} is missing.")
    spec = HeadSpec("lr_aspp", len(state[_CLASSES]), features=FEATURES)
    network = Network(LARGE_DILATED, {SEGMENTATION: spec})
    try:
        network.load_state_dict(lr_aspp_state(state))
    except RuntimeError as error:
        raise WeightsError(f"They are not torchvision's lraspp_mobilenet_v3_large: {error}") from error
    return network


def lr_aspp_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Torchvision's state dict with our keys; those that are in no table stay as they are, for load_state_dict to name."""
    ours = {theirs: path for path, theirs in torchvision_lr_aspp().items()}
    renamed = {}
    for key, value in state.items():
        module, _, tensor = key.rpartition(".")
        renamed[f"{ours.get(module, module)}.{tensor}"] = value
    return renamed


def torchvision_lr_aspp() -> dict[str, str]:
    """{our module path: torchvision's}. The classifier's backbone is theirs, without the layer after pooling."""
    paths = {
        _in_two(ours): theirs.replace("features.", "backbone.", 1)
        for ours, theirs in LAYOUTS["torchvision"].module_paths(LARGE).items()
        if theirs.startswith("features.")
    }
    return paths | {f"heads.{SEGMENTATION}.{ours}": f"classifier.{theirs}" for ours, theirs in _HEAD.items()}


def _in_two(path: str) -> str:
    """From a path in LARGE to that in LARGE_DILATED."""
    parts = path.split(".")
    if parts[0] != "stages":
        return path
    stage, block = int(parts[1]), int(parts[2])
    if stage < _SPLIT or (stage == _SPLIT and block == 0):
        return path
    block = block - 1 if stage == _SPLIT else block
    return ".".join(["stages", str(stage + 1), str(block), *parts[3:]])
