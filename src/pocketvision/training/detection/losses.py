"""How far boxes lie apart, and how wrong scores are that are to say how well a box fits."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

DOUBT = 0.1
"""From which score on background counts in full."""

_LEAST = 1e-7  # square pixels


def areas(boxes: Tensor) -> Tensor:
    """(..., 4) to (...): 0 for a box that is turned inside out."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(dim=-1)


def pairwise_ious(one: Tensor, other: Tensor) -> Tensor:
    """(m, 4) and (n, 4) to (m, n) intersections over unions."""
    return _ious(one[:, None], other[None])[0]


def giou_losses(boxes: Tensor, truth: Tensor) -> Tensor:
    """(..., 4) each, of shapes that go together, to (...) in [0, 2]: 1 - IoU, and the share of the smallest box around both that
    neither covers (Rezatofighi et al. 2019)."""
    overlap, union = _ious(boxes, truth)
    end, corner = torch.max(boxes[..., 2:], truth[..., 2:]), torch.min(boxes[..., :2], truth[..., :2])
    around = (end - corner).clamp(min=0).prod(dim=-1)
    return 1 - overlap + (around - union) / around.clamp(min=_LEAST)


def diou_losses(boxes: Tensor, truth: Tensor) -> Tensor:
    """(n, 4) each, to (n) in [0, 2): 1 - IoU, and the squared distance of the centres as a share of the squared diagonal of the
    smallest box around both (Zheng et al. 2020)."""
    overlap, _ = _ious(boxes, truth)
    around = torch.max(boxes[:, 2:], truth[:, 2:]) - torch.min(boxes[:, :2], truth[:, :2])
    apart = (boxes[:, :2] + boxes[:, 2:] - truth[:, :2] - truth[:, 2:]) / 2
    return 1 - overlap + apart.square().sum(dim=1) / around.square().sum(dim=1).clamp(min=_LEAST)


BOX_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"giou": giou_losses, "diou": diou_losses}
"""By name; the first is the default."""


def score_losses(logits: Tensor, quality: Tensor) -> Tensor:
    """Of any shape, elementwise and in nats: binary cross-entropy between a score and the quality in [0, 1] that it is to say;
    where that is 0, less in proportion to a score below DOUBT, so that the many that say so already do not drown the few objects
    of a rare class (blood platelets: AP50 0.51 in the epoch in which they had 0.02 without).

    Unlike the focal factor of TOOD (equation 9), which grows up to a score of 1 and so asks most of background that looks like an
    object. Much of that is objects which nobody labelled: red blood cells came to an AP50 of 0.79 with it, to 0.83 without.
    """
    background = (torch.sigmoid(logits.detach()) / DOUBT).clamp(max=1)
    losses = F.binary_cross_entropy_with_logits(logits, quality, reduction="none")
    return torch.where(quality > 0, 1.0, background) * losses


def _ious(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Intersections over unions, and the unions, of boxes whose shapes go together."""
    corner, end = torch.max(one[..., :2], other[..., :2]), torch.min(one[..., 2:], other[..., 2:])
    shared = (end - corner).clamp(min=0).prod(dim=-1)
    union = areas(one) + areas(other) - shared
    return shared / union.clamp(min=_LEAST), union
