"""torchvision's RetinaNet and FCOS on a ResNet: tables from our module paths to theirs, and what older files call otherwise."""

from pocketvision.models.foreign_network import Paths
from pocketvision.models.heads.detection.fpn import DEPTH, EXTRA
from pocketvision.models.key_layouts import LAYOUTS
from pocketvision.models.spec import Architecture
from pocketvision.tasks.detection.truth import DETECTION

_MAPS = 3
"""Of the backbone: strides 8, 16 and 32."""

_LAST_LAYERS = {
    "classification_head": {"classifier.said.logits": "cls_logits"},
    "regression_head": {"regressor.said.offsets": "bbox_reg"},
}
_LAST_LAYERS_OF_FCOS = {
    "classification_head": {"classifier.said.logits": "cls_logits"},
    "regression_head": {"regressor.said.distances": "bbox_reg", "regressor.said.centre": "bbox_ctrness"},
}


def torchvision_retinanet(architecture: Architecture, *, norms: bool, task: str = DETECTION) -> Paths:
    """{our module path: torchvision's} of a network with the head `retinanet`, or with `norms` `retinanet_v2`, for `task`."""
    paths = _backbone(architecture) | _pyramid(task)
    step = 3 if norms else 2
    for place in range(DEPTH):
        for ours, theirs in _towers(task):
            paths[f"{ours}.{step * place}"] = f"{theirs}.{place}.0"
            if norms:
                paths[f"{ours}.{step * place + 1}"] = f"{theirs}.{place}.1"
    return paths | _last(_LAST_LAYERS, task)


def torchvision_fcos(architecture: Architecture, task: str = DETECTION) -> Paths:
    """The same of one with the head `fcos`, whose towers are called alike."""
    paths = _backbone(architecture) | _pyramid(task)
    for place in range(DEPTH):
        for ours, theirs in _towers(task):
            for layer in (3 * place, 3 * place + 1):  # a convolution and its norm
                paths[f"{ours}.{layer}"] = f"{theirs}.{layer}"
    return paths | _last(_LAST_LAYERS_OF_FCOS, task)


def until_0_13(*, towers: bool, maps: int = _MAPS) -> dict[str, str]:
    """{module path: torchvision's of today} of files from before its 0.13, as published ones are. towers: RetinaNet's,
    whose activations were counted beside its convolutions then."""
    fpn = [f"backbone.fpn.{blocks}.{place}" for blocks in ("inner_blocks", "layer_blocks") for place in range(maps)]
    older = {path: f"{path}.0" for path in fpn}
    if towers:
        for head in _LAST_LAYERS:
            older |= {f"head.{head}.conv.{2 * place}": f"head.{head}.conv.{place}.0" for place in range(DEPTH)}
    return older


def _backbone(architecture: Architecture) -> Paths:
    return {
        ours: f"backbone.body.{theirs}"
        for ours, theirs in LAYOUTS["torchvision"].module_paths(architecture).items()
        if ours.split(".")[0] in ("stem", "stages")
    }


def _pyramid(task: str) -> Paths:
    neck = f"heads.{task}.neck"
    paths = {f"{neck}.extra.{place}.conv": f"backbone.fpn.extra_blocks.p{6 + place}" for place in range(EXTRA)}
    for place in range(_MAPS):
        paths[f"{neck}.lateral.{place}.conv"] = f"backbone.fpn.inner_blocks.{place}.0"
        paths[f"{neck}.smooth.{place}.conv"] = f"backbone.fpn.layer_blocks.{place}.0"
    return paths


def _towers(task: str) -> tuple[tuple[str, str], ...]:
    return (
        (f"heads.{task}.classifier.layers", "head.classification_head.conv"),
        (f"heads.{task}.regressor.layers", "head.regression_head.conv"),
    )


def _last(layers: dict[str, dict[str, str]], task: str) -> Paths:
    return {
        f"heads.{task}.{ours}": f"head.{part}.{theirs}" for part, own in layers.items() for ours, theirs in own.items()
    }
