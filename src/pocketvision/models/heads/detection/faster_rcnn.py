"""Faster R-CNN (Ren et al. 2015, https://arxiv.org/abs/1506.01497) on a feature pyramid: a first stage proposes boxes, wherever
something may be, and a second looks at the maps inside each and says what it shows, and where it ends. The same numbers as
torchvision's four.

They are for weights that somebody else trained: both stages learn from samples of their boxes, which no learner here draws.
All of it is in the graph that ships, the suppression among proposals too; that among answers is left to tasks/detection, as of
every detector. Where less is proposed than there is room for, the rest has scores of 0.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pocketvision.models.blocks import ConvNormAct
from pocketvision.models.features import Feature
from pocketvision.models.heads.detection.anchors import TALL, rounded_anchors
from pocketvision.models.heads.detection.fpn import NORM_EPSILON, WIDTH, Levels, PooledPyramid
from pocketvision.models.heads.detection.grid import levels_of
from pocketvision.models.heads.detection.regions import CELLS, NOT, proposals_kept, regions_of
from pocketvision.models.heads.detection.ssd import COCO_BACKGROUNDS, moved, one_background
from pocketvision.models.heads.head import Head
from pocketvision.tasks.detection.decode import CANDIDATES

SIDES = (32, 64, 128, 256, 512)
"""Of square anchors, in pixels: one a level, or all on each."""

LEVELS = (4, 8, 16, 32)
"""Strides of the maps that are read, where nothing else is asked for: P2 to P5."""

OVERLAP = 0.7
"""IoU above which a better proposal of the same level takes another's place."""

LEAST_SIDE = 1e-3
"""Pixels of a proposal."""

FULL = 1024
"""Outputs of the second stage's linear layers."""

TYPICAL = 224
"""Side of a box, in pixels, that is read from the map of stride 16 (Lin et al. 2017, equation 1)."""


@dataclass(frozen=True)
class Stages:
    """most: proposals looked at, of each level before the suppression and of all after it. least: of their scores. every: whether
    each level has anchors of every size, and the boxes are read from the first alone, as on MobileNetV3, whose two levels are of
    one stride. newer: torchvision's second form, with norms in the pyramid and convolutions in the second stage."""

    most: int = 1000
    least: float = 0.0
    every: bool = False
    newer: bool = False


