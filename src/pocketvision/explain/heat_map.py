"""A heat map: how much each place of an image speaks for an answer, and how it is drawn. Numpy and Pillow."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketvision.preprocessing import Placement

Heat = NDArray[np.float32]
"""(h, w), any grid over the network's input."""

# From what does not matter to what matters most: dark violet, red, orange, light yellow. Light rises with heat: it reads in grey.
_COLOURS = np.array([(20, 11, 52), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], np.float32)
OPACITY = 0.65
"""Of the hottest place."""


@dataclass(frozen=True, eq=False)
class HeatMap:
    """values: (h, w) over the network's input, signed: what speaks against the answer is negative. words: what is explained, as
    in "cat". method: as in "grad-cam". layer: whose map it is; empty where there is none."""

    values: Heat
    words: str
    method: str
    layer: str = ""

    @property
    def is_flat(self) -> bool:
        """Whether no place speaks for the answer more than another."""
        return not bool(positive(self.values).any())

    @property
    def is_number(self) -> bool:
        """Whether every value is a number: that of a model that answers NaN is not."""
        return bool(np.isfinite(self.values).all())


def positive(values: Heat) -> Heat:
    """What speaks for the answer, from 0 to 1: the hottest place is 1. All 0 where nothing does; what is no number is 0."""
    kept = np.maximum(np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0), 0)
    most = float(kept.max(initial=0))
    scaled: Heat = (kept / most if most > 0 else kept).astype(np.float32)
    return scaled


def on_input(values: Heat, size: tuple[int, int]) -> Heat:
    """The map in pixels of the input, (height, width) of `size` (width, height), between its pixels' centres."""
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize(size, Image.Resampling.BILINEAR), np.float32)


def on_image(values: Heat, placement: Placement) -> Heat:
    """The map in pixels of the upright image (height, width); 0 where the input did not show it."""
    inputs = on_input(values, placement.input_size)
    width, height = placement.image_size
    (across, _, left), (_, down, top) = placement.matrix[:2].tolist()
    found = Image.fromarray(inputs).transform(
        (width, height), Image.Transform.AFFINE, (across, 0, left, 0, down, top), Image.Resampling.BILINEAR, fillcolor=0
    )
    return np.asarray(found, np.float32)


def coloured(scaled: Heat) -> NDArray[np.uint8]:
    """Values from 0 to 1 (h, w) as colours (h, w, 3), light where hot."""
    place = np.clip(scaled, 0, 1) * (len(_COLOURS) - 1)
    low = np.minimum(place.astype(np.int64), len(_COLOURS) - 2)
    part = (place - low)[..., None]
    mixed = _COLOURS[low] * (1 - part) + _COLOURS[low + 1] * part
    colours: NDArray[np.uint8] = np.rint(mixed).astype(np.uint8)
    return colours


def laid_over(pixels: NDArray[np.uint8], scaled: Heat) -> NDArray[np.uint8]:
    """The picture (H, W, 3) with a map of its size (H, W), from 0 to 1, over it: clear where nothing is, OPACITY where it is
    hottest."""
    opacity = (OPACITY * np.sqrt(np.clip(scaled, 0, 1)))[..., None]
    mixed = pixels * (1 - opacity) + coloured(scaled) * opacity
    picture: NDArray[np.uint8] = np.rint(mixed).astype(np.uint8)
    return picture
