"""Agreement: differences, flips and near ties, and an error that names the images."""

import numpy as np
import pytest

from pocketvision.errors import AgreementError
from pocketvision.tasks.classification.agreement import agreement

REFERENCE = np.array([[0.9, 0.1], [0.5003, 0.4997], [0.2, 0.8]])


def test_equal_answers_agree() -> None:
    found = agreement(REFERENCE, REFERENCE.astype(np.float32))
    assert (found.images, found.flips, found.differing, found.top1_agreement) == (3, (), (), 1.0)
    assert found.max_probability_difference < 1e-7
    found.require("model.onnx")
    assert found.to_dict()["images"] == 3


def test_a_flip_between_near_ties_is_none() -> None:
    candidate = REFERENCE + np.array([[0, 0], [-0.0004, 0.0004], [0, 0]])
    found = agreement(REFERENCE, candidate)
    assert found.flips == ()
    assert found.top1_agreement == 1.0
    found.require("model.onnx")


def test_a_difference_and_a_flip_name_their_images() -> None:
    candidate = np.array([[0.895, 0.105], [0.5003, 0.4997], [0.7, 0.3]])
    found = agreement(REFERENCE, candidate)
    assert found.differing == (0, 2)
    assert found.flips == (2,)
    assert found.top1_agreement == pytest.approx(2 / 3)
    with pytest.raises(
        AgreementError, match=r"differ by up to 0\.5 .* 2 of 3 images: a\.png, c\.png; .* 1 of 3 images: c\.png"
    ):
        found.require("model.onnx", ["a.png", "b.png", "c.png"])
    with pytest.raises(AgreementError, match="image 0, image 2"):
        found.require("model.onnx")


def test_the_tolerance_is_the_callers() -> None:
    candidate = REFERENCE + np.array([[-0.01, 0.01], [0, 0], [0, 0]])
    agreement(REFERENCE, candidate, tolerance=0.02).require("model.onnx")
    with pytest.raises(AgreementError):
        agreement(REFERENCE, candidate).require("model.onnx")


def test_not_a_number_never_agrees() -> None:
    candidate = REFERENCE.copy()
    candidate[1] = np.nan
    found = agreement(REFERENCE, candidate)
    assert found.differing == (1,)
    assert found.max_probability_difference == np.inf
    with pytest.raises(AgreementError, match="image 1"):
        found.require("model.onnx")


def test_many_images_are_not_all_listed() -> None:
    found = agreement(np.tile([[1.0, 0.0]], (9, 1)), np.tile([[0.0, 1.0]], (9, 1)))
    with pytest.raises(AgreementError, match="image 4 and 4 more"):
        found.require("model.onnx")


def test_shapes_must_match() -> None:
    with pytest.raises(ValueError, match=r"\(3, 2\) and \(2, 2\)"):
        agreement(REFERENCE, REFERENCE[:2])
    with pytest.raises(ValueError, match="expected"):
        agreement(REFERENCE[:0], REFERENCE[:0])
