"""PNGs of segments, as COCO's panoptic form has beside its JSON: the colour of a pixel is the number of its segment."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.masks.outlines import Patch
from pocketvision.data.table_paths import plain_path
from pocketvision.errors import ImageError
from pocketvision.preprocessing.values import read_values


class SegmentPictures:
    """Of one JSON. They lie in the folder of the JSON's name beside it (`panoptic_val2017/`), as COCO's do, or beside it; the one
    that was read last is kept, because the segments of a picture follow one another."""

    def __init__(self, json: Path) -> None:
        self._folders = (json.with_suffix(""), json.parent)
        self._read: tuple[Path, NDArray[np.uint32]] | None = None

    def find(self, name: str) -> Path | None:
        """The PNG of that name; None where it is not there."""
        plain = plain_path(name)
        return next((folder / plain for folder in self._folders if (folder / plain).is_file()), None)

    def patch(self, file: Path, segment: int) -> Patch | None:
        """The pixels of a segment. None where no pixel has its number, or the PNG can not be read or is not of colours."""
        if self._read is None or self._read[0] != file:
            try:
                stored = read_values(file, file.name)
            except ImageError:
                return None
            values = stored.values
            if values.ndim == 2 and stored.palette is not None:
                values = stored.palette[values]
            if values.ndim != 3:
                return None
            red, green, blue = (values[..., channel].astype(np.uint32) for channel in range(3))
            self._read = file, red + 256 * green + 65536 * blue  # cocodataset.org, "Data format", panoptic segmentation
        marks = self._read[1] == segment
        rows, columns = np.flatnonzero(marks.any(axis=1)), np.flatnonzero(marks.any(axis=0))
        if not len(rows):
            return None
        return Patch(int(columns[0]), int(rows[0]), marks[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
