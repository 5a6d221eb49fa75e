"""Augmented views of images, as recorded parameters: drawn once, stored, and replayed on pixels and on boxes alike."""

import hashlib
import math
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketvision.data.effects import MOVES, OF_THE_CROP, Effect, applied_effects, matrix_of
from pocketvision.data.policies import POLICIES, Draws
from pocketvision.errors import unknown_name
from pocketvision.preprocessing import Placement, Preprocessing

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""


@dataclass(frozen=True)
class Augmentation:
    """From which ranges views are drawn; all draws are uniform (of the shape: uniform in its logarithm).

    smallest_area: smallest share of the image's area that is kept, up to 1; None keeps the crop of Preprocessing.
    stretch: largest factor between a kept region's shape and the network's input, 1 never distorts.
    flip: probability of mirroring left and right. Not for text, arrows, left and right hands.
    brightness, contrast, saturation: largest change, 0.2 draws a factor from 0.8 to 1.2.
    rotation: largest angle in degrees, either way.
    The further ones are effects after the crop (effects.py), in this order. flip_down: probability of mirroring up and down.
    crop_padding: pixels of the input that a crop of the padded picture may be moved by, each way. policy: of POLICIES, with
    `operations` of `magnitude` (of 30); "" none. hue: largest change of a turn, up to 0.5. gamma: largest factor, 1 none.
    greyscale, clahe: probabilities; clahe's limit is 2 to 4. blur: largest standard deviation, motion_blur: longest line, in
    pixels of the input. noise: largest standard deviation, of 1. erasing: probability of a box of noise, of up to `erased_area`
    of the view. moves: what policies may move (policies.Moves).
    """

    smallest_area: float | None
    stretch: float
    flip: float
    brightness: float
    contrast: float
    saturation: float
    rotation: float
    flip_down: float = 0.0
    crop_padding: int = 0
    policy: str = ""
    operations: int = 2
    magnitude: float = 9.0
    hue: float = 0.0
    gamma: float = 1.0
    greyscale: float = 0.0
    clahe: float = 0.0
    blur: float = 0.0
    motion_blur: float = 0.0
    noise: float = 0.0
    erasing: float = 0.0
    erased_area: float = 1 / 3
    moves: str = "all"

    def at(self, share: float) -> "Augmentation":
        """The same at a share of its strength, from 0 to 1."""
        area = None if self.smallest_area is None else 1 - share * (1 - self.smallest_area)
        scaled = {name: getattr(self, name) * share for name in _SCALED}
        return replace(self, smallest_area=area, stretch=self.stretch**share, gamma=self.gamma**share, **scaled)


_SCALED = ("brightness", "contrast", "saturation", "rotation", "magnitude", "hue", "blur", "motion_blur", "noise")
"""What is 0 at no strength. Mirrors, paddings and probabilities stay."""


AUGMENTATIONS: dict[str, Augmentation] = {
    "none": Augmentation(None, 1, 0, 0, 0, 0, 0),
    "light": Augmentation(0.8, 8 / 7, 0.5, 0.1, 0.1, 0.1, 5),
    "standard": Augmentation(0.6, 4 / 3, 0.5, 0.2, 0.2, 0.2, 10),
    "strong": Augmentation(0.3, 4 / 3, 0.5, 0.4, 0.4, 0.4, 15),
}


def augmentation_named(name: str) -> Augmentation:
    """The row of AUGMENTATIONS called `name`. Raises UsageError with near matches when there is none."""
    if name not in AUGMENTATIONS:
        raise unknown_name("augmentation", name, AUGMENTATIONS)
    return AUGMENTATIONS[name]


