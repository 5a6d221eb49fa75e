"""Learning objects: what a batch costs, what is said of it, and what the recipe may ask."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pocketvision.errors import UsageError
from pocketvision.preprocessing import Placement, Preprocessing
from pocketvision.tasks.detection.truth import BoxLabels
from pocketvision.training.detection.assignment import ALPHA
from pocketvision.training.detection.learner import BOX_WEIGHT, DetectionLearner
from pocketvision.training.inputs import IMAGES
from pocketvision.training.learned_tasks import augmentation_of, closed_form, fitted, input_size, objective_of
from pocketvision.training.learner import LearnerOptions
from pocketvision.training.mixing import Mix, Mosaic, mix
from pocketvision.training.settings import RegularisationSettings

SIDE = 16
NAMES = ("cell", "speck")
WHOLE = Placement.of_decoding((2 * SIDE, SIDE))
TRUTH = BoxLabels.of([([[0, 0, 8, 8]], [0]), ([], [])], NAMES)
CELLS = torch.tensor([[x + 4.0, y + 4.0, 8.0] for y in (0, 8) for x in (0, 8, 16, 24)])


def outputs(scores: Tensor) -> dict[str, Tensor]:
    """Every cell says itself as its box. scores: (N, 8, classes)."""
    boxes = torch.cat([CELLS[:, :2] - 4, CELLS[:, :2] + 4], dim=1)
    count = len(scores)
    return {"logits": torch.logit(scores), "boxes": boxes.repeat(count, 1, 1), "cells": CELLS.repeat(count, 1, 1)}


def learner(**given: object) -> DetectionLearner:
    found = objective_of({"detection": TRUTH}, options=LearnerOptions(**given)).learners["detection"]  # type: ignore[arg-type]
    assert isinstance(found, DetectionLearner)
    return found


def targets(rows: list[int]) -> object:
    return learner().targets(TRUTH, np.array(rows), [WHOLE] * len(rows))


def scores(right: float, others: float = 1e-6) -> Tensor:
    found = torch.full((1, 8, 2), others)
    found[0, 0, 0] = right
    return found


def test_who_says_it_all_loses_next_to_nothing() -> None:
    sure, unsure = (
        sum(each.item() for each in learner().loss(outputs(scores(right)), targets([0])).values())  # type: ignore[arg-type]
        for right in (0.9999, 0.1)
    )
    assert sure < 1e-3 < 0.5 < unsure


def test_a_box_is_worth_its_overlap() -> None:
    """Half of it is covered: 1 - IoU is 1/2, of the object's best cell, and the score is to be 1/2."""
    said = outputs(scores(0.5))
    said["boxes"][0, 0] = torch.tensor([0.0, 0, 8, 4])
    parts = learner().loss(said, targets([0]))  # type: ignore[arg-type]
    assert parts["box"].item() == pytest.approx(BOX_WEIGHT * 0.5)
    assert parts["score"].item() == pytest.approx(np.log(2), abs=1e-3)


def test_a_second_branch_has_one_cell_an_object_and_needs_no_suppression() -> None:
    """Both branches say a cell's object alike, at two cells: the first has both learn it, the second the better one alone, so
    that the other is to be silent. What is measured and shipped is the second, without suppression."""
    said = outputs(scores(0.5, others=1e-4))
    object_ = BoxLabels.of([([[0, 0, 16, 8]], [0])], NAMES)
    said["boxes"][0, :2] = torch.tensor([0.0, 0, 16, 8])
    said["logits"][0, 1, 0] = torch.logit(torch.tensor(0.25))
    said |= {"single_logits": said["logits"].clone(), "single_boxes": said["boxes"].clone()}
    learns = learner()
    batch = learns.targets(object_, np.array([0]), [WHOLE])
    parts = {name: each.item() for name, each in learns.loss(said, batch).items()}
    assert parts.keys() == {"score", "box", "single_score", "single_box"}
    # One to many: shares 1 and (1/2)^ALPHA, of which the second cell is to score as much.
    share = 0.5**ALPHA
    second = -(share * np.log(0.25) + (1 - share) * np.log(0.75))
    assert parts["score"] == pytest.approx((np.log(2) + second) / (1 + share), abs=1e-3)
    # One to one: the second cell's 1/4 is wrong.
    assert parts["single_score"] == pytest.approx(np.log(2) - np.log(0.75), abs=1e-3)
    assert parts["box"] == parts["single_box"] == 0
    said["logits"].fill_(-20)
    record = learns.record(said, batch)
    assert record.nms == "none" and learns.validated([record]).figure == pytest.approx(1.0)
    assert learns.calibrate([record])["nms"] == "none"
    twice = record.images[0].found.boxes[:2]  # nothing was suppressed
    assert twice.tolist() == [[0, 0, 16, 8]] * 2
    assert learns.score_of(said, 0).item() == pytest.approx(0, abs=1e-6)


