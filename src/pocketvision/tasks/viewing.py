"""An image on its way through the network as several inputs, each made when it is asked for: never all at once."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketvision.preprocessing import DecodedImage, Placement, Preprocessing
from pocketvision.tasks.catalog import Answers, decoded, views_of
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.task import Box, Detail

MOST_KEPT = 16
"""Inputs of an image whose outputs are kept as they are; of more, those of the first."""

Pixels = Image.Image | NDArray[np.float32]
"""As Preprocessing.pixels gives them."""


class Viewing:
    """Takes batches of inputs, and what the network put out for them; gives the image's answers.

    The windows are those of the first task that has some. A task without views is answered on the image itself, which is an input
    too where there is such a task.
    """

    def __init__(
        self, tasks: Mapping[str, TaskManifest], image: DecodedImage, preprocessing: Preprocessing, detail: Detail
    ) -> None:
        """image: decoded in its whole size."""
        views = {name: found for name, task in tasks.items() if (found := views_of(task)) is not None}
        first = next(iter(views))
        size = image.image.size
        windows, whole = list(views[first].windows(size, tasks[first])), (0, 0, *size)
        self._plain = {name: task for name, task in tasks.items() if name not in views}
        self._apart = bool(self._plain) and windows[0] != whole
        self._windows = [whole, *windows] if self._apart else windows
        self._tasks, self._image, self._preprocessing, self._detail = tasks, image, preprocessing, detail
        self._placements = [self._placement(box) for box in self._windows]
        merged = self._placements[self._apart :]
        self._merging = {name: each.merging(merged, tasks[name], detail) for name, each in views.items()}
        self._answers: Answers = {}
        self._kept: list[Mapping[str, NDArray[np.float32]]] = []
        self._done = 0

    def __len__(self) -> int:
        return len(self._windows)

    def batches(self, size: int) -> Iterator[list[Pixels]]:
        """Inputs before they are normalised, in order. What they put out is to be added before the next are asked for."""
        for start in range(0, len(self), size):
            yield [self._pixels(box) for box in self._windows[start : start + size]]

    def add(self, outputs: Mapping[str, NDArray[np.float32]]) -> None:
        """The graph's for the next n inputs, by name, (n, …)."""
        count = len(next(iter(outputs.values())))
        for row in range(count):
            own = {name: values[row : row + 1] for name, values in outputs.items()}
            self._add(own, self._placements[self._done])
            self._done += 1

    def _add(self, own: Mapping[str, NDArray[np.float32]], placement: Placement) -> None:
        if self._done == 0:
            self._answers = decoded(self._plain, own, [placement], self._detail)[0] if self._plain else {}
        if self._done == 0 or len(self) <= MOST_KEPT:
            self._kept.append({name: values.copy() for name, values in own.items()})
        if self._done or not self._apart:
            for name, merging in self._merging.items():
                merging.add(self._tasks[name].tensors(own), placement)

    @property
    def outputs(self) -> dict[str, NDArray[np.float32]]:
        """Of the graph, by name: (inputs, …), of more than MOST_KEPT inputs the first one's."""
        return {name: np.concatenate([each[name] for each in self._kept]) for name in self._kept[0]}

    def answers(self) -> Answers:
        """By the tasks' names, once all was added."""
        if self._done != len(self):
            raise ValueError(f"{self._done} of {len(self)} inputs were answered")
        own = {name: merging.answer() for name, merging in self._merging.items()}
        return {name: own[name] if name in own else self._answers[name] for name in self._tasks}

    def _pixels(self, box: Box) -> Pixels:
        image = self._image.image
        return self._preprocessing.pixels(image if box == (0, 0, *image.size) else image.crop(box))

    def _placement(self, box: Box) -> Placement:
        left, top, right, bottom = box
        shift = np.array([[1.0, 0, -left], [0, 1.0, -top], [0, 0, 1.0]])
        return self._preprocessing.placement(self._image.placement.then(shift, (right - left, bottom - top)))