@dataclass(frozen=True)
class View:
    """One version of an image, without reference to its size, so that it fits the image decoded at any scale.

    area: share of the image's area that is kept, in (0, 1], of the padded image's where Preprocessing pads; None keeps what
    Preprocessing keeps. stretch: width / height of the kept region over that of the network's input, or, where Preprocessing
    crops nothing, of all that it shows.
    across, down: where the region lies, 0 is far left or top, 1 far right or bottom.
    flip: whether left and right are mirrored. rotation: by how many degrees the content turns, anticlockwise.
    brightness, contrast, saturation: factors, 1 changes nothing; applied as saturation, brightness, contrast.
    effects: what follows all that, in the network's input.
    """

    area: float | None = None
    stretch: float = 1.0
    across: float = 0.5
    down: float = 0.5
    flip: bool = False
    rotation: float = 0.0
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    effects: tuple[Effect, ...] = field(default=(), repr=False)

    @property
    def key(self) -> bytes:
        """What tells it from other views; without effects as it ever was, for caches."""
        return (repr(self) + (repr(self.effects) if self.effects else "")).encode()

    def matrix(self, image_size: tuple[int, int], preprocessing: Preprocessing) -> NDArray[np.float64]:
        """(3, 3), homogeneous: from pixels of an image of `image_size` (width, height) to the network's input.

        Pixel edges are whole numbers, pixel centres halves.
        """
        region = self._region(image_size, preprocessing)
        cosine, sine = math.cos(math.radians(self.rotation)), math.sin(math.radians(self.rotation))
        across, down = preprocessing.width / region.width, preprocessing.height / region.height
        turned = np.array([[across * cosine, across * sine], [-down * sine, down * cosine]])
        if self.flip:
            turned[0] *= -1
        middle = np.array([preprocessing.width / 2, preprocessing.height / 2])
        result = np.eye(3)
        result[:2, :2] = turned
        result[:2, 2] = middle - turned @ np.array(region.middle)
        return matrix_of(self.effects, (preprocessing.width, preprocessing.height)) @ result if self.effects else result

    def crop(self, image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
        """This view of an RGB image, (width, height) pixels of the network's input. CLEAN is `preprocessing.crop`."""
        if self.effects:
            moves = tuple(each for each in self.effects if each.name in MOVES and each.name not in OF_THE_CROP)
            rest = tuple(each for each in self.effects if each not in moves)
            plain = replace(self, effects=())
            cropped = plain._moved(image, moves, preprocessing) if moves else plain.crop(image, preprocessing)
            return applied_effects(cropped, rest, preprocessing.fill)
        if replace(self, brightness=1.0, contrast=1.0, saturation=1.0) == CLEAN:
            return self._colour(preprocessing.crop(image))
        region, matrix = self._region(image.size, preprocessing), self.matrix(image.size, preprocessing)
        image, box = _padded(image, region.around, preprocessing)
        size = (preprocessing.width, preprocessing.height)
        resampling = Image.Resampling.BICUBIC if preprocessing.interpolation == "bicubic" else Image.Resampling.BILINEAR
        if not self.rotation:
            cropped = image.resize(size, resampling, box=box)
            return self._colour(cropped.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if self.flip else cropped)
        # Pillow's transform does not average over the pixels it skips, so the scale is changed first, by resize.
        left, top, right, bottom = region.around
        width = round((right - left) * size[0] / region.width)
        height = round((bottom - top) * size[1] / region.height)
        across, down = width / (right - left), height / (bottom - top)
        scaled = np.array([[across, 0, -left * across], [0, down, -top * down], [0, 0, 1]])
        back = scaled @ np.linalg.inv(matrix)
        return self._colour(
            image.resize((width, height), resampling, box=box).transform(
                size, Image.Transform.AFFINE, back[:2].ravel().tolist(), Image.Resampling.BILINEAR
            )
        )

    def _moved(self, image: Image.Image, moves: tuple[Effect, ...], preprocessing: Preprocessing) -> Image.Image:
        """The view and further moves in one; Preprocessing.fill where the image does not reach."""
        size, region = (preprocessing.width, preprocessing.height), self._region(image.size, preprocessing)
        matrix = matrix_of(moves, size) @ self.matrix(image.size, preprocessing)
        corners = np.array([[0, size[0], 0, size[0]], [0, 0, size[1], size[1]], [1, 1, 1, 1]])
        reached = (np.linalg.inv(matrix) @ corners)[:2]
        left, top = np.maximum(reached.min(axis=1), 0).tolist()
        right, bottom = np.minimum(reached.max(axis=1), image.size).tolist()
        if right - left <= 0 or bottom - top <= 0:
            return self._colour(Image.new("RGB", size, preprocessing.fill))
        # As in crop: the scale is changed first, by resize, which averages.
        width = max(1, round((right - left) * size[0] / region.width))
        height = max(1, round((bottom - top) * size[1] / region.height))
        across, down = width / (right - left), height / (bottom - top)
        scaled = np.array([[across, 0, -left * across], [0, down, -top * down], [0, 0, 1]])
        back = scaled @ np.linalg.inv(matrix)
        resampling = Image.Resampling.BICUBIC if preprocessing.interpolation == "bicubic" else Image.Resampling.BILINEAR
        resized = image.resize((width, height), resampling, box=(left, top, right, bottom))
        return self._colour(
            resized.transform(
                size,
                Image.Transform.AFFINE,
                back[:2].ravel().tolist(),
                Image.Resampling.BILINEAR,
                fillcolor=preprocessing.fill,
            )
        )

    def _region(self, image_size: tuple[int, int], preprocessing: Preprocessing) -> "_Region":
        """The kept region. It and the upright box around it lie inside the image, padded where Preprocessing pads it: a view
        never invents pixels."""
        clean = left, top, width, height = _clean_region(image_size, preprocessing)
        frame = clean if preprocessing.fit == "pad" else (0.0, 0.0, *image_size)
        frame_left, frame_top, frame_width, frame_height = frame
        if self.area is not None:
            crops = preprocessing.fit == "crop"
            shown = (preprocessing.width, preprocessing.height) if crops else (frame_width, frame_height)
            shape = self.stretch * shown[0] / shown[1]
            width = math.sqrt(self.area * frame_width * frame_height * shape)
            height = width / shape
        cosine, sine = abs(math.cos(math.radians(self.rotation))), abs(math.sin(math.radians(self.rotation)))
        around_width, around_height = width * cosine + height * sine, height * cosine + width * sine
        shrink = min(1.0, frame_width / around_width, frame_height / around_height)
        around_width, around_height = around_width * shrink, around_height * shrink
        free_width, free_height = frame_width - around_width, frame_height - around_height
        if self.area is None:
            left = min(max(left + (width - around_width) / 2, frame_left), frame_left + free_width)
            top = min(max(top + (height - around_height) / 2, frame_top), frame_top + free_height)
        else:
            left, top = frame_left + self.across * free_width, frame_top + self.down * free_height
        # min: a rounding error of the last bit must not reach beyond the image, which Pillow refuses.
        around = (
            max(left, frame_left),
            max(top, frame_top),
            min(left + around_width, frame_left + frame_width),
            min(top + around_height, frame_top + frame_height),
        )
        middle = (left + around_width / 2, top + around_height / 2)
        return _Region(width * shrink, height * shrink, middle, around)

    def _colour(self, image: Image.Image) -> Image.Image:
        if self.brightness == self.contrast == self.saturation == 1:
            return image
        # All three are linear in red, green and blue, so they are one 3 x 4 matrix: one pass in C instead of three.
        linear = self.saturation * np.eye(3) + (1 - self.saturation) * np.array([_LUMA] * 3)
        offset = (1 - self.contrast) * _MID_GREY
        rows = [(*(self.contrast * self.brightness * row), offset) for row in linear]
        return image.convert("RGB", tuple(float(value) for row in rows for value in row))


CLEAN = View()
"""The view that validation, test and prediction see: exactly Preprocessing."""

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, the grey of Pillow's own conversion
_MID_GREY = 127.5
_ROUNDING = (
    1e-6  # pixels: what a sum of floating-point numbers reaches beyond an edge is no reason for one more of padding
)


class _Region(NamedTuple):
    """What a view keeps of an image, in its pixels: the turned region's size and middle, the upright box around it."""

    width: float
    height: float
    middle: tuple[float, float]
    around: Box


def draw_view(seed: int, *numbers: int, augmentation: str | Augmentation = "standard") -> View:
    """The view that belongs to `seed` and `numbers` (which image, which view of it …), within a named or given row.

    The draws come from a hash of the numbers, not from a generator: the same on every machine, with every version of
    every library, in any order, and without state to keep.
    """
    ranges = augmentation_named(augmentation) if isinstance(augmentation, str) else augmentation
    text = ",".join(map(str, (seed, *numbers)))
    draws = np.frombuffer(hashlib.blake2b(text.encode()).digest(), dtype="<u4") / 2**32  # 16 numbers in [0, 1)
    area, stretch, across, down, flip, rotation, brightness, contrast, saturation = draws[:9].tolist()
    if ranges.smallest_area is None:
        view = View()
    else:
        view = View(
            area=_digits(1 - (1 - ranges.smallest_area) * area),
            stretch=_digits(ranges.stretch ** (2 * stretch - 1)),
            across=_digits(across),
            down=_digits(down),
        )
    effects = _effects(Draws(f"effects:{text}"), ranges) if ranges != _plain(ranges) else ()
    return replace(
        view,
        effects=effects,
        flip=flip < ranges.flip,
        rotation=_digits((2 * rotation - 1) * ranges.rotation),
        brightness=_digits(1 + (2 * brightness - 1) * ranges.brightness),
        contrast=_digits(1 + (2 * contrast - 1) * ranges.contrast),
        saturation=_digits(1 + (2 * saturation - 1) * ranges.saturation),
    )


def _plain(ranges: Augmentation) -> Augmentation:
    """Without effects."""
    return Augmentation(
        ranges.smallest_area,
        ranges.stretch,
        ranges.flip,
        ranges.brightness,
        ranges.contrast,
        ranges.saturation,
        ranges.rotation,
        moves=ranges.moves,
    )


def _effects(draws: Draws, ranges: Augmentation) -> tuple[Effect, ...]:
    """Every step draws its numbers whether it is taken or not, so that no setting changes what another draws."""

    def within(most: float) -> float:
        return _digits((2 * draws.share() - 1) * most)

    mirrored, shifted = draws.share() < ranges.flip_down, (draws.share(), draws.share())
    padding = ranges.crop_padding
    shift = tuple(float(math.floor(each * (2 * padding + 1)) - padding) for each in shifted)
    policy, found = Draws(f"policy:{draws.share()}"), list[Effect]()
    # Of what has a place nothing may lie where the fill is: the picture itself is moved.
    moved = Effect("shift" if ranges.moves == "all" else "slide", shift)
    found += [moved] if any(shift) and moved.name == "slide" else []
    if ranges.policy:
        found += POLICIES[ranges.policy](policy, ranges.operations, ranges.magnitude, ranges.moves)
    found += [Effect("mirror_down")] if mirrored else []
    found += [moved] if any(shift) and moved.name == "shift" else []
    hue, gamma = within(ranges.hue), _digits(ranges.gamma ** (2 * draws.share() - 1))
    found += [Effect("hue", (hue,))] if hue else []
    found += [Effect("gamma", (gamma,))] if gamma != 1 else []
    grey, equalised, limit = (draws.share() for _ in range(3))
    found += [Effect("greyscale")] if grey < ranges.greyscale else []
    found += [Effect("clahe", (_digits(2 + 2 * limit),))] if equalised < ranges.clahe else []
    sigma, length, angle = draws.share() * ranges.blur, draws.share() * ranges.motion_blur, draws.share() * 180
    found += [Effect("blur", (_digits(sigma),))] if sigma else []
    found += [Effect("motion_blur", (_digits(length), _digits(angle)))] if length > 1 else []
    noise, seed = draws.share() * ranges.noise, float(draws.below(2**31))
    found += [Effect("noise", (_digits(noise), seed))] if noise else []
    erased, box, seed = draws.share() < ranges.erasing, _erased(draws, ranges.erased_area), float(draws.below(2**31))
    found += [Effect("erase", (*box, seed))] if erased else []
    return tuple(found)


def _erased(draws: Draws, most: float) -> tuple[float, float, float, float]:
    """A box in shares of the sides: of 2 % of the area up to `most`, its shape from 0.3 to 3.3 (Zhong et al. 2020,
    https://arxiv.org/abs/1708.04896)."""
    area = 0.02 + draws.share() * max(most - 0.02, 0)
    shape = math.exp((2 * draws.share() - 1) * math.log(10 / 3))
    wide, tall = min(1.0, math.sqrt(area * shape)), min(1.0, math.sqrt(area / shape))
    left, top = draws.share() * (1 - wide), draws.share() * (1 - tall)
    return _digits(left), _digits(top), _digits(left + wide), _digits(top + tall)


def apply_view(
    image: Image.Image, view: View, preprocessing: Preprocessing, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """(3, height, width) float32: `view` of an RGB image, normalised; written to `out` when it is given."""
    return preprocessing.normalise(view.crop(image, preprocessing), out)


def placement_of(view: View, decoded: Placement, preprocessing: Preprocessing) -> Placement:
    """Where an image lies in a view of it. decoded: where it lies in the pixels of which the view is taken, as
    DecodedImage.placement says."""
    return decoded.then(view.matrix(decoded.input_size, preprocessing), (preprocessing.width, preprocessing.height))


def _padded(image: Image.Image, box: Box, preprocessing: Preprocessing) -> tuple[Image.Image, Box]:
    """The image with as much padding as `box` reaches beyond it, and the box in its pixels."""
    beyond = (-box[0], -box[1], box[2] - image.width, box[3] - image.height)
    left, top, right, bottom = (max(math.ceil(each - _ROUNDING), 0) for each in beyond)
    width, height = left + image.width + right, top + image.height + bottom
    if (width, height) != image.size:
        padded = Image.new("RGB", (width, height), preprocessing.fill)
        padded.paste(image, (left, top))
        image = padded
    return image, (max(box[0] + left, 0), max(box[1] + top, 0), min(box[2] + left, width), min(box[3] + top, height))


def _clean_region(image_size: tuple[int, int], preprocessing: Preprocessing) -> tuple[float, float, float, float]:
    """Left, top, width and height, in the image's pixels, of what `preprocessing.crop` keeps."""
    left, top, across, down = preprocessing.grid(*image_size)
    return left * across, top * down, preprocessing.width * across, preprocessing.height * down


def _digits(value: float) -> float:
    """Rounded, so that a view is the same after a round trip through text and where a library's last bit differs."""
    return round(value, 6)
