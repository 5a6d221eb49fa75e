"""A folder of images as a source, every image a frame in natural order; and a single picture."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from pocketvision.data.image_files import SUFFIXES, list_folder, no_images
from pocketvision.data.left_out import LeftOutCounter
from pocketvision.data.natural_order import natural_key
from pocketvision.data.signatures import HEAD_BYTES, format_of
from pocketvision.errors import ImageError, SourceError
from pocketvision.preprocessing import FORMATS, count_pictures, decode
from pocketvision.streaming.frame import Pixels, SourceEvents, SourceFrame
from pocketvision.streaming.source_settings import SourceSettings

_PLAYED = ("GIF", "PNG", "AVIF")
"""Formats whose animations are videos. FFmpeg plays no animated WebP, and the pages of a TIFF are no video."""


def is_picture(file: Path) -> bool:
    """Whether a file is one picture and no video, by its name and its content: a stream of JPEG files begins like one."""
    if file.suffix.lower() not in SUFFIXES or not file.is_file():
        return False
    try:
        with file.open("rb") as opened:
            format = format_of(opened.read(HEAD_BYTES))
    except OSError:
        return False
    return format in FORMATS and not (format in _PLAYED and count_pictures(file) > 1)


def read_picture(file: Path, settings: SourceSettings, events: SourceEvents) -> Iterator[SourceFrame]:
    """A picture as one frame, read as in every other verb: turned as its EXIF says, its white as the bundle has it.
    Raises SourceError when it can not be read."""
    try:
        pixels = _pixels(file, settings.white_level, events)
    except ImageError as error:
        raise SourceError(f"{file}: {error.reason}") from error
    yield SourceFrame(lambda: pixels, position=0.0, name=str(file))


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
