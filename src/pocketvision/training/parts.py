"""Images that are parts of larger pictures: cut out when they are asked for."""

from pathlib import Path
from threading import Lock

from PIL import Image

from pocketvision.data.samples import Samples
from pocketvision.preprocessing import decode_image


class Parts:
    """The picture that was decoded last is kept, for its parts follow one another."""

    def __init__(self, samples: Samples, white_level: int, max_pixels: int) -> None:
        """max_pixels: of a whole picture."""
        self._samples, self._white_level, self._max_pixels = samples, white_level, max_pixels
        self._kept: tuple[Path, Image.Image] | None = None
        self._reading = Lock()

    def source(self, index: int) -> Path | Image.Image:
        """Where image `index` lies, or the part of it. Raises ImageError."""
        file, windows = self._samples.file(index), self._samples.windows
        if windows is None:
            return file
        left, top, right, bottom = windows[index].tolist()
        return self._whole(file).crop((left, top, right, bottom))

    def _whole(self, file: Path) -> Image.Image:
        with self._reading:
            if self._kept is None or self._kept[0] != file:
                self._kept = None  # two are never in memory
                found = decode_image(file, max_pixels=self._max_pixels, white_level=self._white_level)
                self._kept = file, found.image
            return self._kept[1]
