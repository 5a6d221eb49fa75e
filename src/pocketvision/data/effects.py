"""What a view does to a picture after its crop: recorded steps, each with its numbers, replayed on pixels and, where it moves
them, on boxes and masks by its matrix.

Colours by torchvision.transforms.v2.functional, which is imported when a step is first taken.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from pocketvision.data.contrast import equalised

Values = tuple[float, ...]
Size = tuple[int, int]
"""Width, height."""


@dataclass(frozen=True)
class Effect:
    """A step: a name of COLOURS or MOVES and its numbers; of `mix` also the chains that are mixed, and their shares."""

    name: str
    values: Values = ()
    chains: tuple[tuple["Effect", ...], ...] = ()


def applied_effects(image: Image.Image, effects: tuple[Effect, ...], fill: tuple[int, int, int]) -> Image.Image:
    """An RGB picture after all of them, of the same size. fill: the colour of what is moved in from outside."""
    return reduce(lambda before, each: _after(before, each, fill), effects, image)


def matrix_of(effects: tuple[Effect, ...], size: Size) -> NDArray[np.float64]:
    """(3, 3): where they move the pixels of a picture of this size. What a `mix` moves is in several places, and is not told."""
    moves = (MOVES[each.name](each.values, size) for each in effects if each.name in MOVES)
    return reduce(lambda before, own: own @ before, moves, np.eye(3))


def _after(image: Image.Image, effect: Effect, fill: tuple[int, int, int]) -> Image.Image:
    if effect.name == "mirror_down":
        return image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    if effect.name in MOVES:
        back = np.linalg.inv(MOVES[effect.name](effect.values, image.size))
        how = Image.Resampling.NEAREST if effect.name == "shift" else Image.Resampling.BILINEAR
        return image.transform(image.size, Image.Transform.AFFINE, back[:2].ravel().tolist(), how, fillcolor=fill)
    if effect.name == "mix":
        return _mixed(image, effect, fill)
    return COLOURS[effect.name](image, *effect.values)


def _mixed(image: Image.Image, effect: Effect, fill: tuple[int, int, int]) -> Image.Image:
    """The picture itself by the first share, what each chain makes of it by the others."""
    made = [image, *(applied_effects(image, chain, fill) for chain in effect.chains)]
    shares = np.array(effect.values, np.float32)
    mixed = np.tensordot(shares, np.stack([np.asarray(each, np.float32) for each in made]), axes=1)
    return _picture(mixed)


# Where pixels go. Edges are whole numbers, as in View.matrix; turns and shears are about the middle.


def _about_the_middle(size: Size, rows: list[list[float]]) -> NDArray[np.float64]:
    middle = np.array([size[0] / 2, size[1] / 2])
    result = np.eye(3)
    result[:2, :2] = rows
    result[:2, 2] = middle - result[:2, :2] @ middle
    return result


def _shear(values: Values, size: Size) -> NDArray[np.float64]:
    """values: by how many pixels a row (a column) is moved against the next one."""
    return _about_the_middle(size, [[1, values[0]], [values[1], 1]])


def _turn(values: Values, size: Size) -> NDArray[np.float64]:
    """values: degrees, anticlockwise."""
    cosine, sine = math.cos(math.radians(values[0])), math.sin(math.radians(values[0]))
    return _about_the_middle(size, [[cosine, sine], [-sine, cosine]])


def _move(values: Values, size: Size) -> NDArray[np.float64]:
    """values: to the right and down, in shares of the width and the height."""
    return _shift((values[0] * size[0], values[1] * size[1]), size)


def _shift(values: Values, size: Size) -> NDArray[np.float64]:
    """values: pixels to the right and down."""
    del size
    result = np.eye(3)
    result[:2, 2] = values
    return result


def _mirror_down(values: Values, size: Size) -> NDArray[np.float64]:
    del values
    return np.array([[1.0, 0, 0], [0, -1, size[1]], [0, 0, 1]])


MOVES: Mapping[str, Callable[[Values, Size], NDArray[np.float64]]] = {
    "shear": _shear,
    "turn": _turn,
    "move": _move,
    "shift": _shift,
    "slide": _shift,
    "mirror_down": _mirror_down,
}
"""What moves pixels, by name."""
OF_THE_CROP = ("shift", "mirror_down")
"""Those that move what was cropped; a view takes the others into its crop, so that what they move in is the picture's, where it
reaches so far."""
BENDS = ("shear", "turn")
"""Those after which an upright box around an object is too large for it."""


def _of_torchvision(name: str) -> Callable[..., Image.Image]:
    def apply(image: Image.Image, *values: float) -> Image.Image:
        from torchvision.transforms.v2 import functional

        function: Any = getattr(functional, name)
        made: Image.Image = function(image, *values)
        return made

    return apply


def _posterize(image: Image.Image, bits: float) -> Image.Image:
    return _of_torchvision("posterize")(image, int(bits))


def _greyscale(image: Image.Image) -> Image.Image:
    return image.convert("L").convert("RGB")


def _blur(image: Image.Image, sigma: float) -> Image.Image:
    """sigma: in pixels."""
    return image.filter(ImageFilter.GaussianBlur(sigma))


def _motion_blur(image: Image.Image, length: float, angle: float) -> Image.Image:
    """The mean along a line. length: in pixels. angle: in degrees, anticlockwise from the right."""
    count = max(1, round(length))
    places = np.arange(count) - (count - 1) / 2
    across = np.rint(places * math.cos(math.radians(angle))).astype(int)
    down = np.rint(-places * math.sin(math.radians(angle))).astype(int)
    reach = count
    padded = np.pad(np.asarray(image, np.float32), ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    height, width = image.height, image.width
    moved = [
        padded[reach + y : reach + y + height, reach + x : reach + x + width]
        for x, y in zip(across.tolist(), down.tolist(), strict=True)
    ]
    return _picture(np.mean(moved, axis=0))


def _noise(image: Image.Image, sigma: float, seed: float) -> Image.Image:
    """Gaussian, of each pixel and colour. sigma: of 255."""
    drawn = np.random.Generator(np.random.Philox(int(seed))).standard_normal((image.height, image.width, 3), np.float32)
    return _picture(np.asarray(image, np.float32) + sigma * 255 * drawn)


def _erase(image: Image.Image, left: float, top: float, right: float, bottom: float, seed: float) -> Image.Image:
    """Noise in the place of a box, whose sides are shares of the picture's (Zhong et al. 2020)."""
    box = [round(side * length) for side, length in zip((left, top, right, bottom), image.size * 2, strict=True)]
    random = np.random.Generator(np.random.Philox(int(seed)))
    pixels = random.integers(0, 256, (max(box[3] - box[1], 1), max(box[2] - box[0], 1), 3), dtype=np.uint8)
    changed = image.copy()
    changed.paste(Image.fromarray(pixels), (box[0], box[1]))
    return changed


COLOURS: Mapping[str, Callable[..., Image.Image]] = {
    "brightness": _of_torchvision("adjust_brightness"),
    "contrast": _of_torchvision("adjust_contrast"),
    "saturation": _of_torchvision("adjust_saturation"),
    "hue": _of_torchvision("adjust_hue"),
    "gamma": _of_torchvision("adjust_gamma"),
    "sharpness": _of_torchvision("adjust_sharpness"),
    "posterize": _posterize,
    "solarize": _of_torchvision("solarize"),
    "autocontrast": _of_torchvision("autocontrast"),
    "equalize": _of_torchvision("equalize"),
    "invert": _of_torchvision("invert"),
    "greyscale": _greyscale,
    "clahe": equalised,
    "blur": _blur,
    "motion_blur": _motion_blur,
    "noise": _noise,
    "erase": _erase,
}
"""What changes pixels where they are, by name."""


def _picture(values: NDArray[np.floating]) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
