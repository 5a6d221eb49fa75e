"""SSD300 as torchvision has it on VGG16 (Liu et al., 2016, https://arxiv.org/abs/1512.02325, sections 2.1 and 3.1): VGG's first
two linear layers as convolutions, four coarser maps after them, and the finest map brought to one length at every place.

`ssd300_coco` has eleven outputs a default box for the background, as `ssd_lite_coco` has (ssd.py). What it puts out is called as
SSD's is, and learned by the same loss.
"""

from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketvision.errors import UsageError
from pocketvision.models.features import Feature
from pocketvision.models.heads.detection.default_boxes import SSD300
from pocketvision.models.heads.detection.ssd import COCO_BACKGROUNDS, one_background, said_of, shipped, ssd_features
from pocketvision.models.heads.head import Head

DILATION = 6
"""Of the first linear layer's convolution, which reads a wider part of the map so."""

FULL = 1024
EXTRAS = ((512, 2), (256, 2), (256, 1), (256, 1))
"""Channels and stride of each coarser map; half of them in the 1x1 convolution before it. Without a stride it is not padded."""

LENGTH = 20.0
"""Of the finest map's places, at first."""

PLACE = 300 / 38
"""Pixels between two places of the finest map of 300 pixels."""


class Ssd300Head(nn.Module):
    """From one or two maps of the backbone to `offsets` (N, A, 4), `class_logits` (N, A, 1 + classes), the background first, and
    the `default_boxes` (N, A, 4) that they are of: centre and sides in the input's pixels. 8,732 boxes at 300 px.

    backgrounds: how many outputs of a default box say that it shows no object. Raises UsageError for no classes and for other
    features.
    """

    def __init__(self, features: tuple[Feature, ...], classes: int, dropout: float, *, backgrounds: int = 1) -> None:
        super().__init__()
        del dropout  # the paper's is VGG's, for training alone
        if classes < 1:
            raise UsageError(f"A detector needs at least 1 class, not {classes}.")
        if len(features) not in (1, 2) or any(each.stride is None for each in features):
            named = ", ".join(each.name for each in features)
            raise UsageError(f"SSD300 reads one map, or a fine and a coarse one; not {named or 'nothing'}.")
        fine, coarse = features[0], features[-1]
        assert fine.stride is not None, "checked"
        self.names, self.place = (fine.name, coarse.name), PLACE * fine.stride / 8
        self.backgrounds, self.outputs = backgrounds, classes + backgrounds
        self.length = nn.Parameter(torch.full((fine.channels,), LENGTH))
        self.full = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1),
            nn.Conv2d(coarse.channels, FULL, 3, padding=DILATION, dilation=DILATION),
            nn.ReLU(),
            nn.Conv2d(FULL, FULL, 1),
            nn.ReLU(),
        )
        channels = [FULL, *(each for each, _ in EXTRAS)]
        self.extras = nn.ModuleList(
            _Extra(inputs, outputs, stride)
            for (inputs, outputs), (_, stride) in zip(pairwise(channels), EXTRAS, strict=True)
        )
        predicted = list(zip([fine.channels, *channels], SSD300.counts, strict=True))
        predictor = partial(nn.Conv2d, kernel_size=3, padding=1)
        self.classifiers = nn.ModuleList(predictor(each, count * self.outputs) for each, count in predicted)
        self.regressors = nn.ModuleList(predictor(each, count * 4) for each, count in predicted)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """In the precision of the weights; default boxes always in float32."""
        fine, coarse = (features[name].to(self.length.dtype) for name in self.names)
        maps = [self.length.view(1, -1, 1, 1) * F.normalize(fine), self.full(coarse)]
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        sizes = [(int(each.shape[2]), int(each.shape[3])) for each in maps]
        covered = sizes[0][1] * self.place, sizes[0][0] * self.place
        defaults = torch.from_numpy(SSD300.boxes(sizes, covered)).to(fine.device)
        return {
            "offsets": said_of(self.regressors, maps, 4),
            "class_logits": one_background(said_of(self.classifiers, maps, self.outputs), self.backgrounds),
            "default_boxes": defaults.expand(fine.shape[0], -1, -1),
        }

    def decode(self, outputs: Mapping[str, Tensor], postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
        """`boxes` (N, A, 4), left, top, right and bottom in the input's pixels, and `scores` (N, A, classes): each class's share
        beside the background's."""
        del postprocessing
        return shipped(outputs)


class _Extra(nn.Module):
    """A coarser map: 1x1, then 3x3, each with ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(inputs, outputs // 2, 1)
        self.conv = nn.Conv2d(outputs // 2, outputs, 3, stride=stride)

    def forward(self, level: Tensor) -> Tensor:
        """(N, inputs, h, w) to (N, outputs, h', w'): half the side, or two less, but of sides below 3 nothing would be left, so
        that they stay."""
        padded = self.conv.stride[0] > 1 or min(level.shape[2:]) < 3
        narrow = F.relu(self.narrow(level))
        return F.relu(F.conv2d(narrow, self.conv.weight, self.conv.bias, self.conv.stride, int(padded)))


PAPER, COCO = (
    Head(name, "detection", (), ("boxes", "scores"), partial(Ssd300Head, backgrounds=backgrounds), ssd_features)
    for name, backgrounds in (("ssd300", 1), ("ssd300_coco", COCO_BACKGROUNDS))
)
