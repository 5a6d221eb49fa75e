"""The answer that every detector must beat, worked by hand."""

import numpy as np
import pytest

from pocketvision.errors import PocketVisionError
from pocketvision.tasks.detection.baseline import constant_boxes, figures, records_of
from pocketvision.tasks.detection.truth import BoxLabels

NAMES = ("cat", "dog", "owl")


def boxes(*rows: tuple[float, float, float, float]) -> list[list[float]]:
    """From centre and sides."""
    return [[x - width / 2, y - height / 2, x + width / 2, y + height / 2] for x, y, width, height in rows]


TRUTH = BoxLabels.of(
    [
        (boxes((30, 50, 20, 40), (50, 50, 20, 40)), [0, 0]),
        (boxes((80, 100, 80, 160), (100, 40, 20, 20)), [0, 1]),
        ([], []),
        (boxes((60, 50, 21, 40)), [0]),
    ],
    NAMES,
)
SIZES = np.array([[100, 100], [200, 200], [50, 50], [100, 100]])


def test_the_most_frequent_size_stands_at_the_mean_place() -> None:
    """Three cats of four are about 0.2 x 0.4 of their pictures, and their centres at 0.3, 0.5, 0.4 and 0.6 across."""
    baseline = constant_boxes(TRUTH, SIZES)
    assert baseline.classes.tolist() == [0, 1]  # nobody saw an owl
    assert baseline.boxes[0].tolist() == pytest.approx([0.45 - 0.1, 0.5 - 0.2, 0.45 + 0.1, 0.5 + 0.2])
    assert baseline.boxes[1].tolist() == pytest.approx([0.45, 0.15, 0.55, 0.25])
    assert baseline.scores.tolist() == [0.75, 0.25]
    answer = baseline.answer((200, 100))
    assert answer.names == ["cat", "dog"]
    assert answer.boxes.flatten().tolist() == pytest.approx([70, 30, 110, 70, 90, 15, 110, 25])


def test_its_average_precision() -> None:
    """One image where it is right, one where it is beside: of two cats one is found at the first of two places."""
    baseline = constant_boxes(TRUTH, SIZES)
    seen = BoxLabels.of([(boxes((45, 50, 20, 40)), [0]), (boxes((10, 10, 20, 20)), [0])], ("cat",))
    found = figures(records_of(baseline, seen, np.array([[100, 100], [100, 100]])), len(NAMES))
    # Precision 1 up to a recall of 0.5: 51 of 101 points, at every overlap.
    assert found.ap == pytest.approx(51 / 101) and found.ap50 == pytest.approx(51 / 101)
    near = BoxLabels.of([(boxes((45, 50, 20, 64)), [0])], ("cat",))  # 40 / 64: right up to 0.6
    found = figures(records_of(baseline, near, np.array([[100, 100]])), len(NAMES))
    assert found.ap == pytest.approx(0.3) and found.ap50 == 1


def test_crowds_and_difficult_objects_are_not_counted() -> None:
    columns = {"boxes": np.array(boxes((20, 20, 10, 10), (50, 50, 40, 40))), "classes": np.array([0, 0])}
    for flag in ("crowd", "difficult"):
        uncounted = {flag: np.array([False, True])}
        baseline = constant_boxes(
            BoxLabels.flat(np.array([0, 2]), {**columns, **uncounted}, NAMES), np.array([[100, 100]])
        )
        assert baseline.boxes.flatten().tolist() == pytest.approx([0.15, 0.15, 0.25, 0.25])


def test_without_objects_there_is_no_baseline() -> None:
    with pytest.raises(PocketVisionError, match="None of the 1 images has any object"):
        constant_boxes(BoxLabels.of([([], [])], NAMES), np.array([[10, 10]]))
