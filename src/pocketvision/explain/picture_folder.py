"""A new folder that pictures are written into, each called as the image that it was made of."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketvision.atomic_files import replacing
from pocketvision.errors import PocketVisionError, UsageError

QUALITY = 92
"""Of the JPEG files."""


class PictureFolder:
    """Names are told apart without upper and lower case, as some systems do: a second one of a name gets a number."""

    def __init__(self, folder: Path, option: str) -> None:
        """option: what names the folder, for the message. Raises UsageError for a folder that holds anything."""
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(
                f"{folder} is there already, and nothing is ever overwritten. Name a new folder for {option}."
            )
        self.folder = folder
        self._taken: set[str] = set()

    def save(self, stem: str, pixels: NDArray[np.uint8]) -> str:
        """Write a picture (H, W, 3) as a JPEG file, whole or not at all, and give its name. Raises PocketVisionError where the
        folder can not be written to."""
        name = self._name(stem)
        try:
            with replacing(self.folder / name) as temporary:
                Image.fromarray(pixels).save(temporary, "JPEG", quality=QUALITY)
        except OSError as error:
            raise PocketVisionError(f"{self.folder / name} could not be written: {error}") from error
        return name

    def _name(self, stem: str) -> str:
        name, number = f"{stem}.jpg", 1
        while name.casefold() in self._taken:
            number += 1
            name = f"{stem}-{number}.jpg"
        self._taken.add(name.casefold())
        return name
