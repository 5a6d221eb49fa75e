"""torchvision's segmenters, from their state dicts: tables from our module paths to theirs, and the networks."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from pocketvision.errors import WeightsError
from pocketvision.models.features import HEAD_CONV
from pocketvision.models.foreign_network import Paths, network_from, regrouped, renamed
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.key_layouts import LAYOUTS
from pocketvision.models.mobilenet_v3 import LARGE, LARGE_DILATED
from pocketvision.models.network import Network
from pocketvision.models.resnet import RESNET50, RESNET101, dilated
from pocketvision.models.spec import Architecture
from pocketvision.tasks.segmentation.truth import SEGMENTATION

_AUXILIARY = "aux_classifier."
"""A second classifier of torchvision's that only trainings listen to."""

_BACKBONE, _HIDDEN = ("stem", "stages", "head"), "head.linear"
"""Where our paths of a backbone begin; the layer after pooling is no part of it here."""


@dataclass(frozen=True)
class SegmenterKeys:
    """plain, dilated: the backbone as a classifier has it, and with maps that stay large. head: of HEADS. features: what it
    reads. paths: {module path in the head: torchvision's in its classifier}. classes: whose bias has a number a class."""

    plain: Architecture
    dilated: Architecture
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
_FCN = {"block.conv": "0", "block.norm": "1", "classes": "4"}


def _mobilenet(head: str, features: tuple[str, ...], paths: Mapping[str, str], classes: str) -> SegmenterKeys:
    return SegmenterKeys(LARGE, LARGE_DILATED, head, features, paths, classes)


def _resnet(plain: Architecture, head: str, paths: Mapping[str, str]) -> SegmenterKeys:
    row = dilated(plain)
    return SegmenterKeys(plain, row, head, (f"stage{len(row.stages) - 1}",), paths, "4")


# LR-ASPP reads the first block of stride 8 beside the last convolution.
KEYS: dict[str, SegmenterKeys] = {
    "lraspp_mobilenet_v3_large": _mobilenet("lr_aspp", ("stage3", HEAD_CONV), _LR_ASPP, "low_classifier"),
    "deeplabv3_mobilenet_v3_large": _mobilenet("deeplab_torchvision", (HEAD_CONV,), _DEEPLAB, "4"),
    "deeplabv3_resnet50": _resnet(RESNET50, "deeplab_torchvision", _DEEPLAB),
    "deeplabv3_resnet101": _resnet(RESNET101, "deeplab_torchvision", _DEEPLAB),
    "fcn_resnet50": _resnet(RESNET50, "fcn", _FCN),
    "fcn_resnet101": _resnet(RESNET101, "fcn", _FCN),
}
"""By torchvision's names."""


def segmenter_network(name: str, state: Mapping[str, Tensor]) -> Network:
    """The network of torchvision's `name`, of KEYS, with weights of `state` and as many classes as it tells, the background among
    them. Its logits are of the head's stride; theirs are interpolated to the input.

    Raises WeightsError that names what is missing, unknown or of another shape.
    """
    own = KEYS[name]
    head = HeadSpec(own.head, segmenter_outputs(name, state), features=own.features)
    return network_from(name, own.dilated, {SEGMENTATION: head}, segmenter_state(name, state))


def segmenter_outputs(name: str, state: Mapping[str, Tensor]) -> int:
    """Classes, the background among them. WeightsError where the keys are of another network."""
    key = f"classifier.{KEYS[name].classes}.bias"
    if key not in state:
        raise WeightsError(f"The keys are not of torchvision's {name}: {key} is missing.")
    return len(state[key])


def segmenter_state(name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Torchvision's state dict with our keys, without its auxiliary classifier."""
    ours = {theirs: path for path, theirs in torchvision_segmenter(name).items()}
    return renamed(ours, {key: value for key, value in state.items() if not key.startswith(_AUXILIARY)})


def torchvision_segmenter(name: str) -> Paths:
    """{our module path: torchvision's}. The classifier's backbone is theirs, without the layer after pooling."""
    own = KEYS[name]
    paths = {
        ours: f"backbone.{theirs.removeprefix('features.')}"
        for ours, theirs in LAYOUTS["torchvision"].module_paths(own.plain).items()
        if ours.split(".")[0] in _BACKBONE and ours != _HIDDEN
    }
    head = {f"heads.{SEGMENTATION}.{ours}": f"classifier.{theirs}" for ours, theirs in own.paths.items()}
    return regrouped(paths, own.plain, own.dilated) | head
