"""SSD's matching, mining and loss: worked by hand, and as torchvision's code has them."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torchvision.models.detection import ssd as theirs
from torchvision.models.detection._utils import BoxCoder, SSDMatcher
from torchvision.ops import box_iou

from pocketvision.models.heads.detection.default_boxes import SSD_LITE
from pocketvision.models.heads.detection.ssd import moved
from pocketvision.tasks.detection.overlap import ious
from pocketvision.tasks.detection.truth import BoxLabels
from pocketvision.training.detection import ssd_loss as ssd_loss_file
from pocketvision.training.detection.ssd_loss import BACKGROUND, LEFT_OUT, hard_negatives, matched, offsets_of, ssd_loss

NAMES = ("cat", "dog")
DEFAULTS = np.array([[0, 0, 10, 10], [10, 0, 20, 10], [0, 0, 20, 10], [50, 50, 60, 60]], np.float64)


def truth(boxes: list[list[float]], classes: list[int] | None = None, **flags: list[bool]) -> BoxLabels:
    columns = {
        "boxes": np.reshape(np.array(boxes, np.float64), (-1, 4)),
        "classes": np.array(classes or [0] * len(boxes)),
    }
    return BoxLabels.flat(
        np.array([0, len(boxes)]), {**columns, **{name: np.array(each) for name, each in flags.items()}}, NAMES
    )


def test_the_best_box_answers_and_others_from_half_on() -> None:
    # IoU with the default boxes: 0.8, 0, 0.4, 0 and 0.05, 0, 0.025, 0 (5 / 100, 5 / 200).
    assert matched(DEFAULTS, truth([[0, 0, 10, 8]])).tolist() == [0, -1, -1, -1]
    assert matched(DEFAULTS, truth([[0, 0, 1, 5]])).tolist() == [0, -1, -1, -1]
    # 0.5 with the first two, 1 with the third.
    assert matched(DEFAULTS, truth([[0, 0, 20, 10]])).tolist() == [0, 0, 0, -1]


def test_two_objects_do_not_share_a_box() -> None:
    """The first default box is the best of both: IoU 0.9 and 0.8. The second object gets the next best of what is left."""
    assert matched(DEFAULTS, truth([[0, 0, 10, 8], [0, 0, 10, 9]])).tolist() == [1, -1, 0, -1]


def test_an_object_that_no_box_overlaps_has_none() -> None:
    assert matched(DEFAULTS, truth([[100, 100, 110, 110]])).tolist() == [-1] * 4
    assert matched(DEFAULTS, truth([])).tolist() == [-1] * 4


def test_thousands_of_objects_are_matched_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Part by part, each object to the best box that is free, as over the table of all pairs."""
    random = np.random.default_rng(0)
    corner = random.integers(0, 60, (700, 2)).astype(np.float64)
    boxes = np.concatenate([corner, corner + random.integers(2, 20, (700, 2))], axis=1)
    defaults, objects = boxes[:200], boxes[200:]
    overlaps = ious(defaults, objects)
    expected = np.where(overlaps.max(axis=1) >= 0.5, overlaps.argmax(axis=1), BACKGROUND)
    for _ in range(len(defaults)):
        place, column = np.unravel_index(overlaps.argmax(), overlaps.shape)
        if overlaps[place, column] <= 0:
            break
        expected[place] = column
        overlaps[place], overlaps[:, column] = -1, -1
    monkeypatch.setattr(ssd_loss_file, "AT_ONCE", 200 * 7)
    assert matched(defaults, truth(objects.tolist())).tolist() == expected.tolist()


def test_crowds_and_difficult_objects_are_left_out() -> None:
    crowd = truth([[0, 0, 40, 40]], crowd=[True])
    assert matched(DEFAULTS, crowd).tolist() == [LEFT_OUT, LEFT_OUT, LEFT_OUT, BACKGROUND]
    difficult = truth([[50, 50, 60, 60], [0, 0, 10, 10]], difficult=[True, False])
    assert matched(DEFAULTS, difficult).tolist() == [1, BACKGROUND, 1, LEFT_OUT]  # the third by 0.5 exactly


def test_the_loss_by_hand() -> None:
    """One object of one class, eight default boxes in a row, of which the first answers for it."""
    defaults = torch.tensor([[5.0 + 20 * place, 5, 10, 10] for place in range(8)])
    offsets, logits = torch.zeros(8, 4), torch.zeros(8, 2)
    offsets[0] = torch.tensor([3.0, 0.5, 0.0, 0.0])
    logits[:, 1] = torch.tensor([2.0, -9, 1, -9, 3, -9, 0, -9])
    outputs = {"offsets": offsets[None], "class_logits": logits[None], "default_boxes": defaults[None]}
    parts = ssd_loss(outputs, [truth([[1, 0, 11, 10]])])
    # Its centre is a tenth of a side to the right: asked for is 1, 0, 0, 0. Off by 2 and by 0.5: 2 - 0.5 and 0.5 * 0.25.
    assert parts["place"].item() == pytest.approx(1.5 + 0.125)
    # The object says log(1 + e^-2); the three worst of the background have logits of 3, 1 and 0.
    worst = [math.log1p(math.exp(each)) for each in (-2, 3, 1, 0)]
    assert parts["class"].item() == pytest.approx(sum(worst))


