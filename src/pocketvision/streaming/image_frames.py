"""A folder of images as a source: every image a frame, in natural order."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pocketvision.data.image_files import list_folder, no_images
from pocketvision.data.left_out import LeftOutCounter
from pocketvision.data.natural_order import natural_key
from pocketvision.preprocessing import decode
from pocketvision.streaming.picture import Picture, Pixels


def read_images(folder: Path, fps: float, white_level: int) -> Iterator[Picture]:
    """The images directly in `folder`, `fps` a second by their positions. One that can not be read raises when its pixels are
    asked for. white_level: of 16-bit images, as the bundle has it. Raises UsageError when there is none."""
    counter = LeftOutCounter()
    names = sorted(list_folder(folder, counter).images, key=natural_key)
    files = [folder / name for name in names]
    if not files:
        raise no_images(f"{folder}: there is no image in this folder", counter)
    for index, file in enumerate(files):
        yield Picture(pixels=lambda file=file: _pixels(file, white_level), position=index / fps, name=str(file))  # type: ignore[misc]


def _pixels(file: Path, white_level: int) -> Pixels:
    return np.asarray(decode(file, white_level=white_level))
