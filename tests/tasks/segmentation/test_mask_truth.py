"""The truth of segmentation: counted once, carried into inputs, called by other names."""

import numpy as np
import pytest

from pocketvision.errors import UsageError
from pocketvision.preprocessing import Placement
from pocketvision.tasks.segmentation.truth import NOTHING, MaskArrays, MaskLabels, moved, resized

ONE = np.array([[0, 0, 1], [2, 2, NOTHING]], np.uint8)
TWO = np.array([[1, 1], [1, 1]], np.uint8)
NAMES = ("sky", "road", "tree")
TRUTH = MaskLabels.of_arrays([ONE, TWO, ONE], NAMES)


def test_pixels_are_counted_once_by_class() -> None:
    assert TRUTH.pixels.tolist() == [[2, 1, 2, 1], [0, 4, 0, 0], [2, 1, 2, 1]]
    assert TRUTH.class_counts().tolist() == [2, 3, 2]
    assert TRUTH.pixel_counts().tolist() == [4, 6, 4]
    assert [TRUTH.strata.row(place)["stratum"].tolist() for place in range(2)] == [[0, 1, 2, 3], [1, 3]]
    picked = TRUTH.select(np.array([1, 0]))
    assert (picked.mask(0) == TWO).all() and (picked.mask(1) == ONE).all() and picked.pixels[0].tolist() == [0, 4, 0, 0]


def test_what_is_said_is_by_names() -> None:
    assert TRUTH.said(0) == TRUTH.said(2) != TRUTH.said(1)
    other = TRUTH.in_classes(("tree", "car", "road", "sky"))
    assert other.said(0) == TRUTH.said(0)
    assert other.mask(0).tolist() == [[3, 3, 2], [0, 0, NOTHING]]
    assert other.pixels[0].tolist() == [2, 0, 1, 2, 1]
    assert other.in_classes(NAMES).mask(0).tolist() == ONE.tolist()
    assert other.in_classes(other.class_names) is other
    with pytest.raises(UsageError, match="tree"):
        TRUTH.in_classes(("sky", "road"))
    turned = MaskLabels.of_arrays([ONE.T], NAMES)
    assert turned.pixels[0].tolist() == TRUTH.pixels[0].tolist() and turned.said(0) != TRUTH.said(0)


def test_an_image_may_lack_a_mask() -> None:
    partly = MaskLabels.of(MaskArrays((ONE, TWO)), NAMES, np.array([True, False]))
    assert partly.said(1) == b"" and partly.pixels[1].sum() == 0
    view = partly.through(1, Placement.of_decoding((4, 4)))
    assert not view.present[0] and (view.mask(0) == NOTHING).all() and view.mask(0).shape == (4, 4)


def test_numbers_beyond_the_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="number 2"):
        MaskLabels.of_arrays([ONE], ("sky", "road"))
    with pytest.raises(UsageError, match="at most 255"):
        MaskLabels.of_arrays([ONE], tuple(map(str, range(256))))
    assert len(MaskLabels.of_arrays([ONE], tuple(map(str, range(255)))).class_names) == 255


def test_a_mask_goes_into_the_input_as_the_image_does() -> None:
    mask = np.arange(12, dtype=np.uint8).reshape(3, 4)
    whole = Placement.of_decoding((4, 3))
    assert (moved(mask, whole) == mask).all()
    flip = np.array([[-1, 0, 4], [0, 1, 0], [0, 0, 1]], np.float64)
    assert (moved(mask, whole.then(flip, (4, 3))) == mask[:, ::-1]).all()
    shifted = np.array([[1, 0, -2], [0, 1, 1], [0, 0, 1]], np.float64)
    found = moved(mask, whole.then(shifted, (4, 3)))
    assert found.tolist() == [[NOTHING] * 4, [2, 3, NOTHING, NOTHING], [6, 7, NOTHING, NOTHING]]
    twice = np.diag([2.0, 2.0, 1.0])
    assert (moved(mask, whole.then(twice, (8, 6))) == mask.repeat(2, 0).repeat(2, 1)).all()
    quarter = np.array([[0, -1, 3], [1, 0, 0], [0, 0, 1]], np.float64)  # a quarter to the right
    assert (moved(mask, whole.then(quarter, (3, 4))) == np.rot90(mask, -1)).all()


def test_a_mask_of_another_size_than_its_image_is_scaled() -> None:
    mask = np.array([[0, 1], [2, 3]], np.uint8)
    found = MaskLabels.of_arrays([mask], ("a", "b", "c", "d")).through(0, Placement.of_decoding((4, 6)))
    assert (found.mask(0) == mask.repeat(3, 0).repeat(2, 1)).all()
    assert (resized(mask, (4, 6)) == mask.repeat(3, 0).repeat(2, 1)).all() and resized(mask, (2, 2)) is mask