def test_sums_are_over_the_boxes_that_answer() -> None:
    defaults = torch.tensor([[5.0 + 20 * place, 5, 10, 10] for place in range(8)])
    outputs = {
        "offsets": torch.zeros(2, 8, 4),
        "class_logits": torch.zeros(2, 8, 3),
        "default_boxes": defaults.expand(2, -1, -1),
    }
    both = [truth([[1, 0, 11, 10], [20, 0, 30, 10]], [0, 1]), truth([])]
    parts = ssd_loss(outputs, both)
    assert parts["place"].item() == pytest.approx(0.5 / 2)
    assert parts["class"].item() == pytest.approx((2 + 6 + 3) * math.log(3) / 2)
    nothing = ssd_loss(outputs, [truth([]), truth([])])
    assert nothing["place"] == 0
    assert nothing["class"].item() == pytest.approx(6 * math.log(3))  # three of each background


def test_mining_takes_the_worst_of_each_image_and_never_what_is_left_out() -> None:
    losses = torch.tensor([[9.0, 1, 5, 2, 3, 4, 8], [1.0, 2, 3, 4, 5, 6, 7]])
    answers = torch.tensor([[0, -1, -1, -1, -1, -1, LEFT_OUT], [-1, -1, -1, -1, -1, -1, -1]])
    assert torch.nonzero(hard_negatives(losses, answers)).tolist() == [[0, 2], [0, 4], [0, 5], [1, 4], [1, 5], [1, 6]]
    few = torch.tensor([[0, 0, 0, -1, -1, LEFT_OUT, LEFT_OUT]])
    assert torch.nonzero(hard_negatives(losses[:1], few))[:, 1].tolist() == [3, 4]


def test_offsets_bring_the_boxes_back() -> None:
    defaults = torch.from_numpy(SSD_LITE.boxes([(2, 2)] * 6, (64, 64)))[:5]
    boxes = torch.tensor([[1.0, 2, 30, 50], [0, 0, 64, 64], [5, 5, 6, 6], [10, 20, 21, 22], [3, 1, 4, 60]])
    torch.testing.assert_close(moved(defaults, offsets_of(boxes, defaults)), boxes, rtol=0, atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_is_torchvisions(seed: int) -> None:
    """On objects of which no two have the same best box: there its matcher lets the last one win."""
    draw, torch_draw = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    defaults = torch.from_numpy(SSD_LITE.boxes([(6, 6), (3, 3), (2, 2), (1, 1), (1, 1), (1, 1)], (96, 96)))
    corners = moved(defaults, torch.zeros_like(defaults))
    truths = []
    for _ in range(3):
        centres = np.array([[20, 20], [70, 30], [30, 72]]) + draw.uniform(-8, 8, (3, 2))
        sides = draw.uniform(10, 40, (3, 2))
        boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
        truths.append(truth(boxes.tolist(), draw.integers(0, 2, 3).tolist()))
    offsets = torch.randn(3, len(defaults), 4, generator=torch_draw)
    logits = torch.randn(3, len(defaults), 3, generator=torch_draw)
    targets = [
        {"boxes": torch.from_numpy(each.boxes).float(), "labels": torch.from_numpy(each.classes.astype(np.int64) + 1)}
        for each in truths
    ]
    answers = [SSDMatcher(0.5)(box_iou(each["boxes"], corners)) for each in targets]
    for each, own in zip(truths, answers, strict=True):
        assert (
            np.where(matched(corners.numpy(), each) >= 0, matched(corners.numpy(), each), -1).tolist() == own.tolist()
        )
    wanted = theirs.SSD.compute_loss(
        SimpleNamespace(box_coder=BoxCoder((10.0, 10.0, 5.0, 5.0)), neg_to_pos_ratio=3.0),
        targets,
        {"bbox_regression": offsets, "cls_logits": logits},
        [corners] * 3,
        answers,
    )
    found = ssd_loss({"offsets": offsets, "class_logits": logits, "default_boxes": defaults.expand(3, -1, -1)}, truths)
    torch.testing.assert_close(found["place"], wanted["bbox_regression"])
    torch.testing.assert_close(found["class"], wanted["classification"])
