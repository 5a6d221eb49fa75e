"""From an image in whatever form to the network's input: the only decode, resize, crop and normalise of the project.

Training, evaluation, prediction, serving and streaming all come through here, so a model sees at work what it saw while
it was measured. Pillow and numpy only; safe to call from many threads at once (no global state of Pillow is set).
"""

import io
import stat
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import IO, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from pocketvision.errors import BundleError, ImageError

# The only readers that are ever tried on a file. Importing a module enters it in Pillow's own table, Image.OPEN.
_READERS: dict[str, ModuleType] = {
    "JPEG": JpegImagePlugin,
    "PNG": PngImagePlugin,
    "WEBP": WebPImagePlugin,
    "BMP": BmpImagePlugin,
    "TIFF": TiffImagePlugin,
    "GIF": GifImagePlugin,
    "AVIF": AvifImagePlugin,
}

FORMATS: tuple[str, ...] = tuple(_READERS)
"""Formats that are read, by Pillow's names, unless an allow-list narrows them."""

SUFFIXES: dict[str, str] = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".gif": "GIF",
    ".avif": "AVIF",
}
"""Lower-case suffixes taken for images when a folder is searched. What a file holds is told by its content."""

Interpolation = Literal["bilinear", "bicubic"]
"""Pillow's resampling filters by name, both with antialiasing."""

MAX_PIXELS = 50_000_000
"""Default limit of width x height, checked before anything is decoded."""

ImageSource = str | Path | bytes | NDArray[np.uint8] | Image.Image
"""A file's path, its content, an array of uint8 (H, W), (H, W, 3) or (H, W, 4) in RGB(A) order, or a Pillow image."""

_ORIENTATION_TAG = 0x0112  # EXIF 2.3, table 4: how the camera was held, 1 (upright) to 8
_WHITE = (255, 255, 255)


def decode(
    source: ImageSource,
    *,
    max_pixels: int = MAX_PIXELS,
    formats: Sequence[str] = FORMATS,
    shortest_side: int | None = None,
) -> Image.Image:
    """Read an image of any supported kind as upright 8-bit RGB.

    EXIF orientation is applied, alpha is composed on white, palette, grey, 16-bit and CMYK become RGB, and of an
    animation the first frame is taken. Colour profiles are not applied. `formats` is an allow-list out of FORMATS.
    With `shortest_side` a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size so long as its short side stays at least
    twice `shortest_side` pixels.

    Raises ImageError, naming the file and the cause, for everything that can be wrong with an image; `max_pixels` is
    checked before pixels are decoded. TypeError is for what is no ImageSource.
    """
    where = _name_of(source)
    with ExitStack() as opened:
        try:
            image = _open(source, where, opened, formats, max_pixels)
            if shortest_side is not None and image is not source and isinstance(image, JpegImagePlugin.JpegImageFile):
                image.draft(None, (2 * shortest_side, 2 * shortest_side))
            image.load()
            return _to_rgb(_upright(image), where)
        except ImageError:
            raise
        except MemoryError as error:
            raise ImageError(where, "there is not enough memory to decode it") from error
        except Exception as error:  # Pillow's readers let many kinds of error out when a file is damaged or hostile
            raise ImageError(where, _damage(error)) from error


def _name_of(source: ImageSource) -> str:
    if isinstance(source, str | Path):
        return str(source)
    if isinstance(source, bytes | np.ndarray | Image.Image):
        return "image bytes" if isinstance(source, bytes) else type(source).__name__
    raise TypeError(f"{type(source).__name__} is not an image: expected a path, bytes, an array or a Pillow image")


def _open(source: ImageSource, where: str, opened: ExitStack, formats: Sequence[str], max_pixels: int) -> Image.Image:
    """The image behind `source`, of a size within the limit, not yet decoded where it comes from a file."""
    image: Image.Image
    if isinstance(source, Image.Image):
        image = source
    elif isinstance(source, np.ndarray):
        image = _from_array(source, where)
    elif isinstance(source, bytes):
        image = _identify(io.BytesIO(source), where, formats)
    else:
        image = _identify(opened.enter_context(open_image_file(Path(source), where)), where, formats)
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(
            where, f"{width} x {height} pixels are more than the limit of {max_pixels:,} (raise max_pixels to read it)"
        )
    return image


