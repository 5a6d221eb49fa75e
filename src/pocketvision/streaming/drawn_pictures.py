"""Pictures with their answers drawn on them, a file each in a folder."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from pocketvision.atomic_files import replacing
from pocketvision.data.standard_input import STANDARD_INPUT
from pocketvision.errors import PocketVisionError, UsageError
from pocketvision.preprocessing import MAX_PIXELS, read_image
from pocketvision.streaming.overlay import Overlay
from pocketvision.tasks.rows import Row

QUALITY = 92
"""Of the JPEG files."""


class DrawnPictures:
    """Draws on copies, as streams draw on frames; the pictures themselves stay as they are."""

    def __init__(self, folder: Path, labels: Iterable[str], max_pixels: int = MAX_PIXELS) -> None:
        """folder: a new one. labels: every name that may be drawn. Raises UsageError for a folder that holds anything."""
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(
                f"{folder} is there already, and nothing is ever overwritten. Name a new folder for --draw."
            )
        self._folder, self._overlay, self._max_pixels = folder, Overlay(labels), max_pixels
        self._taken: set[str] = set()

    def write(self, row: Row) -> None:
        """Draw an image's answers, in the image's own size; one that could not be read is passed over.

        Files are called as the images are, .jpg; a second one of a name gets a number. Raises UsageError for a picture that has
        no file, PocketVisionError where the folder can not be written to.
        """
        if row.path == STANDARD_INPUT:
            raise UsageError("A picture from standard input can not be drawn on with --draw. Name its file.")
        if row.error is not None:
            return
        image = read_image(Path(row.path), max_pixels=self._max_pixels).image
        pixels = self._overlay.draw(np.asarray(image), row.answers)
        target = self._folder / self._name(Path(row.path).stem)
        try:
            with replacing(target) as temporary:
                Image.fromarray(pixels).save(temporary, "JPEG", quality=QUALITY)
        except OSError as error:
            raise PocketVisionError(f"{target} could not be written: {error}") from error

    def _name(self, stem: str) -> str:
        """Told apart without upper and lower case, as some systems do."""
        name, number = f"{stem}.jpg", 1
        while name.casefold() in self._taken:
            number += 1
            name = f"{stem}-{number}.jpg"
        self._taken.add(name.casefold())
        return name