class Proposals(nn.Module):
    """The first stage: from levels (N, WIDTH, h, w) of those strides to boxes (N, P, 4), left, top, right and bottom in the
    input's pixels, the best first, and which of them there are, (N, P) of 1 and 0."""

    def __init__(self, strides: Sequence[int], stages: Stages) -> None:
        super().__init__()
        self.strides, self.stages = tuple(strides), stages
        self.sides = tuple(SIDES if stages.every else (_side(stride),) for stride in strides)
        each = len(TALL) * len(self.sides[0])
        layers: list[nn.Module] = []
        for _ in range(2 if stages.newer else 1):
            layers += [nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.logits, self.offsets = nn.Conv2d(WIDTH, each, 1), nn.Conv2d(WIDTH, 4 * each, 1)
        _drawn(self, 0.01)

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The best of each level, cut at the input's border, that are apart from better ones."""
        maps = [(int(level.shape[2]), int(level.shape[3])) for level in levels]
        anchors = torch.from_numpy(rounded_anchors(maps, self.strides, self.sides)).to(levels[0].device)
        own = torch.split(anchors, [height * width * self.logits.out_channels for height, width in maps])
        found = [self._best(*each) for each in zip(levels, own, strict=True)]
        boxes, scores = (torch.cat(each, dim=1) for each in zip(*found, strict=True))
        bottom, right = (maps[0][axis] * self.strides[0] for axis in (0, 1))
        boxes = torch.stack(
            [boxes[..., side].clamp(0, end) for side, end in enumerate((right, bottom, right, bottom))], dim=2
        )
        there = (boxes[..., 2:] - boxes[..., :2] >= LEAST_SIDE).all(dim=2) & (scores >= self.stages.least)
        scores = torch.where(there, scores, NOT)
        kept = proposals_kept(boxes, scores, [each.shape[1] for each, _ in found], OVERLAP)
        scores, places = torch.where(kept > 0, scores, NOT).topk(min(self.stages.most, scores.shape[1]))
        return _taken(boxes, places), (scores >= 0).to(boxes.dtype)

    def _best(self, level: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes (N, k, 4) and scores (N, k) of a level, the best first."""
        seen = self.layers(level)
        logits = self.logits(seen).flatten(2).transpose(1, 2).flatten(1)
        offsets = self.offsets(seen).flatten(2).transpose(1, 2).reshape(logits.shape[0], -1, 4)
        best, places = logits.topk(min(self.stages.most, logits.shape[1]))
        return moved(anchors[places], _taken(offsets, places).float(), (1.0, 1.0)), best.float().sigmoid()


class FasterRcnnHead(nn.Module):
    """From maps, the fine ones first, to `proposals` (N, P, 4), left, top, right and bottom in the input's pixels, `proposed`
    (N, P), 0 for those that only fill up, `region_logits` (N, P, 1 + classes), the background first, and `region_offsets`
    (N, P, classes, 4) from the proposals.

    backgrounds: how many outputs stand for no object. Raises UsageError for features that are no maps and for no classes.
    """

    def __init__(
        self, features: tuple[Feature, ...], classes: int, dropout: float, *, stages: Stages, backgrounds: int = 1
    ) -> None:
        super().__init__()
        del dropout  # torchvision's have none
        levels = Levels.of(features, classes)
        self.names, self.classes, self.backgrounds = levels.names, classes, backgrounds
        self.read = 1 if stages.every else len(levels.strides)
        self.neck = PooledPyramid(levels, normed=stages.newer)
        self.proposals = Proposals(self.neck.strides, stages)
        cells = WIDTH * CELLS * CELLS
        if stages.newer:
            conv = partial(ConvNormAct, padding="symmetric", norm_epsilon=NORM_EPSILON, activation="relu")
            first: list[nn.Module] = [*(conv(WIDTH, WIDTH, 3) for _ in range(4)), nn.Flatten()]
            self.reader = nn.Sequential(*first, nn.Linear(cells, FULL), nn.ReLU())
        else:
            self.reader = nn.Sequential(
                nn.Flatten(), nn.Linear(cells, FULL), nn.ReLU(), nn.Linear(FULL, FULL), nn.ReLU()
            )
        outputs = backgrounds + classes
        self.classifier, self.regressor = nn.Linear(FULL, outputs), nn.Linear(FULL, 4 * outputs)

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """In the precision of the weights; proposals always in float32."""
        precision = self.classifier.weight.dtype
        levels = self.neck([features[name].to(precision) for name in self.names])
        boxes, proposed = self.proposals(levels)
        batch, most = boxes.shape[0], boxes.shape[1]
        rows = boxes.reshape(-1, 4)
        images = torch.arange(batch, device=rows.device)[:, None].expand(batch, most).reshape(-1)
        strides = self.neck.strides[: self.read]
        seen = self.reader(regions_of(levels[: self.read], strides, rows, images, _place(rows, strides)).to(precision))
        outputs = self.backgrounds + self.classes
        return {
            "proposals": boxes,
            "proposed": proposed,
            "region_logits": one_background(self.classifier(seen).reshape(batch, most, outputs), self.backgrounds),
            "region_offsets": self.regressor(seen).reshape(batch, most, outputs, 4)[:, :, self.backgrounds :],
        }

    def decode(self, outputs: Mapping[str, Tensor], postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
        """`boxes` (N, A, 4), left, top, right and bottom in the input's pixels, and `scores` in [0, 1], (N, A, classes)."""
        del postprocessing
        return shipped(outputs)


def shipped(outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`boxes` and `scores` of what the head puts out, each of one class alone, since each class has a box of its own of a
    proposal: the highest scores, the best first, as many as are ever looked at (tasks/detection/decode.py)."""
    corners, offsets = outputs["proposals"].float(), outputs["region_offsets"].float()
    classes = offsets.shape[2]
    sides = corners[..., 2:] - corners[..., :2]
    around = torch.cat([corners[..., :2] + sides / 2, sides], dim=-1)[:, :, None].expand(-1, -1, classes, 4)
    boxes = moved(around, offsets).flatten(1, 2)
    shares = outputs["region_logits"].float().softmax(dim=2)[..., 1:] * outputs["proposed"].float()[..., None]
    scores, places = shares.flatten(1).topk(min(CANDIDATES, shares.shape[1] * classes))
    own = (places % classes)[..., None] == torch.arange(classes, device=places.device)
    return {"boxes": _taken(boxes, places), "scores": scores[..., None] * own}


def _side(stride: int) -> int:
    """Of a level's square anchor: that of SIDES that is 8 strides, 32 pixels on P2."""
    return 8 * stride


def _taken(boxes: Tensor, places: Tensor) -> Tensor:
    """(N, k, 4) of (N, n, 4) at places (N, k)."""
    return boxes.gather(1, places[..., None].expand(-1, -1, 4))


def _place(boxes: Tensor, strides: Sequence[int]) -> Tensor:
    """(K) of which map each box (K, 4) is read: the larger, the coarser."""
    side = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sqrt()
    level = (4 + torch.log2(side / TYPICAL) + 1e-6).floor()
    finest, coarsest = (math.log2(strides[end]) for end in (0, -1))
    return (level.clamp(finest, coarsest) - finest).long()


def _drawn(module: nn.Module, deviation: float) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=deviation)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


UNTRAINED = (
    "its second stage learns from samples of what its first one proposes, which nothing here draws; it is for weights that "
    "are trained already (predict, serve, stream, import). Take grid, fcos or retinanet_v2"
)

STAGES = {
    "faster_rcnn": Stages(),
    "faster_rcnn_v2": Stages(newer=True),
    "faster_rcnn_mobile": Stages(least=0.05, every=True),
    "faster_rcnn_mobile_320": Stages(150, 0.05, every=True),
}
"""By the head's name, as torchvision's of ResNet-50 and of MobileNetV3."""


def _row(name: str, stages: Stages, backgrounds: int) -> Head:
    build = partial(FasterRcnnHead, stages=stages, backgrounds=backgrounds)
    return Head(
        name, "detection", (), ("boxes", "scores"), build, partial(levels_of, strides=LEVELS), untrained=UNTRAINED
    )


ROWS = tuple(
    _row(f"{name}{end}", stages, backgrounds)
    for name, stages in STAGES.items()
    for end, backgrounds in (("", 1), ("_coco", COCO_BACKGROUNDS))
)
"""Those of COCO have eleven outputs that stand for no object, as `ssd_lite_coco` has (ssd.py)."""
