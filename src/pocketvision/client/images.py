"""Images on their way to a server: files and bytes as they are, arrays and Pillow images as PNG."""

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from pocketvision.errors import ImageError
from pocketvision.preprocessing import ImageSource, decode, open_image_file

MAX_BYTES = 256 * 1024 * 1024
"""Larger files are not read: no server takes them, and several are in memory at once."""

AS_IT_IS = "application/octet-stream"  # the server detects the format by the content


@dataclass(frozen=True)
class ImageContent:
    """An image's file and its media type."""

    content: bytes
    media_type: str


def image_content(image: ImageSource) -> ImageContent:
    """What is sent for an image. A file goes as it is. An array or Pillow image becomes upright RGB as for a local
    prediction (preprocessing.decode), and PNG, which loses nothing; 16-bit grey stays so.

    Raises ImageError, and TypeError for what is no ImageSource.
    """
    if isinstance(image, bytes):
        return ImageContent(image, AS_IT_IS)
    if isinstance(image, str | Path):
        return ImageContent(_read(Path(image)), AS_IT_IS)
    file = io.BytesIO()
    if isinstance(image, Image.Image) and image.mode.startswith(
        "I;16"
    ):  # what is white in it, the server's bundle knows
        image.save(file, "PNG", compress_level=1, exif=image.getexif())
        return ImageContent(file.getvalue(), "image/png")
    # The fastest compression: smaller ones cost several times the processor time and save a tenth of the bytes.
    decode(image).save(file, "PNG", compress_level=1)
    return ImageContent(file.getvalue(), "image/png")


def path_of(image: ImageSource) -> str:
    """An image's path, empty if it has none."""
    return str(image) if isinstance(image, str | Path) else ""


def _read(path: Path) -> bytes:
    with open_image_file(path, str(path)) as file:
        try:
            content = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise ImageError(str(path), f"it can not be read ({error.strerror or error})") from error
    if len(content) > MAX_BYTES:
        raise ImageError(str(path), f"the file is larger than {MAX_BYTES // 2**20} MiB")
    return content
