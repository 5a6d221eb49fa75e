"""YOLO's first head (Redmon et al., 2016, https://arxiv.org/abs/1506.02640, section 2), for teaching: a grid of cells, each of
which says two boxes and one class.

Here it reads the deepest map of any backbone, whose cells are the grid, 7 x 7 at 224 px, by convolutions in place of the paper's
two linear layers. As there, all outputs are linear: shares, not logits, learned by squared errors.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pocketvision.errors import UsageError
from pocketvision.models.blocks import ConvNormAct
from pocketvision.models.features import Feature
from pocketvision.models.heads.head import Head
from pocketvision.models.spec import ModelSpec

BOXES = 2
"""A cell's, of which the better one answers for its object."""

WIDTH = 256
_START = 0.01
# Boxes begin in the middle of their cells, half as wide and as high as the picture, with nothing in them.
_FIRST_BOX = (0.5, 0.5, 0.5**0.5, 0.5**0.5, 0.0)


class YoloV1Head(nn.Module):
    """From one map to `predictions` (N, h, w, BOXES * 5 + classes) and `sides` (N, 2), the input's width and height in pixels:
    what the map covers, its sides times its stride.

    Of each box: centre x and y within the cell, in shares of its sides; the square roots of width and height, in shares of the
    input's; and the confidence, how far it overlaps an object. Then each class's share where there is an object. Raises
    UsageError for no classes, and for what is not one map.
    """

    def __init__(self, features: tuple[Feature, ...], classes: int, dropout: float) -> None:
        super().__init__()
        if classes < 1:
            raise UsageError(f"A detector needs at least 1 class, not {classes}.")
        if len(features) != 1 or features[0].stride is None:
            named = ", ".join(each.name for each in features)
            raise UsageError(f"YOLO's first head reads one map; it was given {named}.")
        self.name, self.stride = features[0].name, features[0].stride
        conv = partial(ConvNormAct, padding="symmetric", norm_epsilon=1e-5, activation="relu6")
        self.inner = nn.Sequential(conv(features[0].channels, WIDTH, 1), conv(WIDTH, WIDTH, 3))
        self.dropout = nn.Dropout(dropout)
        self.predict = nn.Conv2d(WIDTH, BOXES * 5 + classes, 1)
        nn.init.normal_(self.predict.weight, std=_START)
        self.predict.bias = nn.Parameter(torch.tensor([*_FIRST_BOX * BOXES, *[1 / classes] * classes]))

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """In the precision of the weights; sides always in float32."""
        level = features[self.name].to(self.predict.weight.dtype)
        cells = self.predict(self.dropout(self.inner(level))).permute(0, 2, 3, 1)
        height, width = level.shape[2:]
        sides = torch.tensor([width * self.stride, height * self.stride], dtype=torch.float32, device=level.device)
        return {"predictions": cells, "sides": sides.expand(level.shape[0], -1)}

    def decode(self, outputs: Mapping[str, Tensor], postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
        """`boxes` (N, h * w * BOXES, 4) and `scores` (N, h * w * BOXES, classes): confidence times the class's share
        (equation 1), cut to [0, 1]."""
        del postprocessing
        return shipped(outputs)


def shipped(outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`boxes` and `scores` of what the head gives to learn from."""
    boxes, confidences, shares = boxes_of(outputs["predictions"].float(), outputs["sides"])
    scores = confidences[..., None] * shares[..., None, :]
    return {"boxes": boxes.flatten(1, 3), "scores": scores.clamp(0, 1).flatten(1, 3)}


def boxes_of(cells: Tensor, sides: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of (N, h, w, BOXES * 5 + classes) and the input's width and height (N, 2) the boxes (N, h, w, BOXES, 4), left, top, right,
    bottom in pixels, their confidences (N, h, w, BOXES), and the classes' shares (N, h, w, classes)."""
    height, width = cells.shape[1:3]
    said = cells[..., : BOXES * 5].reshape(*cells.shape[:-1], BOXES, 5)
    down, across = torch.meshgrid(
        torch.arange(height, device=cells.device), torch.arange(width, device=cells.device), indexing="ij"
    )
    corners = torch.stack([across, down], dim=-1)[:, :, None].to(cells.dtype)
    grid = torch.tensor([width, height], dtype=cells.dtype, device=cells.device)
    size = sides[:, None, None, None]
    rooted = said[..., 2:4]
    # A product: LiteRT has no power.
    centres, halves = (said[..., :2] + corners) / grid * size, rooted * rooted / 2 * size
    return torch.cat([centres - halves, centres + halves], dim=-1), said[..., 4], cells[..., BOXES * 5 :]


def deepest(architecture: ModelSpec) -> tuple[str, ...]:
    """The last stage's map."""
    return (f"stride{architecture.trunk_strides()[-1]}",)


ROW = Head("yolo_v1", "detection", (), ("boxes", "scores"), YoloV1Head, deepest)
