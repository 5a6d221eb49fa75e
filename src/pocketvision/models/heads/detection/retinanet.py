"""RetinaNet (Lin et al. 2017, https://arxiv.org/abs/1708.02002): a feature pyramid, and two towers that all its levels share,
which say of nine anchors at every place which object each shows and where that is off the anchor. The same numbers as
torchvision's.

`retinanet` is torchvision's first; `retinanet_v2` has group norms in its towers, and its P6 reads the backbone (Li et al. 2021,
https://arxiv.org/abs/2111.11429). What they put out is called as EfficientDet's is, and learned by the same loss.
"""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pocketvision.models.features import Feature
from pocketvision.models.heads.detection.anchors import PER_PLACE, rounded_anchors
from pocketvision.models.heads.detection.efficientdet import shipped
from pocketvision.models.heads.detection.fpn import FeaturePyramid, Levels, Tower
from pocketvision.models.heads.detection.grid import PRIOR, levels_of
from pocketvision.models.heads.head import Head


class RetinaNetHead(nn.Module):
    """From maps, the fine ones first, to `anchor_logits` (N, A, classes), `anchor_offsets` (N, A, 4) and the `anchors` (N, A, 4)
    that they are of: centre and sides in the input's pixels.

    A: nine for each place of the maps and of two coarser levels, 120,087 at 800 px on P3 to P7. newer: torchvision's second form.
    Raises UsageError for features that are no maps and for no classes.
    """

    def __init__(self, features: tuple[Feature, ...], classes: int, dropout: float, *, newer: bool) -> None:
        super().__init__()
        del dropout  # the paper has none
        levels = Levels.of(features, classes)
        self.names, self.classes = levels.names, classes
        self.neck = FeaturePyramid(levels, from_backbone=newer)
        tower = partial(Tower, norms=newer, biased=not newer)
        self.classifier = tower([("logits", PER_PLACE * classes, math.log(PRIOR / (1 - PRIOR)))])
        self.regressor = tower([("offsets", PER_PLACE * 4, 0.0)])

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """In the precision of the weights; anchors always in float32."""
        precision = next(self.parameters()).dtype
        levels = self.neck([features[name].to(precision) for name in self.names])
        sizes = [(int(each.shape[2]), int(each.shape[3])) for each in levels]
        boxes = torch.from_numpy(rounded_anchors(sizes, self.neck.strides)).to(levels[0].device)
        batch = levels[0].shape[0]
        return {
            "anchor_logits": self.classifier(levels)["logits"].reshape(batch, -1, self.classes),
            "anchor_offsets": self.regressor(levels)["offsets"].reshape(batch, -1, 4),
            "anchors": boxes.expand(batch, -1, -1),
        }

    def decode(self, outputs: Mapping[str, Tensor], postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
        """`boxes` (N, A, 4), left, top, right and bottom in the input's pixels, and `scores` in [0, 1], (N, A, classes)."""
        del postprocessing
        return shipped(outputs)


ROWS = tuple(
    Head(name, "detection", (), ("boxes", "scores"), partial(RetinaNetHead, newer=newer), levels_of)
    for name, newer in (("retinanet", False), ("retinanet_v2", True))
)
