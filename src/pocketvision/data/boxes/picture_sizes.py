"""How large pictures are and which way up, from their headers: nothing is decoded."""

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import ImageError
from pocketvision.prefetch import prefetch
from pocketvision.preprocessing import MAX_PIXELS
from pocketvision.preprocessing.formats import HEADER, identify, open_image, open_image_file, webp_size
from pocketvision.preprocessing.rgb import orientation_of

UPRIGHT = 1


def stored_size(file: Path) -> tuple[int, int, int]:
    """Width and height of the stored picture and its EXIF orientation, 1 to 8; (0, 0, 1) of what can not be read, which the audit
    reports."""
    try:
        with open_image_file(file, str(file)) as opened:
            header = opened.read(HEADER)
            format = identify(header, str(file))
            if format == "WEBP" and math.prod(size := webp_size(header)) > MAX_PIXELS:
                return *size, UPRIGHT  # its reader makes room for the whole picture when it opens it
            image = open_image(opened, format)
            return *image.size, orientation_of(image)
    except ImageError:
        pass
    except Exception:  # Pillow's readers let many kinds of error out when a file is damaged or hostile
        pass
    return 0, 0, UPRIGHT


def stored_sizes(files: Iterable[Path], workers: int = 2) -> NDArray[np.int64]:
    """(n, 3) of n pictures: width, height and orientation as `stored_size` has them. Some 0.1 ms a picture."""
    return np.array(list(prefetch(stored_size, files, workers=workers)), np.int64).reshape(-1, 3)
