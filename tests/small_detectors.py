"""torchvision's detectors of one stage on a ResNet-18, and the rows by which they are read: the same heads, less to compute."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn
from torchvision.models import detection
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from pocketvision.models.detector_keys import KEYS, DetectorKeys
from pocketvision.models.pyramid_keys import torchvision_fcos, torchvision_retinanet
from pocketvision.models.resnet import RESNET18


def small(name: str, outputs: int = 4, *, norm: Callable[[int], nn.Module] = nn.BatchNorm2d) -> Any:
    """torchvision's detector of that name on a ResNet-18. outputs: classes, the background's counted."""
    extra = LastLevelP6P7(512 if name.endswith("v2") else 256, 256)
    backbone = resnet_fpn_backbone(
        backbone_name="resnet18", weights=None, norm_layer=norm, returned_layers=[2, 3, 4], extra_blocks=extra
    )
    if name.startswith("fcos"):
        return detection.FCOS(backbone, outputs)
    if not name.endswith("v2"):
        return detection.RetinaNet(backbone, outputs)
    head = detection.retinanet.RetinaNetHead(256, 9, outputs, norm_layer=partial(nn.GroupNorm, 32))
    return detection.RetinaNet(backbone, outputs, head=head)


SMALL: dict[str, DetectorKeys] = {
    name: replace(KEYS[name], backbone=RESNET18, paths=paths)
    for name, paths in {
        "retinanet_resnet50_fpn": torchvision_retinanet(RESNET18, norms=False),
        "retinanet_resnet50_fpn_v2": torchvision_retinanet(RESNET18, norms=True),
        "fcos_resnet50_fpn": torchvision_fcos(RESNET18),
    }.items()
}
"""By torchvision's names, in place of the rows of KEYS."""