def open_image_file(path: Path, where: str) -> IO[bytes]:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise ImageError(where, "it is a folder, not an image file")
        if not stat.S_ISREG(mode):  # a named pipe would block for ever
            raise ImageError(where, "it is not a regular file")
        return path.open("rb")
    except FileNotFoundError as error:
        raise ImageError(where, "there is no such file") from error
    except PermissionError as error:
        raise ImageError(where, "no permission to read it") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise ImageError(where, f"it can not be opened ({error})") from error


def _identify(file: IO[bytes], where: str, formats: Sequence[str]) -> Image.Image:
    """Open a file by the format its first bytes tell.

    Not by Image.open: its own pixel limit is a process-wide global that warns or raises before ours is asked.
    """
    prefix = file.read(16)
    if not prefix:
        raise ImageError(where, "the file is empty")
    for name in FORMATS:
        factory, accept = Image.OPEN[name]
        accepted = accept(prefix) if accept is not None else True
        if isinstance(accepted, str):
            raise ImageError(where, f"{name} is not supported by this installation of Pillow")
        if not accepted:
            continue
        if name not in formats:
            raise ImageError(where, f"{name} is not among the allowed formats ({', '.join(formats)})")
        file.seek(0)
        return factory(file, "")
    raise ImageError(where, f"it is not an image of a known format ({', '.join(FORMATS)})")


