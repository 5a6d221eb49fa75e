"""torchvision's Faster R-CNN on a ResNet or MobileNetV3: tables from our module paths to theirs, and what older files call
otherwise."""

from pocketvision.models.foreign_network import Paths
from pocketvision.models.key_layouts import LAYOUTS
from pocketvision.models.pyramid_keys import until_0_13
from pocketvision.models.spec import Architecture
from pocketvision.tasks.detection.truth import DETECTION

_CONVOLUTIONS = 4
"""Of the second stage, in the newer form; before its linear layer."""


def torchvision_faster_rcnn(architecture: Architecture, *, maps: int, newer: bool, task: str = DETECTION) -> Paths:
    """{our module path: torchvision's} of a network with a head `faster_rcnn`, or with `newer` `faster_rcnn_v2`, for `task`.

    maps: those of the backbone that its pyramid reads.
    """
    head = f"heads.{task}"
    paths = {
        ours: f"backbone.body.{theirs.removeprefix('features.')}"
        for ours, theirs in LAYOUTS["torchvision"].module_paths(architecture).items()
        if not theirs.startswith(("classifier", "fc"))
    }
    for ours, theirs in (("lateral", "inner_blocks"), ("smooth", "layer_blocks")):
        for place in range(maps):
            paths |= _normed(f"{head}.neck.{ours}.{place}", f"backbone.fpn.{theirs}.{place}")
    for place in range(2 if newer else 1):
        paths[f"{head}.proposals.layers.{2 * place}"] = f"rpn.head.conv.{place}.0"
    reader = "roi_heads.box_head"
    if newer:
        for place in range(_CONVOLUTIONS):
            paths |= _normed(f"{head}.reader.{place}", f"{reader}.{place}")
        paths[f"{head}.reader.{_CONVOLUTIONS + 1}"] = f"{reader}.{_CONVOLUTIONS + 1}"
    else:
        paths |= {f"{head}.reader.1": f"{reader}.fc6", f"{head}.reader.3": f"{reader}.fc7"}
    return paths | {
        f"{head}.proposals.logits": "rpn.head.cls_logits",
        f"{head}.proposals.offsets": "rpn.head.bbox_pred",
        f"{head}.classifier": "roi_heads.box_predictor.cls_score",
        f"{head}.regressor": "roi_heads.box_predictor.bbox_pred",
    }


def until_0_13_of_regions(*, maps: int) -> dict[str, str]:
    """{module path: torchvision's of today} of files from before its 0.13; the newer form has none."""
    return until_0_13(towers=False, maps=maps) | {"rpn.head.conv": "rpn.head.conv.0.0"}


def _normed(ours: str, theirs: str) -> Paths:
    """A convolution, and its norm where it has one."""
    return {f"{ours}.conv": f"{theirs}.0", f"{ours}.norm": f"{theirs}.1"}
