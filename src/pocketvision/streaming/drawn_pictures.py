"""Pictures with their answers drawn on them, a file each in a folder."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pocketvision.data.standard_input import STANDARD_INPUT
from pocketvision.errors import UsageError
from pocketvision.explain.picture_folder import PictureFolder
from pocketvision.preprocessing import MAX_PIXELS, read_image
from pocketvision.streaming.overlay import Overlay
from pocketvision.tasks.rows import Row


class DrawnPictures:
    """Draws on copies, as streams draw on frames; the pictures themselves stay as they are."""

    def __init__(self, folder: Path, labels: Iterable[str], max_pixels: int = MAX_PIXELS) -> None:
        """folder: a new one. labels: every name that may be drawn. Raises UsageError for a folder that holds anything."""
        self._folder, self._overlay, self._max_pixels = PictureFolder(folder, "--draw"), Overlay(labels), max_pixels

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
        self._folder.save(Path(row.path).stem, pixels)
