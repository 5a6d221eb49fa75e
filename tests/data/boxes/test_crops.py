"""Crops keep the centre of an object, input sizes are chosen from the boxes."""

import numpy as np

from pocketvision.data.boxes.crops import crop_window, holds, window_matrix
from pocketvision.data.boxes.input_size import choose_size
from pocketvision.preprocessing import Placement
from pocketvision.tasks.detection.truth import BoxLabels


def test_a_crop_holds_the_centre_of_an_object() -> None:
    random = np.random.default_rng(0)
    truth = BoxLabels.of([([[90, 5, 100, 15], [0, 60, 10, 70]], [0, 0])], ("a",))
    centres = np.array([[95.0, 10.0], [5.0, 65.0]])
    whole = 0
    for _ in range(200):
        window = crop_window(truth, (100, 80), random)
        left, top, right, bottom = window
        assert 0 <= left < right <= 100 and 0 <= top < bottom <= 80 and holds(window, centres).any()
        assert 0.2 < (right - left) * (bottom - top) / 8000 <= 1 + 1e-9
        whole += window == (0, 0, 100, 80)
        placement = Placement((100, 80), window_matrix(window, (64, 48)), (64, 48))
        assert np.allclose(placement.to_input(np.array([[left, top], [right, bottom]])), [[0, 0], [64, 48]])
        assert len(truth.through(0, placement).boxes) >= 1
    assert whole < 20


def test_a_background_is_cut_anywhere_and_a_crowd_is_no_object() -> None:
    random = np.random.default_rng(1)
    columns = {"boxes": np.array([[0, 0, 1, 1]]), "classes": np.zeros(1), "crowd": np.array([True])}
    for truth in (BoxLabels.of([([], [])], ("a",)), BoxLabels.flat(np.array([0, 1]), columns, ("a",))):
        areas = [
            np.prod(np.subtract(window[2:], window[:2]))
            for window in (crop_window(truth, (9, 9), random) for _ in range(20))
        ]
        assert min(areas) < 40 < max(areas)


def test_the_size_is_the_smallest_that_shows_nearly_all_objects() -> None:
    sides = [40] * 97 + [10, 10, 4]  # of pictures 1,000 pixels wide
    truth = BoxLabels.of([([[0, 0, side, 50] for side in sides], [0] * 100)], ("a",))
    sizes = np.array([[1000, 500]])
    choice = choose_size(truth, sizes)
    assert choice.shares[320] == 0.03 and choice.shares[800] == 0.01 and choice.size == 800
    assert choose_size(BoxLabels.of([([[0, 0, 1, 1]], [0])], ("a",)), sizes).size == 1280
    assert choose_size(BoxLabels.of([([], [])], ("a",)), np.array([[0, 0]])).size == 320
