"""DETR's matching and loss against worked examples."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from pocketvision.tasks.detection.truth import BoxLabels
from pocketvision.training.detection.detr_loss import costs, detr_loss, matched

NAMES = ("cat",)
MIDDLE = [0.5, 0.5, 0.4, 0.4]
OBJECT = ([[60.0, 30, 140, 70]], [0])
"""MIDDLE in an input of 200 x 100."""


def test_the_cost_of_a_pair_by_hand() -> None:
    """Of two queries (rows) and two objects of the classes 0 and 1 (columns).

    The same box: 0 apart. Half of the width: 5 * 0.2 in L1, an IoU of a half, nothing around both that neither covers: 2 * 0.5.
    Opposite corners: 5 * 1.6 in L1, no overlap, and 0.92 of what is around both is empty: 2 * 1.92.
    """
    shares = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1]])
    boxes, objects = torch.tensor([MIDDLE, [0.1, 0.1, 0.2, 0.2]]), torch.tensor([MIDDLE, [0.5, 0.5, 0.2, 0.4]])
    found = costs(shares, boxes, torch.tensor([0, 1]), objects)
    assert found[0].tolist() == pytest.approx([-0.6, -0.3 + 1 + 1])
    far = costs(shares, boxes, torch.tensor([0]), torch.tensor([[0.9, 0.9, 0.2, 0.2]]))
    assert far[1, 0].item() == pytest.approx(-0.2 + 8 + 3.84)


def test_pairs_are_the_cheapest_together_not_one_by_one() -> None:
    """The best pair, 0.5, would leave 0.1 to the other; crosswise it is 0.45 twice. A third query has nothing."""
    shares = torch.tensor([[0.5, 0.45, 0.05], [0.45, 0.1, 0.45], [0.0, 0.0, 1.0]])
    boxes = torch.tensor([MIDDLE] * 3)
    queries, objects = matched(shares, boxes, torch.tensor([0, 1]), torch.tensor([MIDDLE] * 2))
    assert dict(zip(queries.tolist(), objects.tolist(), strict=True)) == {0: 1, 1: 0}


def test_a_box_decides_where_classes_do_not() -> None:
    shares, objects = torch.full((2, 2), 0.5), torch.tensor([MIDDLE, [0.1, 0.1, 0.2, 0.2]])
    queries, own = matched(shares, objects.flip(0), torch.tensor([0, 0]), objects)
    assert dict(zip(queries.tolist(), own.tolist(), strict=True)) == {0: 1, 1: 0}


def test_more_objects_than_queries_leave_some_without() -> None:
    queries, own = matched(torch.ones(1, 2), torch.tensor([MIDDLE]), torch.zeros(3).long(), torch.tensor([MIDDLE] * 3))
    assert len(queries) == len(own) == 1


def outputs() -> dict[str, Tensor]:
    """Of one image: the first query half as wide as MIDDLE and undecided, the second elsewhere and three to one for nothing. The
    one earlier layer says the same."""
    logits = torch.tensor([[[0.0, 0.0], [0.0, math.log(3)]]])
    boxes = torch.tensor([[[0.5, 0.5, 0.2, 0.4], [0.1, 0.1, 0.1, 0.1]]])
    return {
        "query_logits": logits,
        "query_boxes": boxes,
        "auxiliary_logits": logits[:, None],
        "auxiliary_boxes": boxes[:, None],
        "sides": torch.tensor([[200.0, 100]]),
    }


def test_the_loss_by_hand() -> None:
    parts = detr_loss(outputs(), [BoxLabels.of([OBJECT], NAMES)])
    assert parts.keys() == {"class", "place", "overlap"}
    # A mean by weight: 1 for the query that answers, 0.1 for the one that is to say nothing; twice, for two layers.
    assert parts["class"].item() == pytest.approx(2 * (math.log(2) + 0.1 * math.log(4 / 3)) / 1.1)
    assert parts["place"].item() == pytest.approx(2 * 5 * 0.2)
    assert parts["overlap"].item() == pytest.approx(2 * 2 * 0.5)


def test_each_layer_is_matched_by_itself() -> None:
    """The earlier layer has its answers in the other order, and pays the same."""
    said, wanted = outputs(), detr_loss(outputs(), [BoxLabels.of([OBJECT], NAMES)])
    for role in ("auxiliary_logits", "auxiliary_boxes"):
        said[role] = said[role].flip(2)
    found = detr_loss(said, [BoxLabels.of([OBJECT], NAMES)])
    assert {name: each.item() for name, each in found.items()} == pytest.approx(
        {name: each.item() for name, each in wanted.items()}
    )


def test_boxes_are_by_the_objects_of_the_whole_batch() -> None:
    said = {name: torch.cat([each, each]) for name, each in outputs().items()}
    truths = [BoxLabels.of([row], NAMES) for row in (OBJECT, ([], []))]
    parts = detr_loss(said, truths)
    assert parts["place"].item() == pytest.approx(2 * 5 * 0.2)
    # The second image's queries are both to say nothing.
    one, other = math.log(2), math.log(4 / 3)
    assert parts["class"].item() == pytest.approx(2 * (one + 0.1 * other + 0.1 * (one + other)) / 1.3)
    assert detr_loss(outputs(), truths[1:])["place"].item() == 0


def test_crowds_and_difficult_objects_are_not_asked_for() -> None:
    columns = {
        "boxes": np.array([OBJECT[0][0]] * 2),
        "classes": np.zeros(2, np.int64),
        "crowd": np.array([True, False]),
        "difficult": np.array([False, True]),
    }
    parts = detr_loss(outputs(), [BoxLabels.flat(np.array([0, 2]), columns, NAMES)])
    assert parts["place"].item() == parts["overlap"].item() == 0


def test_what_is_no_number_is_left_to_the_loss_to_say() -> None:
    said = outputs()
    said["query_boxes"] = said["query_boxes"] * float("nan")
    assert detr_loss(said, [BoxLabels.of([OBJECT], NAMES)])["place"].isnan()