def test_a_background_asks_for_silence_alone() -> None:
    parts = learner().loss(outputs(torch.full((1, 8, 2), 0.5)), targets([1]))  # type: ignore[arg-type]
    assert parts["box"].item() == 0
    assert parts["score"].item() == pytest.approx(16 * np.log(2))


def test_the_rare_weigh_more_by_the_root() -> None:
    """Of two classes with 9 objects and 1: three times as much, and 1 in the mean of the ten."""
    truth = BoxLabels.of([([[0, 0, 8, 8]] * 10, [0] * 9 + [1])], NAMES)
    found = objective_of({"detection": truth}).learners["detection"]
    assert isinstance(found, DetectionLearner) and found.weights is not None and not found.weighted
    assert found.weights.tolist() == pytest.approx([10 / 12, 30 / 12])


def test_classes_weigh_as_they_are_told() -> None:
    """A cell that scores 0.1 and a speck that scores 0.9: losses a = ln 10 and b = ln (1 / 0.9)."""
    both = BoxLabels.of([([[0, 0, 8, 8], [8, 0, 16, 8]], [0, 1])], NAMES)
    said = scores(0.1)
    said[0, 1, 1] = 0.9
    one, other = np.log(10), -np.log(0.9)
    for weights, expected in ((None, (one + other) / 2), ({"cell": 3.0}, (3 * one + other) / 4)):
        learns = learner(class_weights=weights) if weights else DetectionLearner(NAMES)
        found = learns.loss(outputs(said), learns.targets(both, np.array([0]), [WHOLE]))
        assert found["score"].item() == pytest.approx(expected, abs=1e-4)


def test_what_is_found_is_counted_and_measured() -> None:
    said = outputs(torch.cat([scores(0.9), scores(0.01)]))
    batch = targets([0, 1])
    assert learner().right(said, batch) == (1, 1)  # type: ignore[arg-type]
    record = learner().record(said, batch)  # type: ignore[arg-type]
    validated = learner().validated([record])
    assert (validated.figure, validated.loss) == (pytest.approx(1.0), pytest.approx(0.0))
    assert learner().calibrate([record])["thresholds"].keys() == {"cell"}  # nobody saw a speck


def test_objects_can_not_be_mixed_and_have_no_closed_form() -> None:
    with pytest.raises(UsageError, match=r"mixup and regularisation\.cutmix to 0"):
        learner().mixed(targets([0]), Mix(torch.tensor([0]), 0.5))  # type: ignore[arg-type]
    assert not closed_form({"detection": TRUTH})


def test_objects_lie_on_what_a_mosaic_shows_of_them() -> None:
    """Each image has an object of a brightness of its own, so what a box encloses says whose it is."""
    random = np.random.default_rng(4)
    corners = np.stack([random.integers(0, 12, 5), random.integers(0, 6, 5)], axis=1) * 2
    boxes = np.concatenate([corners, corners + np.array([8, 6])], axis=1)
    images = torch.zeros(5, 3, 20, 32)
    for image, (left, top, right, bottom) in enumerate(boxes.tolist()):
        images[image, :, top:bottom, left:right] = image + 1
    truth = BoxLabels.of([([box], [image % 2]) for image, box in enumerate(boxes.tolist())], NAMES)
    known = learner().targets(truth, np.arange(5), [Placement.of_decoding((32, 20))] * 5)
    made, how = mix({IMAGES: images}, RegularisationSettings(mosaic=1.0), random)
    assert isinstance(how, Mosaic)
    found = learner().mixed(known, how)
    for image, placed, order in zip(made[IMAGES], found.placed, how.orders.T.tolist(), strict=True):
        assert placed.classes.tolist() == [each % 2 for each in order]
        for (left, top, right, bottom), own in zip(placed.boxes.int().tolist(), order, strict=True):
            assert (image[:, top:bottom, left:right] == own + 1).all() and (right - left, bottom - top) == (4, 3)
        assert (image > 0).sum() == 3 * 4 * 12, "and nothing lies outside of a box"
    assert [len(each.rows) for each in found.inputs] == [1] * 5 and len(found.inputs[0].classes) == 4


def test_an_unknown_loss_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"'gious'\. Did you mean giou"):
        learner(loss="gious")
    assert learner(loss="diou").box_loss == "diou"


def test_views_stay_upright_and_nothing_is_cut_away() -> None:
    truth = {"detection": TRUTH}
    assert augmentation_of("strong", truth).rotation == 0 < augmentation_of("strong", {}).rotation
    crop = Preprocessing(32, 32, 0.9, "bilinear", (0.5,) * 3, (0.5,) * 3)
    assert (fitted(crop, truth).fit, fitted(crop, truth).crop_share) == ("pad", 1.0)


def test_the_input_is_as_large_as_small_objects_need() -> None:
    """9 of 1,000 pixels: 8 of 889 and more, so the first size above that."""
    small = BoxLabels.of([([[10, 10, 19, 40]], [0])], NAMES)
    found = input_size({"detection": small}, np.array([[1000, 700]]))
    assert found is not None and found[0] == 960 and "--size" in found[1]
    assert input_size({}, np.zeros((0, 2), np.int64)) is None
