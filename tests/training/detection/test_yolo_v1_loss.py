"""The loss of YOLO's first version, worked by hand."""

import numpy as np
import pytest
import torch

from pocketvision.tasks.detection.truth import BoxLabels
from pocketvision.training.detection.yolo_v1_loss import asked, yolo_v1_loss

NAMES = ("cat", "dog")


def truth(boxes: list[list[float]], classes: list[int], **flags: list[bool]) -> BoxLabels:
    columns = {"boxes": np.reshape(np.array(boxes, np.float64), (-1, 4)), "classes": np.array(classes)}
    return BoxLabels.flat(
        np.array([0, len(boxes)]), {**columns, **{name: np.array(each) for name, each in flags.items()}}, NAMES
    )


def worked() -> tuple[dict[str, torch.Tensor], BoxLabels]:
    """2 x 2 cells of 50 px; a dog, 36 wide and 25 high, with its centre at 25, 40: in the first cell at 0.5, 0.8."""
    cells = torch.zeros(1, 2, 2, 12)
    cells[0, 0, 0] = torch.tensor([0.5, 0.8, 0.2, 0.2, 0.4, 0.4, 0.8, 0.6, 0.5, 0.7, 0.2, 0.9])
    cells[0, 1, 1, 4] = 0.6
    return {"predictions": cells, "sides": torch.tensor([[100.0, 100.0]])}, truth([[7, 27.5, 43, 52.5]], [1])


def test_the_loss_by_hand() -> None:
    outputs, dog = worked()
    parts = yolo_v1_loss(outputs, [dog])
    # The second box has the dog's sides, 5 px to the left of it: it overlaps by 31 / 41, the first, 4 x 4 px, by 16 / 900.
    assert parts["place"].item() == pytest.approx(5 * 0.1**2)
    assert parts["object"].item() == pytest.approx((0.7 - 31 / 41) ** 2)
    assert parts["empty"].item() == pytest.approx(0.5 * (0.4**2 + 0.6**2))
    assert parts["class"].item() == pytest.approx(0.2**2 + 0.1**2)


def test_sides_count_by_their_square_roots() -> None:
    outputs, dog = worked()
    outputs["predictions"][0, 0, 0, 5:9] = torch.tensor([0.5, 0.8, 0.7, 0.5])  # 0.49 wide in place of 0.36
    assert yolo_v1_loss(outputs, [dog])["place"].item() == pytest.approx(5 * 0.1**2)


def test_it_is_the_mean_over_images_and_one_without_objects_asks_for_no_confidence() -> None:
    outputs, dog = worked()
    twice = {name: each.repeat(2, *[1] * (each.ndim - 1)) for name, each in outputs.items()}
    alone, both = yolo_v1_loss(outputs, [dog]), yolo_v1_loss(twice, [dog, truth([], [])])
    for name in ("place", "object", "class"):
        assert both[name].item() == pytest.approx(alone[name].item() / 2)
    assert both["empty"].item() == pytest.approx((alone["empty"].item() + 0.5 * (0.4**2 + 0.7**2 + 0.6**2)) / 2)


def test_the_overlap_that_is_asked_for_does_not_learn() -> None:
    """It is a target: the gradient of the confidence's part reaches the confidence alone."""
    outputs, dog = worked()
    outputs["predictions"].requires_grad_()
    yolo_v1_loss(outputs, [dog])["object"].backward()  # type: ignore[no-untyped-call]
    gradient = outputs["predictions"].grad
    assert gradient is not None and torch.nonzero(gradient).tolist() == [[0, 0, 0, 9]]


def test_a_cell_answers_for_the_largest_object_in_it() -> None:
    several = truth([[0, 0, 10, 10], [0, 0, 30, 30], [60, 60, 90, 70], [90, 20, 140, 40]], [0, 1, 0, 0])
    found = asked(several, (2, 2), (100, 100))
    assert list(zip(found.rows.tolist(), found.columns.tolist(), found.objects.tolist(), strict=True)) == [
        (0, 0, 1),
        (1, 1, 2),
    ]


def test_crowds_and_difficult_objects_are_not_asked_for() -> None:
    uncounted = truth([[0, 0, 30, 30], [60, 60, 90, 90]], [0, 0], crowd=[True, False], difficult=[False, True])
    assert len(asked(uncounted, (2, 2), (100, 100)).objects) == 0
