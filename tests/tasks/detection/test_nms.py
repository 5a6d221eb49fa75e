"""Suppression is the greedy one: what stays is far enough apart, and what goes has a better one nearby."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import batched_nms

from pocketvision.tasks.detection.nms import surviving
from pocketvision.tasks.detection.overlap import ious

IOU = 0.48713
"""No two boxes of whole pixels overlap by nearly so much that rounding could tell."""

rows = st.lists(
    st.tuples(
        *(st.integers(0, 30) for _ in range(2)),
        *(st.integers(0, 25) for _ in range(2)),
        st.integers(0, 9),
        st.integers(0, 2),
    ),
    max_size=90,
)


@settings(deadline=None, max_examples=60)
@given(rows, st.booleans(), st.integers(1, 40))
def test_what_stays_is_what_greed_leaves(drawn: list[tuple[int, ...]], by_class: bool, most: int) -> None:
    values = np.array(drawn, np.float64).reshape(-1, 6)
    boxes = np.concatenate([values[:, :2], values[:, :2] + values[:, 2:4]], axis=1)
    scores, classes = values[:, 4] / 10, values[:, 5].astype(np.int64)
    overlaps = ious(boxes, boxes)
    if by_class:
        overlaps[classes[:, None] != classes] = 0
    wanted: list[int] = []
    for place in np.argsort(-scores, kind="stable").tolist():
        if len(wanted) < most and all(overlaps[place, each] <= IOU for each in wanted):
            wanted.append(place)
    found = surviving(boxes, scores, classes if by_class else None, iou=IOU, most=most)
    assert found.tolist() == wanted


@pytest.mark.parametrize("seed", range(3))
def test_torchvision_leaves_the_same(seed: int) -> None:
    generator = np.random.default_rng(seed)
    corner = generator.random((2500, 2)) * 300
    boxes = np.concatenate([corner, corner + 10 + generator.random((2500, 2)) * 60], axis=1).astype(np.float32)
    scores, classes = generator.random(2500).astype(np.float32), generator.integers(0, 4, 2500)
    whole = batched_nms(torch.tensor(boxes), torch.tensor(scores), torch.tensor(classes), 0.5).numpy()
    assert len(whole) > 300
    assert surviving(boxes, scores, classes, iou=0.5, most=300).tolist() == whole[:300].tolist()


def test_borders_of_what_may_be_asked() -> None:
    boxes = np.array([[0, 0, 4, 4], [0, 0, 4, 4], [9, 9, 9, 9]], np.float32)
    scores = np.array([0.5, 0.5, 0.4], np.float32)
    assert surviving(boxes, scores, None, iou=0.5, most=9).tolist() == [0, 2]
    assert surviving(boxes, scores, None, iou=1.0, most=9).tolist() == [0, 1, 2]
    assert surviving(boxes, scores, np.array([0, 1, 0]), iou=0.5, most=2).tolist() == [0, 1]
    assert surviving(boxes, scores, None, iou=0.5, most=0).tolist() == []
    assert surviving(boxes[:0], scores[:0], None, iou=0.5, most=9).tolist() == []