def _damage(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if "truncated" in text or isinstance(error, EOFError):
        return f"the file is truncated ({text})"
    return f"the file is damaged or of an unsupported kind ({text})"


def _from_array(array: NDArray[Any], where: str) -> Image.Image:
    shape_fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not shape_fits or array.size == 0:
        raise ImageError(
            where,
            f"an array of {array.dtype} with shape {array.shape} is not an image; expected uint8 with shape "
            "(height, width), (height, width, 3) or (height, width, 4), channels in RGB order",
        )
    return Image.fromarray(array)


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation. After loading: PNG may keep it behind the pixels, and TIFF applies it by itself."""
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # a damaged EXIF block does not make the pixels unreadable
        return image
    if orientation in (None, 1):
        return image
    turned = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }.get(orientation)
    if turned is None:
        return image
    upright = image.transpose(turned)
    # A palette's transparency lives there; the orientation must not, or it would be applied a second time.
    upright.info = {name: value for name, value in image.info.items() if name == "transparency"}
    return upright


def _to_rgb(image: Image.Image, where: str) -> Image.Image:
    """8-bit RGB of a decoded image of any mode."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        return _sixteen_bit_to_rgb(image)
    if image.mode in ("I", "F"):
        raise ImageError(
            where, "it has 32-bit or signed pixels, for which white is not defined; save it with 8 or 16 bits a channel"
        )
    if image.has_transparency_data:
        with_alpha = image.convert("RGBA")
        white = Image.new("RGB", image.size, _WHITE)
        white.paste(with_alpha, mask=with_alpha.getchannel("A"))
        return white
    return image.convert("RGB")


def _sixteen_bit_to_rgb(image: Image.Image) -> Image.Image:
    """Scale 0...65535 (0...4095 in a 12-bit TIFF) to 0...255, rounded; Pillow's own conversion clips or truncates."""
    grey = np.asarray(image).astype(np.uint32)
    largest = 65535
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        if image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE) == (12,):
            largest = 4095
        if image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0:  # white is zero
            grey = largest - grey
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[grey == transparent] = largest
    scaled = (grey * 255 + largest // 2) // largest
    return Image.fromarray(scaled.astype(np.uint8)).convert("RGB")


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a network's input, as data that a bundle carries.

    The image is resized, keeping its shape, until the crop fills `crop_share` of the side that fits tighter (for a
    square input: short side = round(size / crop_share)), the middle `height` x `width` pixels are kept, and each
    channel, scaled to [0, 1], becomes (value - mean) / std. Rounding as torchvision's Resize and CenterCrop do it.
    """

    height: int
    width: int
    crop_share: float
    interpolation: Interpolation
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"height and width are {self.height} and {self.width}; expected at least 1 pixel")
        if not 0 < self.crop_share <= 1:
            raise ValueError(f"crop_share is {self.crop_share}; expected a number above 0, at most 1")
        if self.interpolation not in get_args(Interpolation):
            raise ValueError(f'interpolation is {self.interpolation!r}; expected "bilinear" or "bicubic"')
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(f"mean and std are {self.mean} and {self.std}; expected three numbers each, std above 0")

    def __call__(
        self, source: ImageSource, *, max_pixels: int = MAX_PIXELS, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Decode, crop and normalise: (3, height, width) float32, written to `out` when given. Raises ImageError."""
        return self.normalise(self.crop(self.decode(source, max_pixels=max_pixels)), out)

    def decode(
        self, source: ImageSource, *, max_pixels: int = MAX_PIXELS, formats: Sequence[str] = FORMATS
    ) -> Image.Image:
        """The image as RGB, at no less than twice the scale that `crop` resizes to. Raises ImageError."""
        return decode(source, max_pixels=max_pixels, formats=formats, shortest_side=self._shortest_side())

    def _shortest_side(self) -> int:
        return round(max(self.height, self.width) / self.crop_share)

    def resized_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height in pixels that an image of width x height pixels is resized to before the centre crop."""
        fit_width, fit_height = round(self.width / self.crop_share), round(self.height / self.crop_share)
        if fit_width * height >= fit_height * width:  # the width fits tighter
            return fit_width, max(int(fit_width * height / width), self.height)
        return max(int(fit_height * width / height), self.width), fit_height

    def crop(self, image: Image.Image) -> Image.Image:
        """The resized centre crop, (width, height) pixels, of an RGB image.

        One resampling straight from the source's pixels: those outside the crop are never computed. Within 1 grey level
        of resizing first and cropping afterwards (tests/test_preprocessing.py), but for strips that are enlarged, where
        Pillow may run its two passes in the other order and bicubic overshoots are clipped elsewhere.
        """
        resized_width, resized_height = self.resized_size(*image.size)
        left, top = round((resized_width - self.width) / 2), round((resized_height - self.height) / 2)
        across, down = image.width / resized_width, image.height / resized_height
        box = (
            left * across,
            top * down,
            min((left + self.width) * across, image.width),
            min((top + self.height) * down, image.height),
        )
        resampling = Image.Resampling.BICUBIC if self.interpolation == "bicubic" else Image.Resampling.BILINEAR
        return image.resize((self.width, self.height), resampling, box=box)

    def normalise(self, image: Image.Image, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """(3, height, width) float32 of an RGB image of any size; written to `out` when it is given."""
        if out is None:
            out = np.empty((3, image.height, image.width), dtype=np.float32)
        # (value / 255 - mean) / std as one multiply-add. Measured at 224 x 224 on one core: 0.11 ms, by a table of 256
        # values a channel 0.17 ms, as written in textbooks 1.0 ms.
        std = np.asarray(self.std, dtype=np.float32).reshape(3, 1, 1)
        mean = np.asarray(self.mean, dtype=np.float32).reshape(3, 1, 1)
        np.multiply(np.asarray(image).transpose(2, 0, 1), 1 / (255 * std), out=out)
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
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Preprocessing":
        """Read what `to_dict` wrote. Raises BundleError that names the field that is missing, unknown or wrong."""
        fields = ("height", "width", "crop_share", "interpolation", "mean", "std")
        for name in fields:
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
            )
        except (TypeError, ValueError) as error:
            raise BundleError(f"preprocessing: {error}") from error


def _three(name: str, values: object) -> tuple[float, float, float]:
    if not isinstance(values, list | tuple) or len(values) != 3:
        raise ValueError(f"{name} is {values!r}; expected three numbers")
    red, green, blue = map(float, values)
    return red, green, blue
