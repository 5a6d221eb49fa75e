"""Rows of boxes in another run's order."""

import numpy as np
import pytest

from pocketvision.tasks.detection.agreement import agree
from pocketvision.tasks.detection.ordering import in_order_of
from pocketvision.tasks.detection.task import detecting
from pocketvision.tasks.differences import largest_difference


def said(rows: int = 200, classes: int = 3) -> dict[str, np.ndarray]:
    """Of two images, each row of one class, the last ones next to nothing."""
    generator = np.random.default_rng(0)
    corners = generator.uniform(0, 50, (2, rows, 2))
    boxes = np.concatenate([corners, corners + generator.uniform(5, 50, (2, rows, 2))], axis=2).astype(np.float32)
    scores = np.zeros((2, rows, classes), np.float32)
    best = -np.sort(-generator.uniform(0, 0.9, (2, rows)), axis=1)
    best[:, -20:] = 1e-5
    np.put_along_axis(scores, generator.integers(0, classes, (2, rows, 1)), best[..., None].astype(np.float32), 2)
    return {"boxes": boxes, "scores": scores}


def test_the_same_rows_in_another_order_agree() -> None:
    reference = said()
    order = np.arange(200)
    order[[0, 1, 40, 41, 42]] = [1, 0, 42, 40, 41]
    order[-20:] = order[-20:][::-1]
    other = {name: each[:, order] + np.float32(1e-5) for name, each in reference.items()}
    found = in_order_of(reference, other)
    np.testing.assert_allclose(found["boxes"], reference["boxes"], atol=1e-3)
    np.testing.assert_allclose(found["scores"], reference["scores"], atol=1e-3)
    agreement = agree(reference, other)
    agreement.require("file")
    assert agreement.largest < 1e-4 and agreement.least > 0.999
    tasks = detecting(("one", "two", "three"), {})
    named = [{f"detection.{role}": each for role, each in run.items()} for run in (reference, other)]
    assert largest_difference(tasks, *named) < 1e-4


def test_rows_in_order_stay_as_they_are() -> None:
    reference = said()
    assert in_order_of(reference, reference) is reference


@pytest.mark.parametrize("changed", ["class", "score", "place", "number"])
def test_another_answer_stays_another(changed: str) -> None:
    reference = said()
    other = {name: each.copy() for name, each in reference.items()}
    if changed == "class":
        other["scores"][1, 3] = np.roll(other["scores"][1, 3], 1)
    elif changed == "score":
        other["scores"][1, 3] *= 0.9
    elif changed == "place":
        other["boxes"][1, 3] += 5
    else:
        other["boxes"][1, 3, 0] = np.nan
    agreement = agree(reference, other)
    assert agreement.differing == (1,)
