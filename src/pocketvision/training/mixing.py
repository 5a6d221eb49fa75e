"""MixUp (Zhang et al. 2018, https://arxiv.org/abs/1710.09412) and CutMix (Yun et al. 2019, https://arxiv.org/abs/1905.04899): a
step on a batch, of images or of activations."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pocketvision.training.settings import RegularisationSettings


@dataclass(frozen=True, eq=False)
class Mix:
    """Rows of a batch and their partners: order (N) int64. share: of the targets that stays a row's own, in [0, 1]."""

    order: Tensor
    share: float


def mix(
    inputs: Mapping[str, Tensor], settings: RegularisationSettings, random: np.random.Generator
) -> tuple[dict[str, Tensor], Mix | None]:
    """Mixed inputs by name, a batch (N) first, and how; None where nothing is mixed.

    CutMix pastes the same part of every map; where some inputs are no maps (pooled features) there is MixUp alone. With both,
    each batch takes one by the toss of a coin.
    """
    rows = len(next(iter(inputs.values())))
    maps = all(values.ndim == 4 for values in inputs.values())
    kinds = [name for name, alpha in (("mixup", settings.mixup), ("cutmix", settings.cutmix if maps else 0.0)) if alpha]
    if not kinds or rows < 2:
        return dict(inputs), None
    kind = kinds[int(random.integers(len(kinds)))]
    alpha = settings.mixup if kind == "mixup" else settings.cutmix
    order, share = torch.from_numpy(random.permutation(rows)), float(random.beta(alpha, alpha))
    if kind == "mixup":
        mixed = {name: values.lerp(values[order], 1 - share) for name, values in inputs.items()}
        return mixed, Mix(order, share)
    return _cut(inputs, order, share, random)


def _cut(
    inputs: Mapping[str, Tensor], order: Tensor, share: float, random: np.random.Generator
) -> tuple[dict[str, Tensor], Mix]:
    """A box of about 1 - share of the area, in whole cells of the coarsest map, so that it is the same part of all of them."""
    height, width = min(values.shape[2:] for values in inputs.values())
    high, wide = (round(side * (1 - share) ** 0.5) for side in (height, width))
    top, left = int(random.integers(height - high + 1)), int(random.integers(width - wide + 1))
    mixed = {}
    for name, values in inputs.items():
        tall, broad = values.shape[2] / height, values.shape[3] / width
        rows = slice(round(top * tall), round((top + high) * tall))
        columns = slice(round(left * broad), round((left + wide) * broad))
        mixed[name] = values.clone()
        mixed[name][:, :, rows, columns] = values[order][:, :, rows, columns]
    return mixed, Mix(order, 1 - high * wide / (height * width))
