"""torchvision's SSD300 on VGG16 and SSDLite on MobileNetV3: tables from our module paths to theirs."""

from collections.abc import Iterator

from pocketvision.errors import UsageError
from pocketvision.models.features import EXPANSION
from pocketvision.models.foreign_network import Paths
from pocketvision.models.heads.detection.default_boxes import SSD300, SSD_LITE
from pocketvision.models.heads.detection.ssd import ssd_lite_features
from pocketvision.models.heads.detection.ssd300 import EXTRAS
from pocketvision.models.key_layouts import LAYOUTS
from pocketvision.models.spec import Architecture
from pocketvision.models.vgg import VGG16
from pocketvision.tasks.detection.truth import DETECTION

_PREDICTORS = (("classifiers", "classification_head"), ("regressors", "regression_head"))
_FIRST_PART = 10
"""Convolutions of VGG16 up to the map that SSD300's first boxes are of; those after it are in torchvision's `extra`."""


def torchvision_ssd_lite(architecture: Architecture, task: str = DETECTION) -> Paths:
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
    head, maps = f"heads.{task}", len(SSD_LITE.counts)
    for place in range(maps - 2):
        for layer in range(3):
            paths |= _convolution(f"{head}.extras.{place}.{layer}", f"backbone.extra.{place}.{layer}")
    for ours, theirs in _predictors(head, maps):
        paths |= _convolution(f"{ours}.0", f"{theirs}.0")
        paths[f"{ours}.1"] = f"{theirs}.1"
    return paths


def torchvision_ssd300(task: str = DETECTION) -> Paths:
    """The same of a network of VGG16 with the head `ssd300`."""
    head, paths = f"heads.{task}", Paths()
    for number, (ours, place) in enumerate(_vgg_convolutions()):
        first = number < _FIRST_PART
        paths[f"{ours}.conv"] = f"backbone.features.{place}" if first else f"backbone.extra.0.{place}"
    for place in (1, 3):  # after a pooling, and with an activation between them, in a part of their own
        paths[f"{head}.full.{place}"] = f"backbone.extra.0.7.{place}"
    for place in range(len(EXTRAS)):
        paths[f"{head}.extras.{place}.narrow"] = f"backbone.extra.{place + 1}.0"
        paths[f"{head}.extras.{place}.conv"] = f"backbone.extra.{place + 1}.2"
    return {**paths, **dict(_predictors(head, len(SSD300.counts))), f"{head}.length": "backbone.scale_weight"}


def _vgg_convolutions() -> Iterator[tuple[str, int]]:
    """Our paths of VGG16's blocks and their places in torchvision's two sequences, where an activation follows each, and a
    pooling stands before each stage."""
    yield "stem", 0
    number, place = 1, 2
    for stage, row in enumerate(VGG16.stages):
        place += 1 if row.pool and number < _FIRST_PART else 0
        for block in range(row.repeats):
            if number == _FIRST_PART:  # the second sequence begins with the pooling
                place = 1
            yield f"stages.{stage}.{block}.expand", place
            number, place = number + 1, place + 2


def _predictors(head: str, maps: int) -> Iterator[tuple[str, str]]:
    for ours, theirs in _PREDICTORS:
        for place in range(maps):
            yield f"{head}.{ours}.{place}", f"head.{theirs}.module_list.{place}"


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


def _convolution(ours: str, theirs: str) -> Paths:
    return {f"{ours}.conv": f"{theirs}.0", f"{ours}.norm": f"{theirs}.1"}
