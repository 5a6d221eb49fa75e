"""Probes tell classes that features tell, and read labelled images as they are split."""

import numpy as np

from pocketvision.training.contrast.pictures import chunks
from pocketvision.training.contrast.probe import linear_answers, neighbours_answers


def test_neighbours_vote_by_their_cosine() -> None:
    known = np.array([[1.0, 0.0], [9.0, 1.0], [0.0, 2.0]], np.float32)
    classes = np.array([0, 0, 1])
    asked = np.array([[5.0, 0.1], [0.1, 0.5]], np.float32)
    assert neighbours_answers(known, classes, asked).tolist() == [0, 1]


def test_a_line_tells_what_lies_on_both_sides_of_it() -> None:
    random = np.random.default_rng(0)
    known = random.normal(size=(60, 3)).astype(np.float32)
    classes = (known @ np.array([1.0, -2.0, 0.5]) > 0).astype(np.int64)
    asked = np.array([[3.0, -3, 0], [-3.0, 3, 0]], np.float32)
    assert linear_answers(known, classes, asked).tolist() == [1, 0]


def test_no_batch_is_of_one_image() -> None:
    assert [len(each) for each in chunks(np.arange(9), 4)] == [4, 5]
    assert [len(each) for each in chunks(np.arange(10), 4)] == [4, 4, 2]
