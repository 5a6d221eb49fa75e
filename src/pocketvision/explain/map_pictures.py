"""Copies of pictures with the map of the shipped file over them: what `predict --map` writes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.bundle import Bundle
from pocketvision.data.standard_input import STANDARD_INPUT
from pocketvision.errors import UsageError
from pocketvision.explain.heat_map import HeatMap, laid_over, on_image, positive
from pocketvision.explain.picture_folder import PictureFolder
from pocketvision.explain.shipped_map import require_maps, shipped_map
from pocketvision.preprocessing import MAX_PIXELS, Placement, read_image
from pocketvision.tasks.canvas import Canvas
from pocketvision.tasks.rows import Row


def drawn_map(
    pixels: NDArray[np.uint8],
    heat: HeatMap,
    placement: Placement,
    *,
    latin: bool,
    words: str = "",
    box: Sequence[float] = (),
) -> NDArray[np.uint8]:
    """A copy of an upright picture (H, W, 3) with the map over it, and what it is of. box: of the object, where it is one."""
    canvas = Canvas(laid_over(pixels, positive(on_image(heat.values, placement))), latin=latin)
    if box:
        canvas.pen.rectangle(
            [round(side) for side in box], outline=(255, 255, 255), width=max(2, pixels.shape[1] // 200)
        )
    canvas.write(words or heat.words)
    if heat.is_flat:
        canvas.write("no place speaks for it" if heat.is_number else "the model answers no number")
    return canvas.finished()


class MapPictures:
    """Lays maps over copies; the pictures themselves stay as they are."""

    def __init__(self, folder: Path, bundle: Bundle, backend: str, max_pixels: int = MAX_PIXELS) -> None:
        """folder: a new one. backend: what answers. Raises BundleError where its file gives no maps, UsageError for a folder that
        holds anything."""
        self._maps = require_maps(bundle, backend)
        self._folder, self._bundle, self._max_pixels = PictureFolder(folder, "--map"), bundle, max_pixels
        self._latin = "".join(class_name for task in bundle.tasks.values() for class_name in task.labels).isascii()

    def write(self, row: Row, outputs: dict[str, NDArray[Any]]) -> None:
        """A picture for each task with a map that was answered. One that could not be read is passed over. Raises UsageError for
        a picture that has no file, PocketVisionError where the folder can not be written to."""
        if row.path == STANDARD_INPUT:
            raise UsageError("A picture from standard input can not be drawn on with --map. Name its file.")
        if row.error is not None:
            return
        source = Path(row.path)
        image = read_image(source, max_pixels=self._max_pixels)
        placement = self._bundle.preprocessing.placement(image.placement)
        for name, own in self._maps.items():
            if name not in row.answers:
                continue
            task, answer = self._bundle.tasks[name], row.answers[name]
            heat = shipped_map(outputs, own, task, answer)
            if heat is not None:
                stem = source.stem if len(self._maps) == 1 else f"{source.stem}.{name}"
                self._folder.save(
                    stem, drawn_map(np.asarray(image.image), heat, placement, latin=self._latin, words=answer.headline)
                )
