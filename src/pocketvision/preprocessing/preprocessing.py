"""How an image becomes a network's input: resize, crop or pad, and normalise, as data that a bundle carries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketvision.errors import BundleError
from pocketvision.preprocessing.decoding import MAX_PIXELS, DecodedImage, ImageSource, decode_image
from pocketvision.preprocessing.formats import FORMATS
from pocketvision.preprocessing.placement import Placement
from pocketvision.preprocessing.sampling import sampled
from pocketvision.preprocessing.white_level import FULL_RANGE, WHITE_LEVELS

Interpolation = Literal["bilinear", "bicubic", "bilinear_no_antialias"]
"""Pillow's resampling filters by name, both with antialiasing; and bilinear by looking up (sampling.py), for weights that were
trained so."""

SAMPLED: Interpolation = "bilinear_no_antialias"

Fit = Literal["crop", "pad", "stretch"]
"""What gives way where an image's shape is not the input's: its border, the input's border, or the shape itself."""


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a network's input, as data that a bundle carries.

    With `fit` "crop" the image is resized, keeping its shape, until the crop fills `crop_share` of the side that fits tighter
    (for a square input: short side = round(size / crop_share)), and the middle `height` x `width` pixels are kept. Rounding as
    torchvision's Resize and CenterCrop do it. The other two keep all of the image, so their `crop_share` is 1: "pad" resizes it,
    keeping its shape, until it fits, in the middle of `fill` (letterbox), and "stretch" resizes both sides to the input's.
    Then each channel, scaled to [0, 1], becomes (value - mean) / std.
    `white_level` is the value of a 16-bit picture that becomes white, the same for the whole data set (see white_level.py).
    """

    height: int
    width: int
    crop_share: float
    interpolation: Interpolation
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    white_level: int = FULL_RANGE
    fit: Fit = "crop"

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"height and width are {self.height} and {self.width}; expected at least 1 pixel")
        if not 0 < self.crop_share <= 1:
            raise ValueError(f"crop_share is {self.crop_share}; expected a number above 0, at most 1")
        if self.interpolation not in get_args(Interpolation):
            raise ValueError(
                f"interpolation is {self.interpolation!r}; expected one of {', '.join(get_args(Interpolation))}"
            )
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(f"mean and std are {self.mean} and {self.std}; expected three numbers each, std above 0")
        if self.white_level not in WHITE_LEVELS:
            raise ValueError(f"white_level is {self.white_level!r}; expected {', '.join(map(str, WHITE_LEVELS))}")
        if self.fit not in get_args(Fit):
            raise ValueError(f'fit is {self.fit!r}; expected "crop", "pad" or "stretch"')
        if self.fit != "crop" and self.crop_share != 1:
            raise ValueError(f'crop_share is {self.crop_share} where fit is "{self.fit}", which keeps all; expected 1')
        if self.interpolation == SAMPLED and self.fit != "stretch":
            raise ValueError(f'interpolation is {SAMPLED} where fit is "{self.fit}"; expected fit "stretch"')

    def __call__(
        self, source: ImageSource, *, max_pixels: int = MAX_PIXELS, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Decode, crop and normalise: (3, height, width) float32, written to `out` when given. Raises ImageError."""
        return self.normalise(self.pixels(self.decode(source, max_pixels=max_pixels)), out)

    def place(
        self, source: ImageSource, *, max_pixels: int = MAX_PIXELS, out: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.float32], Placement]:
        """The input as a call gives it, and where the image lies in it. Raises ImageError."""
        decoded = self.decode_image(source, max_pixels=max_pixels)
        return self.normalise(self.pixels(decoded.image), out), self.placement(decoded.placement)

    def decode(
        self, source: ImageSource, *, max_pixels: int = MAX_PIXELS, formats: Sequence[str] = FORMATS
    ) -> Image.Image:
        """The image as RGB, at no less than twice the scale that `crop` resizes to. Raises ImageError."""
        return self.decode_image(source, max_pixels=max_pixels, formats=formats).image

    def decode_image(
        self, source: ImageSource, *, max_pixels: int = MAX_PIXELS, formats: Sequence[str] = FORMATS
    ) -> DecodedImage:
        """What `decode` gives, with the way back to the pixels of the whole image. Raises ImageError."""
        return decode_image(
            source,
            max_pixels=max_pixels,
            formats=formats,
            shortest_side=self.shortest_side,
            white_level=self.white_level,
        )

    @property
    def shortest_side(self) -> int | None:
        """Pixels of the short side that an image is resized to at most, which is all that decoding need keep twice of; None where
        every pixel counts."""
        return None if self.interpolation == SAMPLED else round(max(self.height, self.width) / self.crop_share)

    def resized_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height in pixels that an image of width x height pixels is resized to, before it is cropped or padded."""
        if self.fit == "stretch":
            return self.width, self.height
        if self.fit == "pad":
            if self.width * height <= self.height * width:  # the width fits tighter
                return self.width, max((2 * self.width * height + width) // (2 * width), 1)
            return max((2 * self.height * width + height) // (2 * height), 1), self.height
        fit_width, fit_height = round(self.width / self.crop_share), round(self.height / self.crop_share)
        if fit_width * height >= fit_height * width:  # the width fits tighter
            return fit_width, max(int(fit_width * height / width), self.height)
        return max(int(fit_height * width / height), self.width), fit_height

    def grid(self, width: int, height: int) -> tuple[int, int, float, float]:
        """Where the input lies in the resized image of width x height pixels: left and top in resized pixels, negative where it
        is padded, and how many pixels of the image make one resized pixel, across and down."""
        resized_width, resized_height = self.resized_size(width, height)
        left, top = round((resized_width - self.width) / 2), round((resized_height - self.height) / 2)
        return left, top, width / resized_width, height / resized_height

    def placement(self, decoded: Placement) -> Placement:
        """Where an image lies in what `crop` makes of it. decoded: where it lies in the decoded pixels, as
        DecodedImage.placement says."""
        left, top, across, down = self.grid(*decoded.input_size)
        matrix = np.array([[1 / across, 0, -left], [0, 1 / down, -top], [0, 0, 1]])
        return decoded.then(matrix, (self.width, self.height))

    @property
    def fill(self) -> tuple[int, int, int]:
        """The colour of padding: the mean, which the network sees as 0, as it sees what its convolutions pad with."""
        red, green, blue = (min(max(round(255 * value), 0), 255) for value in self.mean)
        return red, green, blue

    def pixels(self, image: Image.Image) -> Image.Image | NDArray[np.float32]:
        """What is to be normalised of an RGB image: `crop`'s 8 bits, or (height, width, 3) grey levels with their fractions
        where they are looked up."""
        return sampled(image, self.width, self.height) if self.interpolation == SAMPLED else self.crop(image)

    def crop(self, image: Image.Image) -> Image.Image:
        """The network's input in 8 bits, (width, height) pixels, of an RGB image: cropped, padded or stretched.

        One resampling straight from the source's pixels: those outside the crop are never computed. Within 1 grey level
        of resizing first and cropping afterwards (tests/test_preprocessing.py), but for strips that are enlarged, where
        Pillow may run its two passes in the other order and bicubic overshoots are clipped elsewhere.
        """
        if self.interpolation == SAMPLED:
            return Image.fromarray(sampled(image, self.width, self.height).round().astype(np.uint8))
        left, top, across, down = self.grid(*image.size)
        resampling = Image.Resampling.BICUBIC if self.interpolation == "bicubic" else Image.Resampling.BILINEAR
        if self.fit == "pad":
            padded = Image.new("RGB", (self.width, self.height), self.fill)
            padded.paste(image.resize(self.resized_size(*image.size), resampling), (-left, -top))
            return padded
        box = (
            left * across,
            top * down,
            min((left + self.width) * across, image.width),
            min((top + self.height) * down, image.height),
        )
        return image.resize((self.width, self.height), resampling, box=box)

    def normalise(
        self, image: Image.Image | NDArray[np.float32], out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """(3, height, width) float32 of an RGB image of any size, or of grey levels (height, width, 3); written to `out` when it
        is given."""
        grey = np.asarray(image)
        if out is None:
            out = np.empty((3, *grey.shape[:2]), dtype=np.float32)
        # (value / 255 - mean) / std as one multiply-add. Measured at 224 x 224 on one core: 0.11 ms, by a table of 256
        # values a channel 0.17 ms, as written in textbooks 1.0 ms.
        std = np.asarray(self.std, dtype=np.float32).reshape(3, 1, 1)
        mean = np.asarray(self.mean, dtype=np.float32).reshape(3, 1, 1)
        np.multiply(grey.transpose(2, 0, 1), 1 / (255 * std), out=out)
        out -= mean / std
        return out

    def with_size(self, pixels: int) -> "Preprocessing":
        """The same preprocessing for a square input of `pixels` x `pixels`."""
        return replace(self, height=pixels, width=pixels)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` is the way back."""
        return {
            "height": self.height,
            "width": self.width,
            "crop_share": self.crop_share,
            "interpolation": self.interpolation,
            "mean": list(self.mean),
            "std": list(self.std),
            "white_level": self.white_level,
            "fit": self.fit,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Preprocessing":
        """Read what `to_dict` wrote; older bundles have no `white_level`, and mean the full range, or no `fit`, and mean crop.

        Raises BundleError that names the field that is missing, unknown or wrong.
        """
        fields = ("height", "width", "crop_share", "interpolation", "mean", "std", "white_level", "fit")
        for name in fields[:-2]:
            if name not in values:
                raise BundleError(f"preprocessing: the field {name!r} is missing")
        for name in values:
            if name not in fields:
                raise BundleError(f"preprocessing: the field {name!r} is unknown; expected {', '.join(fields)}")
        for name in ("height", "width"):
            if type(values[name]) is not int:
                raise BundleError(f"preprocessing.{name} is {values[name]!r}; expected a whole number of pixels")
        try:
            return cls(
                height=values["height"],
                width=values["width"],
                crop_share=float(values["crop_share"]),
                interpolation=values["interpolation"],
                mean=_three("mean", values["mean"]),
                std=_three("std", values["std"]),
                white_level=values.get("white_level", FULL_RANGE),
                fit=values.get("fit", "crop"),
            )
        except (TypeError, ValueError) as error:
            raise BundleError(f"preprocessing: {error}") from error


def _three(name: str, values: object) -> tuple[float, float, float]:
    if not isinstance(values, list | tuple) or len(values) != 3:
        raise ValueError(f"{name} is {values!r}; expected three numbers")
    red, green, blue = map(float, values)
    return red, green, blue
