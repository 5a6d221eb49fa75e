"""What of the measured images a model has learned from: left out of its figures, and counted. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.learned_from import GROUPED, NEAR, SAME, UNSEEN, Matches
from pocketvision.data.samples import SPLITS
from pocketvision.printable import counted
from pocketvision.tasks.measuring import Metrics

Role = Literal["learned", "selection", "test", "given"]
"""What images were to the training: learned from; its validation, which chose the epoch and the temperature; untouched by it and
kept for measuring; or given by somebody, whoever knows what they are."""

WORDS: dict[Role, str] = {
    "learned": "learned from: the model has seen these images",
    "selection": "selection: these images chose the epoch",
    "test": "untouched by the training",
    "given": "given images",
}

FILES_IN_JSON = 100

UNKNOWN = "whether it learned from them can not be known: the bundle keeps no hashes of its training's images"

_TEST = SPLITS.index("test")

# An image of a role counts as seen when it was in one of the splits before this one.
_SEEN_BEFORE: dict[Role, int] = {"learned": 0, "selection": SPLITS.index("val"), "test": _TEST, "given": _TEST}


@dataclass(frozen=True)
class Overlap:
    """Of `images` readable images, how many the model has seen in its training.

    same: with exactly the pixels of an image that was learned from or selected by. near: nearly the same picture. grouped: of
    a group with one. files: their paths. left_out: how many of them are in no figure: all of them, or 0 when nothing else would
    be left. with_them: the first task's figures of all images; None when none was left out.
    """

    images: int
    same: int = 0
    near: int = 0
    grouped: int = 0
    files: tuple[str, ...] = ()
    left_out: int = 0
    with_them: Metrics | None = None

    @property
    def seen(self) -> int:
        """How many were seen, in whatever way."""
        return self.same + self.near + self.grouped

    @property
    def text(self) -> str:
        """In a sentence, as in "5 of 27 images took part in the training (5 the same picture) and are left out; …"; or empty."""
        if not self.seen:
            return ""
        ways = (
            (self.same, "the same picture"),
            (self.near, "nearly the same picture"),
            (self.grouped, "of a group that was learned from"),
        )
        how = ", ".join(f"{count:,} {way}" for count, way in ways if count)
        what = f"{self.seen:,} of {counted(self.images, 'image')} took part in the training ({how})"
        if self.with_them is None:
            return f"{what}; nothing else is there to measure"
        headline = self.with_them.headline
        return f"{what} and are left out; with them {headline.name} {headline.text}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        whole, figures = self.with_them, None
        if whole is not None:
            headline, interval = whole.headline, whole.headline.interval
            bounds = None if interval is None else [interval.low, interval.high]
            figures = {headline.name: headline.value, "interval": bounds, "images": whole.images}
        return {
            "images": self.images,
            "same": self.same,
            "near": self.near,
            "grouped": self.grouped,
            "left_out": self.left_out,
            "files": list(self.files[:FILES_IN_JSON]),
            "with_them": figures,
        }


def without_seen(role: Role, matches: Matches, paths: Sequence[str]) -> tuple[Role, NDArray[np.bool_], Overlap]:
    """Of n images: the role of those that are measured, which they are, (n), and what of the n was seen.

    Measured are those that were not seen before; of images that all were, those that only chose the epoch; else all of them. What
    is left to say of the figures of all images (`with_them`) is the caller's, who has the answers.
    """
    others: tuple[Role, ...] = ("selection", "learned")
    for found in (role, *(each for each in others if each != role)):
        seen = _seen_as(found, matches)
        if not seen.all():
            break
    if found == "given" and (matches.splits[~seen] == _TEST).all():
        found = "test"
    kept = ~seen
    if found == "learned" and role != "learned":
        seen, kept = _seen_as(role, matches), np.ones(len(seen), np.bool_)
    kinds = matches.kinds[seen]
    overlap = Overlap(
        images=len(seen),
        same=int((kinds == SAME).sum()),
        near=int((kinds == NEAR).sum()),
        grouped=int((kinds == GROUPED).sum()),
        files=tuple(paths[index] for index in np.flatnonzero(seen).tolist()),
        left_out=int((~kept).sum()),
    )
    return found, kept, overlap


def _seen_as(role: Role, matches: Matches) -> NDArray[np.bool_]:
    """(n) whether an image of this role was seen where it should not have been."""
    seen: NDArray[np.bool_] = (matches.kinds != UNSEEN) & (matches.splits < _SEEN_BEFORE[role])
    return seen
