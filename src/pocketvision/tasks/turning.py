"""Turned and mirrored inputs, and the way back of what the network says of them: for answers averaged over views.

All of it happens in the input's pixels, so that a picture is decoded and resized once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import UsageError, unknown_name
from pocketvision.preprocessing import Placement
from pocketvision.tasks.manifest import MIRROR, TaskManifest, Tensors

VIEWS = ("hflip", "vflip", "rot90", "scale", "five_crop")
"""What may be averaged over: the input mirrored left and right, or up and down; turned by 90, 180 and 270 degrees; the image
looked at once more, 1.25 times as large; and in five parts of 7/8 of its sides, the corners and the middle."""

_TURNS = {"hflip": ((0, True),), "vflip": ((2, True),), "rot90": ((1, False), (2, False), (3, False))}

_SIDED = (({"left"}, {"right"}), ({"links"}, {"rechts"}), ({"왼쪽"}, {"오른쪽"}), ({"좌"}, {"우"}))
_UPRIGHT = (({"6"}, {"9"}), ({"six"}, {"nine"}), ({"up"}, {"down"}), ({"top"}, {"bottom"}), ({"위"}, {"아래"}))


@dataclass(frozen=True)
class Turn:
    """quarters: turns by 90 degrees against the clock, after the mirror, where there is one, left and right."""

    quarters: int = 0
    mirrored: bool = False

    def turned(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Pixels (…, H, W), in memory of their own."""
        values = values[..., ::-1] if self.mirrored else values
        return np.ascontiguousarray(np.rot90(values, self.quarters, axes=(-2, -1)))

    def back(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """What was made of turned pixels, (…, h, w), as if they had not been turned."""
        values = np.rot90(values, -self.quarters, axes=(-2, -1))
        return np.ascontiguousarray(values[..., ::-1] if self.mirrored else values)

    def boxes_back(self, boxes: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
        """(…, 4) left, top, right, bottom in the turned input's pixels, in those of the input of `size` (width, height)."""
        left, top, right, bottom = np.moveaxis(boxes, -1, 0)
        width, height = size if self.quarters % 2 == 0 else size[::-1]
        for _ in range(self.quarters % 4):  # with the clock
            left, top, right, bottom = height - bottom, left, height - top, right
            width, height = height, width
        if self.mirrored:
            left, right = width - right, width - left
        return np.stack([left, top, right, bottom], axis=-1)


PLAIN = Turn()


@dataclass(frozen=True, eq=False)
class View:
    """What the network said of one input: by role, a batch of one. placement: where the image lies in it before it was turned."""

    tensors: Tensors
    placement: Placement
    turn: Turn = PLAIN


def turns_of(views: Sequence[str]) -> list[Turn]:
    """The input as it is, and each wanted turn of it, each once."""
    found = [PLAIN, *(Turn(*each) for view in views for each in _TURNS.get(view, ()))]
    return list(dict.fromkeys(found))


def check_views(views: Sequence[str], tasks: Mapping[str, TaskManifest], size: tuple[int, int]) -> None:
    """Raises UsageError for a view that is none, for turns of an input of `size` (width, height) that is not square, and where a
    view changes what is to be said: the training ruled mirrors out (augment.flip=0), or the names of the classes tell."""
    for view in views:
        if view not in VIEWS:
            raise unknown_name("view to average over", view, VIEWS)
    if "rot90" in views and size[0] != size[1]:
        raise UsageError(
            f"rot90 turns square inputs, and this network's are {size[0]} x {size[1]} pixels. Leave it out."
        )
    for name, task in tasks.items():
        if "hflip" in views and task.postprocessing.get(MIRROR) is False:
            raise UsageError(
                f"hflip would change what {name} answers: the bundle was trained with augment.flip=0, so that a mirrored picture "
                "may be of another class. Leave hflip out."
            )
        for view, pairs in (("hflip", _SIDED), ("rot90", (*_SIDED, *_UPRIGHT)), ("vflip", _UPRIGHT)):
            pair = _told_apart(task.labels, pairs) if view in views else None
            if pair is not None:
                raise UsageError(
                    f"{view} would change what {name} answers: it tells {pair[0]!r} from {pair[1]!r}. Leave {view} out."
                )


def mean_of(views: Sequence[View]) -> dict[str, NDArray[np.float32]]:
    """By role, the mean over the views: of answers that are not about places."""
    return {
        role: np.asarray(np.mean([view.tensors[role] for view in views], axis=0, dtype=np.float64), np.float32)
        for role in views[0].tensors
    }


def _told_apart(labels: Sequence[str], pairs: Sequence[tuple[set[str], set[str]]]) -> tuple[str, str] | None:
    """Two classes whose names differ by such a pair of words alone."""
    words = {label: set(label.lower().replace("-", " ").replace("_", " ").split()) for label in labels}
    for one, own in words.items():
        for first, second in pairs:
            for other, others in words.items():
                if first <= own and second <= others and own - first == others - second:
                    return one, other
    return None
