"""An image on its way through the network as several inputs, each made when it is asked for: never all at once."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

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


Input = tuple[Pixels, Placement]
"""What the network is run on, before it is normalised, and where the image lies in it."""


def inputs_of(tasks: Mapping[str, TaskManifest], image: DecodedImage, preprocessing: Preprocessing) -> Sequence[Input]:
    """What the network is run on for an image: the image itself, or all the windows of the first task that has some."""
    return [placed_part(image, box, preprocessing) for box in _windows(tasks, image)]


def answered(
    tasks: Mapping[str, TaskManifest],
    outputs: Mapping[str, NDArray[np.float32]],
    pictures: Sequence[Sequence[Placement]],
    detail: Detail,
) -> list[Answers]:
    """The answers about each picture. outputs: the graph's for the inputs of all of them, by name, (N, …). pictures: where each
    lies in its inputs, as inputs_of gives them."""
    found: list[Answers] = [{} for _ in pictures]
    starts = np.cumsum([0, *map(len, pictures)])[:-1]
    for name, task in tasks.items():
        alone = [place for place, inputs in enumerate(pictures) if views_of(task) is None or len(inputs) == 1]
        if alone:
            own = {each: values[starts[alone]] for each, values in outputs.items()}
            whole = decoded({name: task}, own, [pictures[place][0] for place in alone], detail)
            for place, answers in zip(alone, whole, strict=True):
                found[place].update(answers)
        for place in sorted({*range(len(pictures))} - {*alone}):
            first = int(starts[place])
            own = {each: values[first : first + len(pictures[place])] for each, values in outputs.items()}
            found[place][name] = _merged(task, own, pictures[place], detail.of(name))
    return found


def _merged(
    task: TaskManifest, outputs: Mapping[str, NDArray[np.float32]], placements: Sequence[Placement], detail: Detail
) -> Any:
    views = views_of(task)
    assert views is not None, "there are several inputs"
    apart = len(placements) - 1 == len(views.windows(placements[0].image_size, task))
    merging, tensors = views.merging(placements[apart:], task, detail), task.tensors(outputs)
    for place, placement in enumerate(placements[apart:], start=int(apart)):
        merging.add({role: values[place : place + 1] for role, values in tensors.items()}, placement)
    return merging.answer()


def _windows(tasks: Mapping[str, TaskManifest], image: DecodedImage) -> list[Box]:
    """Those of the first task that has some, after the whole image where a task has none."""
    whole = (0, 0, *image.image.size)
    viewed = [(views, task) for task in tasks.values() if (views := views_of(task)) is not None]
    if not viewed:
        return [whole]
    windows = list(viewed[0][0].windows(image.image.size, viewed[0][1]))
    return windows if len(viewed) == len(tasks) or windows[0] == whole else [whole, *windows]


def _pixels(image: DecodedImage, box: Box, preprocessing: Preprocessing) -> Pixels:
    return preprocessing.pixels(image.image if box == (0, 0, *image.image.size) else image.image.crop(box))


def _placement(image: DecodedImage, box: Box, preprocessing: Preprocessing) -> Placement:
    left, top, right, bottom = box
    if box == (0, 0, *image.image.size):
        return preprocessing.placement(image.placement)
    shift = np.array([[1.0, 0, -left], [0, 1.0, -top], [0, 0, 1.0]])
    return preprocessing.placement(image.placement.then(shift, (right - left, bottom - top)))


def placed_part(image: DecodedImage, box: Box, preprocessing: Preprocessing) -> Input:
    """A part of an image, in its decoded pixels, as an input of its own."""
    return _pixels(image, box, preprocessing), _placement(image, box, preprocessing)


class Viewing:
    """Takes batches of an image's inputs, and what the network put out for them; gives the image's answers."""

    def __init__(
        self, tasks: Mapping[str, TaskManifest], image: DecodedImage, preprocessing: Preprocessing, detail: Detail
    ) -> None:
        """image: decoded in its whole size."""
        self._tasks, self._image, self._preprocessing, self._detail = tasks, image, preprocessing, detail
        self._windows = _windows(tasks, image)
        self._placements = [_placement(image, box, preprocessing) for box in self._windows]
        views = {name: found for name, task in tasks.items() if (found := views_of(task)) is not None}
        first = next(iter(views))
        self._apart = len(self._windows) > len(views[first].windows(image.image.size, tasks[first]))
        merged = self._placements[self._apart :]
        self._merging = {name: each.merging(merged, tasks[name], detail.of(name)) for name, each in views.items()}
        self._plain = {name: task for name, task in tasks.items() if name not in views}
        self._answers: Answers = {}
        self._kept: list[Mapping[str, NDArray[np.float32]]] = []
        self._done = 0

    def __len__(self) -> int:
        return len(self._windows)

    def batches(self, size: int) -> Iterator[list[Pixels]]:
        """Inputs before they are normalised, in order. What they put out is to be added before the next are asked for."""
        for start in range(0, len(self), size):
            yield [_pixels(self._image, box, self._preprocessing) for box in self._windows[start : start + size]]

    def add(self, outputs: Mapping[str, NDArray[np.float32]]) -> None:
        """The graph's for the next n inputs, by name, (n, …)."""
        for row in range(len(next(iter(outputs.values())))):
            own = {name: values[row : row + 1] for name, values in outputs.items()}
            self._add(own, self._placements[self._done])
            self._done += 1

    def _add(self, own: Mapping[str, NDArray[np.float32]], placement: Placement) -> None:
        if self._done == 0 and self._plain:
            self._answers = decoded(self._plain, own, [placement], self._detail)[0]
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
        found = {**self._answers, **{name: merging.answer() for name, merging in self._merging.items()}}
        return {name: found[name] for name in self._tasks}
