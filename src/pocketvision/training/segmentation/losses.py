"""Losses of masks. Logits are (N, classes, h, w), targets (N, h, w) int64 with NOTHING where nobody said anything.

Each gives one number; what is of no class counts nowhere, and a batch without any truth, or without a class, gives 0 and no NaN.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pocketvision.errors import UsageError
from pocketvision.tasks.segmentation.truth import NOTHING

Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Of logits, targets, and weights (classes) of the classes, None for none."""


class Part(NamedTuple):
    """What a loss counts in the sum."""

    loss: Loss
    share: float

    def __call__(self, logits: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
        """Its share of it."""
        return self.share * self.loss(logits, targets, weights)


FOCUS = 2.0
"""The exponent of the focal loss (Lin et al. 2017)."""

MISSES, ALARMS = 0.7, 0.3
"""What a miss and a false alarm cost in the Tversky loss (Salehi et al. 2017)."""

EDGE = 4.0
"""What a pixel beside a border costs more, where borders are weighed."""


def cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """In nats, of a pixel on average."""
    return _weighed(F.cross_entropy(logits, targets, reduction="none", ignore_index=NOTHING), targets, weights)


def focal(logits: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """Cross-entropy by how wrong a pixel is."""
    entropy = F.cross_entropy(logits, targets, reduction="none", ignore_index=NOTHING)
    return _weighed(entropy * (1 - torch.exp(-entropy)) ** FOCUS, targets, weights)


def border(logits: Tensor, targets: Tensor, weights: Tensor | None, *, more: float = EDGE) -> Tensor:
    """Cross-entropy with `more` weight beside borders, in addition to a pixel's own."""
    entropy = F.cross_entropy(logits, targets, reduction="none", ignore_index=NOTHING)
    return _weighed(entropy, targets, weights, 1 + more * beside_borders(targets).to(logits.dtype))


def dice(logits: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """1 less the overlap of the classes that the batch shows, on average."""
    return tversky(logits, targets, weights, misses=0.5, alarms=0.5)


def tversky(
    logits: Tensor, targets: Tensor, weights: Tensor | None, *, misses: float = MISSES, alarms: float = ALARMS
) -> Tensor:
    """The same, with misses and false alarms at different costs. Weights are of the classes' shares in the mean."""
    known = targets != NOTHING
    places, classes = targets.where(known, 0), logits.shape[1]
    chances = torch.softmax(logits, dim=1) * known[:, None]
    own = chances.gather(1, places[:, None])[:, 0]
    both = own.new_zeros(classes).index_add(0, places.flatten(), own.flatten())
    said, true = chances.sum(dim=(0, 2, 3)), torch.bincount(places[known], minlength=classes).to(logits.dtype)
    overlap = (both + 1) / (both + misses * (true - both) + alarms * (said - both) + 1)
    shares = (true > 0).to(logits.dtype) * (1 if weights is None else weights)
    return ((1 - overlap) * shares).sum() / shares.sum().clamp(min=1e-6)


def beside_borders(targets: Tensor) -> Tensor:
    """(N, h, w) whether the pixel to the right or below, or one to the left or above, is of another class."""
    found = torch.zeros_like(targets, dtype=torch.bool)
    across = targets[:, :, 1:] != targets[:, :, :-1]
    down = targets[:, 1:] != targets[:, :-1]
    found[:, :, 1:] |= across
    found[:, :, :-1] |= across
    found[:, 1:] |= down
    found[:, :-1] |= down
    return found


def _weighed(losses: Tensor, targets: Tensor, weights: Tensor | None, shares: Tensor | None = None) -> Tensor:
    known = (targets != NOTHING).to(losses.dtype)
    if shares is not None:
        known = known * shares
    if weights is not None:
        known = known * weights[targets.where(targets != NOTHING, 0)]
    return (losses * known).sum() / known.sum().clamp(min=1e-6)


LOSSES: dict[str, dict[str, Loss]] = {
    "cross_entropy_dice": {"cross_entropy": cross_entropy, "dice": dice},
    "cross_entropy": {"cross_entropy": cross_entropy},
    "dice": {"dice": dice},
    "focal": {"focal": focal, "dice": dice},
    "tversky": {"cross_entropy": cross_entropy, "tversky": partial(tversky)},
    "border": {"border": border, "dice": dice},
}
"""The parts of each by name, that of pixels before that of regions; their sum is minimised. The first is the default."""


def parts_of(name: str, regions: float | None = None, edge: float | None = None) -> dict[str, Part]:
    """Those of a loss of LOSSES. regions: in [0, 1], the share of the part of regions, None for a half; edge: what a pixel beside
    a border costs more, None for EDGE.

    Raises UsageError for a share of a loss that has one part, and for borders where none are weighed.
    """
    losses = dict(LOSSES[name])
    if regions is not None and len(losses) < 2:
        raise UsageError(
            f"loss.regions is the share of one of two parts, and the loss {name} has one. Take one with two: "
            f"{', '.join(each for each, parts in LOSSES.items() if len(parts) > 1)}."
        )
    if edge is not None and "border" not in losses:
        raise UsageError(f"loss.border weighs borders, and the loss {name} does not. Add loss.name=border.")
    if edge is not None:
        losses["border"] = partial(border, more=edge)
    share = 0.5 if regions is None else regions
    shares = (2 * (1 - share), 2 * share) if len(losses) == 2 else (1.0,)
    return {each: Part(loss, own) for own, (each, loss) in zip(shares, losses.items(), strict=True)}
