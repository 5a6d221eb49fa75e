"""MixUp (Zhang et al. 2018, https://arxiv.org/abs/1710.09412), CutMix (Yun et al. 2019, https://arxiv.org/abs/1905.04899) and
mosaics (Bochkovskiy et al. 2020, https://arxiv.org/abs/2004.10934, section 3.4): a step on a batch.

The first two are of images or of activations. A mosaic is of images alone: what a network makes of four pictures is not what it
makes of their mosaic.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pocketvision.errors import UsageError
from pocketvision.training.inputs import IMAGES
from pocketvision.training.settings import RegularisationSettings


@dataclass(frozen=True, eq=False)
class Mix:
    """Rows of a batch and their partners: order (N) int64. share: of the targets that stays a row's own, in [0, 1]."""

    order: Tensor
    share: float


@dataclass(frozen=True, eq=False)
class Mosaic:
    """Four images in one, each a quarter of it. orders: (4, N) int64, which rows of the batch are the upper left quarters, the
    upper right, the lower left and the lower right. size: (width, height) of an image in pixels."""

    orders: Tensor
    size: tuple[int, int]

    @property
    def quarters(self) -> list[tuple[int, int, int, int]]:
        """Left, top, right and bottom of each, in pixels."""
        width, height = self.size
        columns, rows = ((0, width // 2), (width // 2, width)), ((0, height // 2), (height // 2, height))
        return [(left, top, right, bottom) for top, bottom in rows for left, right in columns]


def blended(how: Mix | Mosaic, truth: str) -> Mix:
    """A mix that is no mosaic. truth: what has no mosaic, such as "a number". Raises UsageError for one."""
    if isinstance(how, Mosaic):
        raise UsageError(
            f"A mosaic shows four pictures, and {truth} can not be that of all. Set regularisation.mosaic to 0."
        )
    return how


def mix(
    inputs: Mapping[str, Tensor], settings: RegularisationSettings, random: np.random.Generator
) -> tuple[dict[str, Tensor], Mix | Mosaic | None]:
    """Mixed inputs by name, a batch (N) first, and how; None where nothing is mixed. Of images some batches are mosaics, and the
    others are mixed as the rest of the settings says.

    CutMix pastes the same part of every map; where some inputs are no maps (pooled features) there is MixUp alone. With both,
    each batch takes one by the toss of a coin.
    """
    rows = len(next(iter(inputs.values())))
    if settings.mosaic and [*inputs] == [IMAGES] and random.random() < settings.mosaic:
        return _mosaic(inputs[IMAGES], random)
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


def _mosaic(images: Tensor, random: np.random.Generator) -> tuple[dict[str, Tensor], Mosaic]:
    """Each image is in four mosaics, once in each corner; half as large, by the mean of its pixels."""
    orders = torch.from_numpy(np.stack([random.permutation(len(images)) for _ in range(4)]))
    how = Mosaic(orders, (images.shape[3], images.shape[2]))
    made = torch.empty_like(images)
    for order, (left, top, right, bottom) in zip(orders, how.quarters, strict=True):
        small = F.interpolate(images[order], size=(bottom - top, right - left), mode="area")
        made[:, :, top:bottom, left:right] = small
    return {IMAGES: made}, how


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
