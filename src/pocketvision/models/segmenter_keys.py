"""torchvision's segmenters on MobileNetV3, from their state dicts: tables from our module paths to theirs, and the networks."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from pocketvision.errors import WeightsError
from pocketvision.models.features import HEAD_CONV
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.key_layouts import LAYOUTS
from pocketvision.models.mobilenet_v3 import LARGE, LARGE_DILATED
from pocketvision.models.network import Network
from pocketvision.tasks.segmentation.truth import SEGMENTATION

_SPLIT = 3
"""The stage of LARGE that LARGE_DILATED has in two."""

_AUXILIARY = "aux_classifier."
"""A second classifier of torchvision's that only trainings listen to."""


@dataclass(frozen=True)
class SegmenterKeys:
    """head: of HEADS. features: what it reads. paths: {module path in the head: torchvision's in its classifier}. classes: whose
    bias has a number a class."""

    head: str
    features: tuple[str, ...]
    paths: Mapping[str, str]
    classes: str


_DEEPLAB = {
    "pyramid.point.conv": "0.convs.0.0",
    "pyramid.point.norm": "0.convs.0.1",
    **{f"pyramid.branches.{place}.conv": f"0.convs.{place + 1}.0" for place in range(3)},
    **{f"pyramid.branches.{place}.norm": f"0.convs.{place + 1}.1" for place in range(3)},
    "pyramid.pooled.conv": "0.convs.4.1",
    "pyramid.pooled.norm": "0.convs.4.2",
    "pyramid.mixed.conv": "0.project.0",
    "pyramid.mixed.norm": "0.project.1",
    "block.conv": "1",
    "block.norm": "2",
    "classes": "4",
}
_LR_ASPP = {
    "value.conv": "cbr.0",
    "value.norm": "cbr.1",
    "gate": "scale.1",
    "of_fine": "low_classifier",
    "of_coarse": "high_classifier",
}
# LR-ASPP reads the first block of stride 8 beside the last convolution.
KEYS: dict[str, SegmenterKeys] = {
    "lraspp_mobilenet_v3_large": SegmenterKeys("lr_aspp", ("stage3", HEAD_CONV), _LR_ASPP, "low_classifier"),
    "deeplabv3_mobilenet_v3_large": SegmenterKeys("deeplab_torchvision", (HEAD_CONV,), _DEEPLAB, "4"),
}
"""By torchvision's names."""


def segmenter_network(name: str, state: Mapping[str, Tensor]) -> Network:
    """The network of torchvision's `name`, of KEYS, with weights of `state` and as many classes as it tells, the background among
    them. Its logits are of the head's stride; theirs are interpolated to the input.

    Raises WeightsError that names what is missing, unknown or of another shape.
    """
    own = KEYS[name]
    network = Network(
        LARGE_DILATED, {SEGMENTATION: HeadSpec(own.head, segmenter_outputs(name, state), features=own.features)}
    )
    try:
        network.load_state_dict(segmenter_state(name, state))
    except RuntimeError as error:
        raise WeightsError(f"They are not torchvision's {name}: {error}") from error
    return network


def segmenter_outputs(name: str, state: Mapping[str, Tensor]) -> int:
    """Classes, the background among them. WeightsError where the keys are of another network."""
    key = f"classifier.{KEYS[name].classes}.bias"
    if key not in state:
        raise WeightsError(f"The keys are not of torchvision's {name}: {key} is missing.")
    return len(state[key])


def segmenter_state(name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Torchvision's state dict with our keys, without its auxiliary classifier; those that are in no table stay as they are, for
    load_state_dict to name."""
    ours = {theirs: path for path, theirs in torchvision_segmenter(name).items()}
    renamed = {}
    for key, value in state.items():
        module, _, tensor = key.rpartition(".")
        if not key.startswith(_AUXILIARY):
            renamed[f"{ours.get(module, module)}.{tensor}"] = value
    return renamed


def torchvision_segmenter(name: str) -> dict[str, str]:
    """{our module path: torchvision's}. The classifier's backbone is theirs, without the layer after pooling."""
    paths = {
        _in_two(ours): theirs.replace("features.", "backbone.", 1)
        for ours, theirs in LAYOUTS["torchvision"].module_paths(LARGE).items()
        if theirs.startswith("features.")
    }
    return paths | {f"heads.{SEGMENTATION}.{ours}": f"classifier.{theirs}" for ours, theirs in KEYS[name].paths.items()}


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
