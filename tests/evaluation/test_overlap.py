"""Which images are measured when some of them took part in the training, and what is said of the others."""

import numpy as np
import pytest

from pocketvision.data.learned_from import GROUPED, NEAR, SAME, UNSEEN, Matches
from pocketvision.evaluation.overlap import Role, without_seen

TRAIN, VAL, TEST, NOWHERE = 0, 1, 2, -1


def matches(*rows: tuple[int, int]) -> Matches:
    kinds, splits = np.array(rows).T.astype(np.int8)
    return Matches(kinds, splits)


NOT_SEEN = (UNSEEN, NOWHERE)


@pytest.mark.parametrize(
    ("role", "seen", "expected", "kept", "left_out"),
    [
        ("test", [NOT_SEEN, NOT_SEEN], "test", [1, 1], 0),
        ("test", [NOT_SEEN, (SAME, TRAIN), (NEAR, VAL)], "test", [1, 0, 0], 2),
        ("selection", [NOT_SEEN, (GROUPED, TRAIN)], "selection", [1, 0], 1),
        ("given", [NOT_SEEN, (SAME, TRAIN)], "given", [1, 0], 1),
        ("given", [(UNSEEN, TEST), (UNSEEN, TEST), (SAME, VAL)], "test", [1, 1, 0], 1),
        ("given", [(UNSEEN, TEST), NOT_SEEN], "given", [1, 1], 0),
        ("given", [(SAME, VAL), (SAME, VAL)], "selection", [1, 1], 0),
        ("given", [(SAME, VAL), (SAME, TRAIN)], "selection", [1, 0], 1),
        ("given", [(SAME, TRAIN), (NEAR, TRAIN)], "learned", [1, 1], 0),
        ("test", [(SAME, TRAIN)], "learned", [1], 0),
    ],
)
def test_the_least_flattering_images_are_measured(
    role: Role, seen: list[tuple[int, int]], expected: Role, kept: list[int], left_out: int
) -> None:
    found, which, overlap = without_seen(role, matches(*seen), [f"{place}.png" for place in range(len(seen))])
    assert (found, which.astype(int).tolist(), overlap.left_out) == (expected, kept, left_out)
    assert overlap.images == len(seen)


def test_what_was_seen_is_counted_by_how_and_named() -> None:
    seen = matches(NOT_SEEN, (SAME, TRAIN), (NEAR, TRAIN), (NEAR, VAL), (GROUPED, TRAIN))
    _, _, overlap = without_seen("test", seen, list("abcde"))
    assert (overlap.same, overlap.near, overlap.grouped, overlap.seen) == (1, 2, 1, 4)
    assert overlap.files == ("b", "c", "d", "e")
    assert (
        "4 of 5 images took part in the training (1 the same picture, 2 nearly the same picture, 1 of a" in overlap.text
    )
    _, _, none = without_seen("test", matches(NOT_SEEN), ["a"])
    assert none.text == ""
