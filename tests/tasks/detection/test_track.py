"""Objects keep their numbers over frames, their classes are voted on, and what crosses a line is counted once."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from pocketvision.errors import UsageError
from pocketvision.tasks.detection.answer import Detections
from pocketvision.tasks.detection.track import FollowedObjects
from pocketvision.tasks.task import Smoothing

NAMES = ("car", "van")
KINDS = pytest.mark.parametrize("kind", ["majority", "ema"])


def frame(*objects: tuple[float, float, int], size: float = 20, score: float = 0.8) -> Detections:
    """objects: middles and classes."""
    rows = [(x - size / 2, y - size / 2, x + size / 2, y + size / 2) for x, y, _ in objects]
    boxes, classes = np.array(rows).reshape(-1, 4), np.array([each for *_, each in objects], np.int64)
    return Detections(NAMES, boxes, np.full(len(objects), score), classes)


def numbers(shown: Detections) -> dict[int, tuple[float, float]]:
    """The middles by track."""
    assert shown.tracks is not None
    middles = (shown.boxes[:, :2] + shown.boxes[:, 2:]) / 2
    return {track: (x, y) for track, (x, y) in zip(shown.tracks.tolist(), middles.tolist(), strict=True)}


@KINDS
def test_two_that_pass_each_other_keep_their_numbers(kind: str) -> None:
    """Eight pixels beside each other, in opposite directions, said in any order."""
    follow, generator, first = FollowedObjects(Smoothing(kind, 0.2)), np.random.default_rng(0), 0
    for step in range(40):
        objects = [(10 + 5.0 * step, 50, 0), (205 - 5.0 * step, 62, 0)]
        generator.shuffle(objects)
        shown = follow(step / 10, frame(*objects))
        found = numbers(shown)
        assert sorted(found) == [1, 2]
        first = first or (1 if found[1][0] < 100 else 2)
        assert abs(found[first][0] - (10 + 5 * step)) < 8
        assert abs(found[first][1] - 50) < 8


@KINDS
def test_one_out_of_sight_is_shown_for_a_while_and_comes_back_as_itself(kind: str) -> None:
    follow = FollowedObjects(Smoothing(kind, 0.3))
    for step in range(10):
        follow(step / 10, frame((10 + 4 * step, 50, 0)))
    assert numbers(follow(1.0, frame()))[1][0] == pytest.approx(50, abs=3)
    assert len(follow(1.6, frame())) == 0
    assert list(numbers(follow(1.7, frame((78, 50, 0), (300, 50, 0))))) == [1, 2]
    assert len(follow(4.0, frame())) == 0
    assert list(numbers(follow(4.1, frame((80, 50, 0))))) == [3]


def test_one_out_of_sight_is_not_shown_where_another_one_is() -> None:
    """A tall box over a square one shares too little of it to be the same; later it shares enough to be seen instead of it."""
    follow, square = FollowedObjects(Smoothing("majority", 0.5)), frame((50, 50, 0))
    tall, less_tall = (replace(square, boxes=np.array([[40.0, top, 60, 88]])) for top in (20, 30))
    assert len(follow(0.0, square)) == 1
    assert len(follow(0.1, tall)) == 2
    assert follow(0.2, less_tall).boxes.tolist() == less_tall.boxes.tolist()


@KINDS
def test_one_that_leaves_the_frame_is_not_shown_beside_it(kind: str) -> None:
    """It goes out on the left; nobody says that it is gone."""
    follow, shown = FollowedObjects(Smoothing(kind, 0.5)), list[Detections]()
    for step in range(5):
        follow(step / 10, replace(frame((50 - 8.0 * step, 50, 0)), size=(100, 100)))
    for step in range(5, 9):  # its middle would be at 10, 2, -6, -14
        shown.append(follow(step / 10, replace(frame(), size=(100, 100))))
    assert len(shown[0]) == 1 and shown[0].boxes.min() >= 0
    assert [len(each) for each in shown[2:]] == [0, 0]


def test_the_class_is_voted_on() -> None:
    follow = FollowedObjects(Smoothing("majority", 1.0, 0.1))
    said = [0, 0, 0, 1, 0, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    shown = [follow(step / 10, frame((50, 50, each))).names for step, each in enumerate(said)]
    assert shown[:9] == [["car"]] * 9 and shown[-1] == ["van"]
    assert sum(one != other for one, other in pairwise(shown)) == 1


def test_a_moving_average_steadies_boxes() -> None:
    generator = np.random.default_rng(1)
    noise = generator.normal(0, 1, (60, 2))
    spread = {}
    for kind in ("majority", "ema"):
        follow = FollowedObjects(Smoothing(kind, 0.5))
        middles = [
            numbers(follow(step / 10, frame((50 + x, 50 + y, 0))))[1] for step, (x, y) in enumerate(noise.tolist())
        ]
        spread[kind] = float(np.std(np.array(middles)[20:], axis=0).mean())
    assert spread["ema"] < 0.7 * spread["majority"]


def test_what_crosses_a_line_is_counted_once_and_by_class() -> None:
    """From the left end to the right end of the line its right side is below: image rows go down."""
    follow = FollowedObjects(Smoothing("majority", 0.3, line=(0, 100, 200, 100)))
    for step in range(21):
        down, up = 50 + 5.0 * step, 150 - 5.0 * step
        wavering = 100 + (0.5 if step % 2 else -0.5)
        shown = follow(step / 10, frame((40, down, 0), (120, up, 1), (170, wavering, 0), (300, down, 0)))
    assert shown.passed is not None and shown.passed.counts == {"car": (1, 0), "van": (0, 1)}
    assert shown.passed.line == (0, 100, 200, 100)


def test_an_unknown_smoothing_and_a_line_of_no_length_are_refused() -> None:
    with pytest.raises(UsageError, match="Unknown smoothing 'mean'"):
        FollowedObjects(Smoothing("mean"))
    with pytest.raises(UsageError, match="has no length"):
        FollowedObjects(replace(Smoothing("ema"), line=(5, 5, 5, 5)))


def test_a_stream_without_objects_has_none() -> None:
    follow = FollowedObjects(Smoothing("ema", 0.0, line=(0, 0, 1, 1)))
    shown = follow(0.0, frame())
    assert len(shown) == 0 and shown.tracks is not None and shown.passed is not None and shown.passed.counts == {}
