"""Doubtful regions of masks, worked by hand."""

import numpy as np
import pytest

from pocketvision.preprocessing import Placement
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.segmentation.answer import Segmentation
from pocketvision.tasks.segmentation.doubting import DOUBTING, cells
from pocketvision.tasks.segmentation.doubts import doubts_of, look, touching
from pocketvision.tasks.segmentation.logits import Logits
from pocketvision.tasks.segmentation.truth import NOTHING, MaskLabels

NAMES = ("road", "grass", "sky")
TASK = TaskManifest("segmentation", NAMES, {"logits": "logits"})


def evidence(drawn: np.ndarray, said: np.ndarray, sure: float = 10.0):  # type: ignore[no-untyped-def, type-arg]
    """Of a mask (h, w) and the classes that are answered, by so many logits."""
    height, width = drawn.shape
    values = np.where(np.arange(3)[:, None, None] == said, sure, 0).astype(np.float32)
    logits = Logits(values, Placement((width, height), np.eye(3), (width, height)))
    answer = Segmentation(NAMES, (width, height), np.zeros(3), said.astype(np.uint8), 1.0, logits)
    return look({}, answer, MaskLabels.of_arrays([drawn.astype(np.uint8)], NAMES), TASK)


def test_regions_are_told_the_largest_doubt_first() -> None:
    drawn = np.zeros((20, 30), np.int64)
    small, large = drawn.copy(), drawn.copy()
    small[2:5, 3:6] = 1  # 9 pixels, of which one is inside
    large[10:20, 20:30] = 2  # 100, of which 81 are: beyond the image is as within
    found = doubts_of([evidence(drawn, small), evidence(drawn, large)], TASK)
    assert [(each.image, each.drawn, each.answered, each.box) for each in found] == [
        (1, "road", "sky", (20, 10, 30, 20)),
        (0, "road", "grass", (3, 2, 6, 5)),
    ]
    assert [each.share for each in found] == pytest.approx([100 / 600, 9 / 600])
    assert found[0].doubt == pytest.approx((np.exp(10) - 1) / (np.exp(10) + 2), abs=1e-5)
    assert found[0].core == pytest.approx(81 / 600)
    assert cells(found[1])[:6] == ["road", "grass", 3, 2, 6, 5]
    told = DOUBTING.lines(found, [evidence(drawn, small), evidence(drawn, large)])
    assert told == ("2 regions of 2 of 2 masks may be drawn wrong: 9.1% of all pixels.",)


def test_borders_unsure_answers_and_what_nobody_drew_are_no_regions() -> None:
    drawn = np.zeros((20, 30), np.int64)
    border, block = drawn.copy(), drawn.copy()
    border[:, 10:12] = 1
    block[5:10, 5:10] = 1
    assert evidence(drawn, border).regions == ()
    assert evidence(drawn, block, sure=1.0).regions == ()  # 0.58 against 0.21
    unknown = drawn.copy()
    unknown[5:10, 5:10] = NOTHING
    assert evidence(unknown, block).regions == () and evidence(unknown, block).known == 575


def test_large_images_are_looked_at_on_a_grid() -> None:
    drawn, said = np.zeros((600, 1024), np.int64), np.zeros((600, 1024), np.int64)
    said[100:200, 512:1024] = 1
    (region,) = evidence(drawn, said).regions
    assert region.box == pytest.approx((512, 100, 1024, 200), abs=4)
    assert region.share == pytest.approx(100 * 512 / (600 * 1024), rel=0.05)


def test_what_touches_is_one_region() -> None:
    values = np.array([[1, 1, 0, 2], [0, 1, 0, 2], [1, 0, 1, 1], [1, 1, 1, 0]])
    assert touching(values).tolist() == [[1, 1, 0, 2], [0, 1, 0, 2], [3, 0, 3, 3], [3, 3, 3, 0]]
    assert touching(np.ones((2, 3), np.int64)).tolist() == [[1] * 3] * 2
    assert touching(np.zeros((2, 3), np.int64)).max() == 0
    ring = np.ones((3, 3), np.int64)
    ring[1, 1] = 0
    assert len(np.unique(touching(ring))) == 2
