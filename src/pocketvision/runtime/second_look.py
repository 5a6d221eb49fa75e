"""Crop and go on: what one model found is cut out, and a second one says what it is. Predict, stream and serve come through
here."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketvision.errors import UsageError, unknown_name
from pocketvision.preprocessing import DecodedImage
from pocketvision.tasks.catalog import Answers, task_named
from pocketvision.tasks.manifest import TaskManifest

Tasks = Mapping[str, TaskManifest]


@dataclass(frozen=True)
class SecondLook:
    """of: classes of what is looked at, None for all. margin: by how much of its width and height a box is grown on each side,
    from 0 to 1, as far as the picture goes. UsageError outside."""

    of: tuple[str, ...] | None = None
    margin: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.margin <= 1:
            raise UsageError(f"margin is {self.margin:g}; expected a share of the box from 0 to 1, such as 0.1.")
        if self.of is not None and not self.of:
            raise UsageError("`of` names no class; leave it out to look at all that is found.")


@dataclass(frozen=True)
class Thing:
    """What is to be looked at: of which task's answer, which of its things, and its grown box in pixels of the upright image."""

    task: str
    place: int
    box: tuple[float, float, float, float]


def check_second_look(look: SecondLook, first: Tasks, second: Tasks) -> None:
    """Raise UsageError where the first model finds nothing that could be cut out, or never finds what is to be looked at, and
    where the second one would answer in pixels, which would be those of the cut-out part."""
    finding = {name: task for name, task in first.items() if task_named(task.kind).places is not None}
    if not finding:
        kinds = ", ".join(f"{name} ({task.kind})" for name, task in first.items())
        raise UsageError(f"Only what finds objects can be followed by a second model; the first one answers {kinds}.")
    known = list(dict.fromkeys(name for task in finding.values() for name in task.labels))
    for name in look.of or ():
        if name not in known:
            raise unknown_name("class of the detector's", name, known)
    wrong = [name for name, task in second.items() if task_named(task.kind).in_pixels]
    if wrong:
        raise UsageError(
            f"The second model answers {', '.join(wrong)} in pixels; expected one that answers about a whole picture, such as "
            "a classification."
        )


def things_in(answers: Answers, look: SecondLook) -> list[Thing]:
    """What is to be looked at again, in the answers' order."""
    found = []
    for task, answer in answers.items():
        places = task_named(answer.kind).places
        if places is None:
            continue
        names, boxes = places.names(answer), grown(places.boxes(answer), look.margin).tolist()
        for place, (name, (left, top, right, bottom)) in enumerate(zip(names, boxes, strict=True)):
            if look.of is None or name in look.of:
                found.append(Thing(task, place, (left, top, right, bottom)))
    return found


def cut_out(image: DecodedImage, things: Sequence[Thing]) -> list[Image.Image]:
    """The part of the image that each box touches, in whole pixels: at least one."""
    boxes = image.placement.boxes_to_input(np.array([thing.box for thing in things]))
    return [image.image.crop(within(box, image.image.size)) for box in boxes.tolist()]


def looked_at(answers: Answers, things: Sequence[Thing], said: Iterable[Answers]) -> Answers:
    """The answers, with what was said of each thing. Those that were not looked at have None."""
    told: dict[str, dict[int, Answers]] = {thing.task: {} for thing in things}
    for thing, each in zip(things, said, strict=True):
        told[thing.task][thing.place] = each
    found = {}
    for task, answer in answers.items():
        places = task_named(answer.kind).places
        if places is not None:
            own = told.get(task, {})
            answer = places.with_looked(answer, tuple(own.get(place) for place in range(len(places.names(answer)))))
        found[task] = answer
    return found


def grown(boxes: NDArray[np.float64], margin: float) -> NDArray[np.float64]:
    """Boxes (k, 4) with a share of their width and height more on each side."""
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2) * [-margin, -margin, margin, margin]
    wider: NDArray[np.float64] = boxes + sides
    return wider


def within(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A box in whole pixels of a picture of `size` (width, height): all that it touches, at least one."""
    edges = list(_edges(box, size))
    return edges[0][0], edges[1][0], edges[0][1], edges[1][1]


def _edges(box: Sequence[float], size: tuple[int, int]) -> Iterator[tuple[int, int]]:
    for axis, length in enumerate(size):
        # What lies a millionth of a pixel in the next one is not meant to be there.
        low = min(max(math.floor(box[axis] + 1e-6), 0), length - 1)
        yield low, min(max(math.ceil(box[axis + 2] - 1e-6), low + 1), length)
