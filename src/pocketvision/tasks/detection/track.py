"""Objects followed over a stream's frames: each keeps its number while its boxes overlap from frame to frame."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import unknown_name
from pocketvision.tasks.detection.answer import Detections
from pocketvision.tasks.detection.count_line import LineCounter
from pocketvision.tasks.detection.overlap import ious
from pocketvision.tasks.detection.truth import LEAST_VISIBLE, areas, within
from pocketvision.tasks.task import Smoothing

KINDS = ("majority", "ema")
LEAST_IOU = 0.3
"""Of a detection and where its track should be by now."""

REMEMBERED = 2.0
"""Seconds that an object may be out of sight and keep its number."""

_MOST_ALPHA, _SHORTEST = 0.5, 0.01
"""Share of an error in a frame that is believed; seconds between frames."""


@dataclass(frozen=True, eq=False)
class Tracks:
    """t objects. boxes: (t, 4) at `seen`. speeds: (t, 2) of their middles, pixels a second. votes: (t, classes) summed scores,
    fading. seen: (t) seconds. ids, shown: (t) its number and the class that is shown. scores: (t) when last seen. times: (t) how
    often it was."""

    boxes: NDArray[np.float64]
    speeds: NDArray[np.float64]
    votes: NDArray[np.float64]
    seen: NDArray[np.float64]
    ids: NDArray[np.int64]
    shown: NDArray[np.int64]
    scores: NDArray[np.float64]
    times: NDArray[np.int64]

    @classmethod
    def none(cls, classes: int) -> "Tracks":
        """No object yet."""
        whole, number = np.zeros(0), np.zeros(0, np.int64)
        return cls(np.zeros((0, 4)), np.zeros((0, 2)), np.zeros((0, classes)), whole, number, number, whole, number)

    def take(self, chosen: NDArray[np.bool_]) -> "Tracks":
        """Some of them."""
        return Tracks(**{name: getattr(self, name)[chosen] for name in self.__dataclass_fields__})

    def and_(self, other: "Tracks") -> "Tracks":
        """These and others."""
        both = {
            name: np.concatenate([getattr(each, name) for each in (self, other)]) for name in self.__dataclass_fields__
        }
        return Tracks(**both)

    def at(self, time: float) -> NDArray[np.float64]:
        """(t, 4) where their boxes should be, as fast as they were."""
        moved = self.speeds * (time - self.seen)[:, None]
        return self.boxes + np.tile(moved, 2)


class FollowedObjects:
    """A stream's Tracker: the same objects with numbers, their classes by vote over the last seconds; one out of sight is shown
    for that long where it should be. `ema` also steadies the boxes.

    Detections go to tracks by overlap, the largest first, those of the shown class before others (SORT, Bewley et al. 2016,
    without its filter). With a line, what crosses it is counted.
    """

    def __init__(self, smoothing: Smoothing) -> None:
        """Raises UsageError for an unknown kind of smoothing, or a line of no length."""
        if smoothing.kind not in KINDS:
            raise unknown_name("smoothing", smoothing.kind, KINDS)
        self._smoothing = smoothing
        self._tracks: Tracks | None = None
        self._next = 1
        self._looked: dict[int, Mapping[str, Any] | None] = {}
        self._line = None if smoothing.line is None else LineCounter(smoothing.line)

    def __call__(self, time: float, answer: Detections) -> Detections:
        """What is shown at `time`: the surest first."""
        tracks = self._tracks or Tracks.none(len(answer.labels))
        tracks = tracks.take(time - tracks.seen <= max(REMEMBERED, self._smoothing.seconds))
        pairs = assigned(tracks.at(time), tracks.shown, answer)
        ids = self._ids(tracks, pairs, len(answer))
        tracks = self._moved(tracks, pairs, time, answer).and_(self._new(pairs, time, answer))
        self._tracks = tracks
        shown = tracks.take(self._visible(tracks, time, answer.size))
        boxes = shown.at(time) if answer.size is None else within(shown.at(time), answer.size)
        order = np.argsort(-shown.scores, kind="stable")
        found = Detections(answer.labels, boxes, shown.scores, shown.shown, shown.ids, size=answer.size).take(order)
        if answer.looked is not None:  # of an object out of sight the last that was said
            said = self._looked | dict(zip(ids, answer.looked, strict=True))
            self._looked = {each: said.get(each) for each in tracks.ids.tolist()}
            found = replace(found, looked=tuple(self._looked[each] for each in shown.ids[order].tolist()))
        if self._line is None:
            return found
        now = tracks.take(tracks.seen == time)
        return replace(
            found, passed=self._line.counted(now.ids, now.boxes, [answer.labels[each] for each in now.shown])
        )

    def _ids(self, tracks: Tracks, pairs: NDArray[np.int64], count: int) -> list[int]:
        """The number of each detection's track; those without one get the next ones."""
        known = {place: int(tracks.ids[row]) for row, place in pairs.tolist()}
        fresh = iter(range(self._next, self._next + count))
        return [known[place] if place in known else next(fresh) for place in range(count)]

    def _visible(self, tracks: Tracks, time: float, size: tuple[int, int] | None) -> NDArray[np.bool_]:
        """(t) those that are seen, and for a while those that are not, but where another one is seen by now, and where they have
        left the frame."""
        seen: NDArray[np.bool_] = tracks.seen == time
        hidden = ious(tracks.at(time), tracks.boxes[seen]).max(axis=1, initial=0) >= LEAST_IOU
        if size is not None:
            boxes = tracks.at(time)
            hidden |= areas(within(boxes, size)) < LEAST_VISIBLE * areas(boxes)
        shown: NDArray[np.bool_] = seen | (~hidden & (time - tracks.seen <= self._smoothing.seconds))
        return shown

    def _moved(self, tracks: Tracks, pairs: NDArray[np.int64], time: float, answer: Detections) -> Tracks:
        rows, places = pairs.T
        elapsed, seconds = (time - tracks.seen[rows])[:, None], self._smoothing.seconds
        kept = np.exp(-elapsed / seconds) if seconds > 0 else np.zeros_like(elapsed)
        fresh, expected = answer.boxes[places], tracks.at(time)[rows]
        boxes, speeds = tracks.boxes.copy(), tracks.speeds.copy()
        boxes[rows] = fresh + kept * (expected - fresh) if self._smoothing.kind == "ema" else fresh
        # An alpha-beta filter: of an error in place the speed takes its share by Benedict and Bordner (1962), and at first, while
        # it is unknown, that of a line through all places so far.
        alpha, times = np.minimum(1 - kept, _MOST_ALPHA), tracks.times[rows][:, None]
        share = np.maximum(alpha**2 / (2 - alpha), 6 / ((times + 1) * (times + 2)))
        speeds[rows] += share * (_middles(fresh) - _middles(expected)) / np.maximum(elapsed, _SHORTEST)
        counts = tracks.times.copy()
        counts[rows] += 1
        votes, scores, seen = tracks.votes.copy(), tracks.scores.copy(), tracks.seen.copy()
        votes[rows] *= kept
        votes[rows, answer.classes[places]] += answer.scores[places]
        scores[rows], seen[rows] = answer.scores[places], time
        shares = votes / np.maximum(votes.sum(axis=1, keepdims=True), 1e-12)
        best = shares.argmax(axis=1)
        every = np.arange(len(best))
        changes = shares[every, best] > shares[every, tracks.shown] + self._smoothing.hysteresis
        return Tracks(boxes, speeds, votes, seen, tracks.ids, np.where(changes, best, tracks.shown), scores, counts)

    def _new(self, pairs: NDArray[np.int64], time: float, answer: Detections) -> Tracks:
        unknown = np.setdiff1d(np.arange(len(answer)), pairs[:, 1])
        count = len(unknown)
        votes = np.zeros((count, len(answer.labels)))
        votes[np.arange(count), answer.classes[unknown]] = answer.scores[unknown]
        ids = np.arange(self._next, self._next + count)
        self._next += count
        return Tracks(
            answer.boxes[unknown],
            np.zeros((count, 2)),
            votes,
            np.full(count, time, np.float64),
            ids,
            answer.classes[unknown].astype(np.int64),
            answer.scores[unknown].astype(np.float64),
            np.ones(count, np.int64),
        )


def assigned(boxes: NDArray[np.float64], classes: NDArray[np.int64], answer: Detections) -> NDArray[np.int64]:
    """(p, 2) tracks and the detections that are theirs, each at most once. boxes, classes: (t, 4) and (t) of the tracks."""
    overlaps = ious(boxes, answer.boxes)
    rows, places = np.nonzero(overlaps >= LEAST_IOU)
    ranks = overlaps[rows, places] + (classes[rows] == answer.classes[places])
    pairs: list[tuple[int, int]] = []
    rows_taken, places_taken = set[int](), set[int]()
    for each in np.argsort(-ranks, kind="stable").tolist():
        row, place = int(rows[each]), int(places[each])
        if row not in rows_taken and place not in places_taken:
            rows_taken.add(row)
            places_taken.add(place)
            pairs.append((row, place))
    return np.array(pairs, np.int64).reshape(-1, 2)


def _middles(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return (boxes[:, :2] + boxes[:, 2:]) / 2
