"""What a detector of two stages does with boxes between them, as operations that torch's exporter sees as one node each: which
proposals stay, and what the maps show inside them. export/region_nodes.py says them in ONNX.

An exporter has no word for lists whose length the picture decides; here all shapes are fixed by the input's.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

CELLS = 7
"""Of a region's map, a side (Ren et al. 2015; He et al. 2017, https://arxiv.org/abs/1703.06870, section 3)."""

SAMPLES = 2
"""Points a cell and side, of which it is the mean."""

NOT = -1.0
"""The score of a proposal that is none."""


@torch.library.custom_op("pocketvision::proposals_kept", mutates_args=())
def proposals_kept(boxes: Tensor, scores: Tensor, lengths: Sequence[int], iou: float) -> Tensor:
    """(N, M) of 1 and 0: which of the boxes (N, M, 4) no better one of their own level overlaps by more than `iou`.

    scores: (N, M); those below 0 are of no box. lengths: of the levels, which lie one after another in M.
    """
    from torchvision.ops import nms

    kept = torch.zeros_like(scores)
    for image in range(len(boxes)):
        first = 0
        for length in lengths:
            there = first + torch.nonzero(scores[image, first : first + length] >= 0).flatten()
            kept[image, there[nms(boxes[image, there], scores[image, there], iou)]] = 1
            first += length
    return kept


@proposals_kept.register_fake
def _(boxes: Tensor, scores: Tensor, lengths: Sequence[int], iou: float) -> Tensor:
    del boxes, lengths, iou
    return torch.empty_like(scores)


@torch.library.custom_op("pocketvision::regions_of", mutates_args=())
def regions_of(
    levels: Sequence[Tensor], strides: Sequence[int], boxes: Tensor, images: Tensor, places: Tensor
) -> Tensor:
    """(K, C, CELLS, CELLS): what the maps (N, C, h, w) of those strides show inside boxes (K, 4), in pixels of the input.

    RoIAlign. images: (K) of which image each box is. places: (K) of which map.
    """
    from torchvision.ops import roi_align

    found = levels[0].new_zeros(len(boxes), levels[0].shape[1], CELLS, CELLS)
    rois = torch.cat([images[:, None].to(boxes.dtype), boxes], dim=1)
    for place, (level, stride) in enumerate(zip(levels, strides, strict=True)):
        own = torch.nonzero(places == place).flatten()
        found[own] = roi_align(level, rois[own], (CELLS, CELLS), 1 / stride, SAMPLES)
    return found


@regions_of.register_fake
def _(levels: Sequence[Tensor], strides: Sequence[int], boxes: Tensor, images: Tensor, places: Tensor) -> Tensor:
    del strides, images, places
    return levels[0].new_empty(boxes.shape[0], levels[0].shape[1], CELLS, CELLS)
