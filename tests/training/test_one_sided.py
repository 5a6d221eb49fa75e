"""Tags that a split can not tell apart are said."""

from pathlib import Path

import numpy as np

from pocketvision.data.samples import Samples
from pocketvision.tasks.number.truth import NumberLabels
from pocketvision.tasks.tags.truth import TagLabels
from pocketvision.tasks.truth import Truth
from pocketvision.training.one_sided import one_sided_tags

TRAIN, VAL, TEST = 0, 1, 2


def said(marks: list[list[int]], splits: list[int]) -> list[str]:
    truth: dict[str, Truth] = {
        "tags": TagLabels.of(marks, ("sky", "boat")),
        "number": NumberLabels(np.zeros(len(marks))),
    }
    names = [f"{number}.png" for number in range(len(marks))]
    samples = Samples(Path(), names, truth).with_splits(np.array(splits, np.int8))
    return one_sided_tags(samples, truth)


def test_tags_of_all_or_of_no_image_of_a_split() -> None:
    marks = [[0, 1], [], [0], [0], [0], []]
    todo = "move images between the splits, or add some."
    assert said(marks, [TRAIN, TRAIN, VAL, VAL, TEST, TEST]) == [
        f"Tags on none of the 2 validation images: boat. No threshold can be chosen for them there: {todo}",
        f"Tags on all of the 2 validation images: sky. No threshold can be chosen for them there: {todo}",
        f"Tags on none of the 2 test images: boat. Their figures say nothing there: {todo}",
    ]


def test_nothing_is_said_of_splits_that_tell_them_apart_or_are_empty() -> None:
    assert said([[0], [1], [0], [1]], [TRAIN, TRAIN, VAL, VAL]) == []
