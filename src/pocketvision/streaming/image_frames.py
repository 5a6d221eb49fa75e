"""A folder of images as a source: every image a frame, in natural order."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from pocketvision.data.image_files import list_folder, no_images
from pocketvision.data.left_out import LeftOutCounter
from pocketvision.data.natural_order import natural_key
from pocketvision.preprocessing import count_pictures, decode
from pocketvision.streaming.frame import Pixels, SourceEvents, SourceFrame
from pocketvision.streaming.source_settings import SourceSettings


def read_images(folder: Path, settings: SourceSettings, events: SourceEvents) -> Iterator[SourceFrame]:
    """The images directly in `folder`, so many a second by their positions. One that can not be read raises when its pixels are
    asked for; that of an animation or a file of several pages the first picture is taken is noted, and so is what is left out.
    Raises UsageError when there is no image."""
    counter = LeftOutCounter()
    names = sorted(list_folder(folder, counter).images, key=natural_key)
    files = [folder / name for name in names]
    if not files:
        raise no_images(f"{folder}: there is no image in this folder", counter)
    for left_out in counter.result():
        events.note(left_out.line)
    for index, file in enumerate(files):
        pixels = partial(_pixels, file, settings.white_level, events)
        yield SourceFrame(pixels, position=index / settings.fps, name=str(file))


def _pixels(file: Path, white_level: int, events: SourceEvents) -> Pixels:
    pixels = np.asarray(decode(file, white_level=white_level))
    if count_pictures(file) > 1:
        events.note("Files of several pictures (animations, pages) are answered by their first one")
    return pixels
