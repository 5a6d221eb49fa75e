"""A folder of images as a source: every image a frame, in natural order."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pocketvision.data.natural_order import natural_key
from pocketvision.errors import UsageError
from pocketvision.preprocessing import SUFFIXES, decode
from pocketvision.streaming.picture import Picture, Pixels


def read_images(folder: Path, fps: float) -> Iterator[Picture]:
    """The images directly in `folder`, `fps` a second by their positions. One that can not be read raises when its pixels are
    asked for. Raises UsageError when there is none."""
    files = sorted(
        (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")),
        key=lambda path: natural_key(path.name),
    )
    if not files:
        raise UsageError(
            f"{folder}: there is no image in this folder. Expected files that end in {', '.join(SUFFIXES)}"
        )
    for index, file in enumerate(files):
        yield Picture(pixels=lambda file=file: _pixels(file), position=index / fps, name=str(file))  # type: ignore[misc]


def _pixels(file: Path) -> Pixels:
    return np.asarray(decode(file))
