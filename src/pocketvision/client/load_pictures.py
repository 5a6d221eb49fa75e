"""Pictures that a load test sends."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from pocketvision.client.images import image_content
from pocketvision.data.find_images import find_images
from pocketvision.data.left_out import LeftOutCounter
from pocketvision.errors import UsageError

MOST = 64
"""That are sent in turns."""


def drawn_jpegs(count: int = 16) -> list[bytes]:
    """Pictures of 640 x 480 pixels, smooth enough to be as large as photographs are."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(count):
        rough = Image.fromarray(random.integers(0, 255, (30, 40, 3), dtype=np.uint8))
        file = io.BytesIO()
        rough.resize((640, 480), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
        found.append(file.getvalue())
    return found


def read_pictures(images: str | Path) -> list[bytes]:
    """The first MOST of a file, folder or pattern. Raises UsageError where there is none, ImageError for an unreadable one."""
    found = list[bytes]()
    for path in find_images([images], None, LeftOutCounter()):
        if len(found) < MOST:
            found.append(image_content(path).content)
    if not found:
        raise UsageError(f"{images}: there is no picture in it.")
    return found
