"""Objects that are followed through a video: their boxes and outlines frame by frame, and the pictures that the frames are."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from pocketvision.data.boxes.pictures import Pictures
from pocketvision.data.masks.outlines import Outline
from pocketvision.errors import UsageError

STRETCHES = 20
"""Parts of a video, of frames one after the other, that a split keeps whole: neighbouring frames are nearly the same."""

_NUMBER = re.compile(r"(\d+)\D*$")


class Shape(NamedTuple):
    """A track's shape at a frame. corners: left, top, right, bottom of the box around it. outside: the object is not seen from
    here on. outline: None where nobody asked."""

    frame: int
    corners: tuple[float, ...]
    outside: bool
    outline: Outline | None = None


def by_frame(shapes: Sequence[Shape]) -> Iterator[Shape]:
    """The shape in every frame from a track's first to its last. Between two that are given, boxes and outlines of as many
    corners move evenly from one to the other, pixels stay; and all stay where they were last seen until they are outside."""
    ordered = sorted(shapes, key=lambda each: each.frame)
    for one, following in pairwise(ordered):
        target = one if following.outside else following
        for frame in range(one.frame, following.frame) if not one.outside else ():
            share = (frame - one.frame) / (following.frame - one.frame)
            corners = _between(one.corners, target.corners, share)
            yield Shape(frame, tuple(corners), False, _outline_between(one.outline, target.outline, share))
    if ordered and not ordered[-1].outside:
        yield ordered[-1]


def _between(one: Sequence[float], other: Sequence[float], share: float) -> list[float]:
    return [a + share * (b - a) for a, b in zip(one, other, strict=True)]


def _outline_between(one: Outline | None, other: Outline | None, share: float) -> Outline | None:
    if one is None or other is None or [len(ring) for ring in one.rings] != [len(ring) for ring in other.rings]:
        return one
    return Outline([_between(a, b, share) for a, b in zip(one.rings, other.rings, strict=True)], one.patch)


def frames_of(pictures: Pictures, where: Path, count: int) -> dict[int, str]:
    """The picture of each of `count` frames that has one, by the last number in the pictures' names, as in frame_000012.png.

    Raises UsageError, with the way out, where there is none, where a frame has several, and where pictures count from 1.
    """
    found: dict[int, str] = {}
    for name, paths in pictures.by_name.items():
        number = _NUMBER.search(name.rpartition(".")[0])
        frame = -1 if number is None else int(number[1])
        if not 0 <= frame <= count:
            continue
        if len(paths) > 1 or frame in found:
            raise UsageError(
                f"{where}: frame {frame} of its video is there several times ({found.get(frame, paths[-1])}, {paths[0]}). "
                "Name the folder of this video's frames with --images FOLDER."
            )
        found[frame] = paths[0]
    if 0 not in found and count in found:
        raise UsageError(
            f"{where}: it counts the frames of its video from 0 to {count - 1}, and the pictures below {pictures.root} from 1 to "
            f"{count} ({found[count]}). Number them from 0: ffmpeg -i VIDEO -start_number 0 frames/frame_%06d.png"
        )
    found.pop(count, None)
    if not found:
        raise UsageError(
            f"{where}: it holds tracks of a video of {count:,} frames, and no picture below {pictures.root} is one of them, "
            "such as frame_000000.png. Export it from CVAT with its images, or write them: ffmpeg -i VIDEO -start_number 0 "
            "frames/frame_%06d.png. --images FOLDER says where they are."
        )
    return dict(sorted(found.items()))


def stretch_of(frame: int, count: int) -> int:
    """In which of STRETCHES a frame is."""
    return frame * STRETCHES // count
