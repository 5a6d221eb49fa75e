"""Fingerprints: what is kept of an image after its pixels are gone. A content hash, a thumbnail, its size and format.

The thumbnail (2,400 bytes) is what near-duplicates are searched with; see near_duplicates.py.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketvision.preprocessing import FULL_RANGE, MAX_PIXELS, count_pictures, read_image

SIDE = 40
"""Pixels along a thumbnail's sides. With 32, two faces with another mouth look the same; with 48, a picture of 64 pixels
and a copy of half its size look different."""

THUMBNAIL_BYTES = SIDE * SIDE * 3 // 2
CONTENT_HASH_BYTES = 16

# The perceptual hash: the lowest 5 x 5 frequencies of brightness but its mean, the lowest 3 x 3 of both colours.
_LUMA_FREQUENCIES, _CHROMA_FREQUENCIES = 5, 3
PERCEPTUAL_HASH_LENGTH = _LUMA_FREQUENCIES**2 - 1 + 2 * _CHROMA_FREQUENCIES**2
_ROWS_AT_ONCE = 1024
_PIXELS_AT_ONCE = 1 << 20


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """One readable image.

    content_hash: 16 bytes; two images have the same exactly when their decoded pixels and sizes are the same.
    thumbnail: (2400) uint8, see `thumbnail`.
    width, height: upright, in pixels. format: by Pillow's name, told by the file's content.
    white_level: of 16-bit pixels, the lowest that holds the largest of them (preprocessing/white_level.py); None for others.
    pictures: in the file, of which the first is taken. damage: what is damaged beside the pixels.
    """

    content_hash: bytes
    thumbnail: NDArray[np.uint8]
    width: int
    height: int
    format: str
    white_level: int | None = None
    pictures: int = 1
    damage: tuple[str, ...] = ()


def take_fingerprint(file: Path, *, max_pixels: int = MAX_PIXELS) -> Fingerprint:
    """Decode `file` once and keep its fingerprint. Raises ImageError for whatever is wrong with it."""
    found = read_image(file, max_pixels=max_pixels)
    image, white = found.image, found.white_level or FULL_RANGE
    return Fingerprint(
        content_hash(image, white),
        thumbnail(image),
        image.width,
        image.height,
        found.format,
        found.white_level,
        count_pictures(file),
        found.damage,
    )


def content_hash(image: Image.Image, white_level: int = FULL_RANGE) -> bytes:
    """BLAKE2b over the size and every pixel of an RGB image: 16 bytes.

    white_level: of the 16-bit pixels that it was made from; two pictures that differ in it alone are not the same.

    Of the full decode, never of a JPEG decoded at a fraction of its size: pictures that differ only in detail would get
    one hash, and the hash (a key of the trunk cache) would depend on which input size it was taken for.
    """
    white = "" if white_level == FULL_RANGE else f"white {white_level}:"
    digest = hashlib.blake2b(f"{image.width}x{image.height}:{white}".encode(), digest_size=CONTENT_HASH_BYTES)
    rows = max(1, _PIXELS_AT_ONCE // image.width)  # in strips, so that a large image is not copied as a whole
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height))) if rows < image.height else image
        digest.update(strip.tobytes())
    return digest.digest()


def thumbnail(image: Image.Image) -> NDArray[np.uint8]:
    """(2400) uint8: the whole of an RGB image squeezed into a square, as JPEG keeps pictures (YCbCr, ITU-T T.871).

    First 40 x 40 values of brightness, then 20 x 20 of blueness and 20 x 20 of redness.
    """
    small = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0).convert("YCbCr")
    luma, *chroma = small.split()
    return np.concatenate([np.asarray(plane).reshape(-1) for plane in (luma, *(plane.reduce(2) for plane in chroma))])


def luma_chroma(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(3, n, 40, 40) float32 of (n, 2400) thumbnails: brightness, 0 to 255, and two colour differences, -128 to 127."""
    count = len(thumbnails)
    planes = np.empty((3, count, SIDE, SIDE), dtype=np.float32)
    planes[0] = thumbnails[:, : SIDE * SIDE].reshape(count, SIDE, SIDE)
    chroma = thumbnails[:, SIDE * SIDE :].reshape(count, 2, SIDE // 2, SIDE // 2)
    planes[1:] = chroma.repeat(2, axis=2).repeat(2, axis=3).swapaxes(0, 1)
    planes[1:] -= 128
    return planes


def perceptual_hashes(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, 42) float32: the low frequencies (discrete cosine transform) of (n, 2400) thumbnails, in grey levels.

    Copies of a picture have nearly the same numbers, whatever was done to its details. The first 24 are brightness,
    without its mean. Kept as numbers and not as 64 signs: pictures on white, or of one part on a belt, agree in most
    signs, so that a search by them would compare nearly everything with everything.
    """
    hashes = np.empty((len(thumbnails), PERCEPTUAL_HASH_LENGTH), dtype=np.float32)
    luma, chroma = _cosines(_LUMA_FREQUENCIES), _cosines(_CHROMA_FREQUENCIES)
    for start in range(0, len(thumbnails), _ROWS_AT_ONCE):
        planes = luma_chroma(thumbnails[start : start + _ROWS_AT_ONCE])
        count = planes.shape[1]
        hashes[start : start + count] = np.concatenate(
            [
                (luma @ planes[0] @ luma.T).reshape(count, -1)[:, 1:],
                (chroma @ planes[1] @ chroma.T).reshape(count, -1),
                (chroma @ planes[2] @ chroma.T).reshape(count, -1),
            ],
            axis=1,
        )
    return hashes


def _cosines(frequencies: int) -> NDArray[np.float32]:
    """(frequencies, 40): rows of the DCT-II over 40 samples, scaled so that the first yields their mean."""
    waves = np.cos(np.pi * (np.arange(SIDE) + 0.5) * np.arange(frequencies)[:, None] / SIDE) * np.sqrt(2) / SIDE
    waves[0] = 1 / SIDE
    return np.asarray(waves, dtype=np.float32)
