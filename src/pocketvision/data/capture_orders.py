"""The orders in which pictures may have been taken: by file name, by path, and by the time their camera wrote."""

from collections.abc import Mapping
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketvision.data.natural_order import natural_key
from pocketvision.data.samples import Samples

NAME, PATH, TIME = "file name", "path", "capture time"

# EXIF 2.32, tables 4 and 8: of the image itself, and of its Exif part.
_MAKE, _MODEL, _EXIF, _TAKEN, _FRACTION = 0x010F, 0x0110, 0x8769, 0x9003, 0x9291


def capture_orders(samples: Samples) -> Mapping[str, NDArray[np.int64]]:
    """By name, indices of `samples` in the order of their file names over all folders (a camera numbers on while its user sorts
    into folders), of their paths, and, of those that have one, of their capture times, camera by camera.

    Opens the files for their EXIF data; one that can not be opened has no time. Pictures inside a table have no times.
    """
    count = len(samples)
    names = sorted(range(count), key=lambda index: (natural_key(PurePosixPath(samples.paths[index]).stem), index))
    paths = sorted(range(count), key=lambda index: natural_key(samples.paths[index]))
    times = {index: taken for index in range(count) if (taken := _taken(samples, index)) is not None}
    orders = {NAME: names, PATH: paths, TIME: sorted(times, key=lambda index: (times[index], index))}
    return {name: np.array(order, np.int64) for name, order in orders.items()}


def _taken(samples: Samples, index: int) -> tuple[str, str, str, str] | None:
    """Camera and time of a picture, as text that sorts; None where it has none, or can not be opened."""
    file = samples.file(index)
    if file.suffix.lower() not in (".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".webp"):
        return None
    try:
        with Image.open(file) as image:
            own = image.getexif()
            further = own.get_ifd(_EXIF)
    except (OSError, ValueError, SyntaxError, TypeError, KeyError):  # what Pillow raises for broken headers
        return None
    taken = further.get(_TAKEN)
    if not isinstance(taken, str) or not taken.strip("\0 0:"):
        return None
    return str(own.get(_MAKE, "")), str(own.get(_MODEL, "")), taken, str(further.get(_FRACTION, ""))
