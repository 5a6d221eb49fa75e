"""Large pictures in overlapping tiles, and pictures looked at in two scales: one mask without seams, in bounded memory."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from pocketvision.errors import UsageError
from pocketvision.preprocessing import Placement, Preprocessing
from pocketvision.preprocessing.decoding import decode_image
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.segmentation import merging
from pocketvision.tasks.segmentation.answer import Segmentation
from pocketvision.tasks.segmentation.decode import decode
from pocketvision.tasks.segmentation.merging import MergedMask
from pocketvision.tasks.segmentation.task import SEGMENTATION
from pocketvision.tasks.segmentation.tiles import Tiling, asked, starts
from pocketvision.tasks.task import Detail, ViewOptions
from pocketvision.tasks.viewing import Viewing

TASK = TaskManifest("segmentation", ("sky", "road", "tree"), {"logits": "logits"})
STRETCH = Preprocessing(32, 32, 1.0, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), fit="stretch")


def looked_at(size: tuple[int, int], tiling: Tiling, preprocessing: Preprocessing = STRETCH) -> list[Placement]:
    found = []
    for left, top, right, bottom in tiling.windows(size):
        shift = np.array([[1.0, 0, -left], [0, 1.0, -top], [0, 0, 1.0]])
        found.append(preprocessing.placement(Placement.of_decoding(size).then(shift, (right - left, bottom - top))))
    return found


def middles(placement: Placement, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """Down (cells, 1) and across (cells) in pixels of the image, of an input's logits."""
    back = np.linalg.inv(placement.matrix)
    places = (np.arange(cells) + 0.5) * placement.input_size[0] / cells
    return (places * back[1, 1] + back[1, 2])[:, None], places * back[0, 0] + back[0, 2]


def waves(down: np.ndarray, across: np.ndarray) -> np.ndarray:
    """(3, h, w) of a picture whose classes lie in large waves."""
    return np.stack(
        [np.sin(down / 9) + 0 * across, np.cos(across / 7) + 0 * down, 0.3 * np.sin((down + across) / 11)]
    ).astype(np.float32)


def merged(placements: list[Placement], answers: list[np.ndarray], task: TaskManifest = TASK) -> Segmentation:
    merging = MergedMask(placements, task, Detail())
    for placement, values in zip(placements, answers, strict=True):
        merging.add({"logits": values[None]}, placement)
    return merging.answer()


def test_windows_cover_the_image_and_overlap() -> None:
    assert Tiling().windows((50, 40)) == [(0, 0, 50, 40)] and not Tiling().several
    assert Tiling(64).windows((50, 40)) == [(0, 0, 50, 40)] and Tiling(64).several
    tops = starts(1000, 100)
    assert tops[0] == 0 and tops[-1] == 900 and 65 <= min(np.diff(tops)) <= max(np.diff(tops)) <= 75
    seen = np.zeros((300, 70), int)
    for left, top, right, bottom in Tiling(64).windows((70, 300)):
        assert (right - left, bottom - top) == (64, 64)
        seen[top:bottom, left:right] += 1
    assert seen.min() == 1 and seen.max() > 1
    two = Tiling(scales=(1.0, 1.5)).windows((60, 48))
    assert two[0] == (0, 0, 60, 48) and [(each[2] - each[0], each[3] - each[1]) for each in two[1:]] == [(40, 32)] * 4


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
def test_one_window_says_what_is_said_without(fit: str) -> None:
    preprocessing = replace(STRETCH, fit=fit)  # type: ignore[arg-type]
    placements = looked_at((61, 47), Tiling(), preprocessing)
    values = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)
    expected = decode({"logits": values}, placements, TASK, Detail())[0]
    found = merged(placements, [values[0]])
    assert (found.mask == expected.mask).all() and found.certainty == expected.certainty


@pytest.mark.parametrize("tiling", [Tiling(40), Tiling(None, (1.0, 1.5)), Tiling(48, (1.0, 2.0))])
def test_tiles_say_what_one_look_would(tiling: Tiling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "AT_ONCE", 200)  # a row of the grid at once
    size = 150, 110
    placements = looked_at(size, tiling)
    found = merged(placements, [waves(*middles(each, 32)) for each in placements])
    truth = waves(np.arange(110)[:, None] + 0.5, np.arange(150) + 0.5)
    best = np.sort(truth, axis=0)
    clear = best[-1] - best[-2] > 0.15  # a coarser look may say something else at borders
    assert found.mask is not None and clear.mean() > 0.8 and (found.mask == truth.argmax(axis=0))[clear].all()
    assert found.shares.sum() == pytest.approx(1) and found.certainty is not None and 0 < found.certainty < 1


def test_no_seam_is_seen_where_tiles_are_wrong_at_their_edges() -> None:
    """Every tile says tree along its edges, as networks go wrong where they see less around."""
    size = 140, 140
    placements = looked_at(size, Tiling(64))
    answers = []
    for placement in placements:
        values = waves(*middles(placement, 32))
        edge = np.ones((32, 32), np.bool_)
        edge[3:-3, 3:-3] = False
        answers.append(values + 3 * edge * np.array([0, 0, 1], np.float32)[:, None, None])
    found = merged(placements, answers).mask
    truth = waves(np.arange(140)[:, None] + 0.5, np.arange(140) + 0.5).argmax(axis=0)
    assert found is not None
    inside = (slice(8, -8), slice(8, -8))
    assert (found[inside] != truth[inside]).mean() < 0.02  # the same as a plain mean of the overlaps: below
    plain = np.zeros((3, 140, 140))
    counts = np.zeros((140, 140))
    for placement, values in zip(placements, answers, strict=True):
        top, left = (round(-placement.matrix[axis, 2] / placement.matrix[axis, axis]) for axis in (1, 0))
        plain[:, top : top + 64, left : left + 64] += values.repeat(2, 1).repeat(2, 2)
        counts[top : top + 64, left : left + 64] += 1
    assert ((plain / counts).argmax(axis=0)[inside] != truth[inside]).mean() > 0.05


def test_both_scales_count_the_same() -> None:
    placements = looked_at((64, 64), Tiling(None, (1.0, 2.0)))
    usual, twice = (np.full((3, 16, 16), 0, np.float32) for _ in range(2))
    usual[0], twice[1] = 2.0, 1.0
    found = merged(placements, [usual, *[twice] * (len(placements) - 1)])
    assert found.logits is not None
    assert np.abs(found.logits.values - np.array([1.0, 0.5, 0])[:, None, None]).max() < 1e-5


def test_memory_is_that_of_the_mask_and_a_band_of_tiles() -> None:
    """A picture of 4 million pixels in 11 classes: all its logits in float32 would be 176 MB."""
    size, task = (2000, 2000), replace(TASK, labels=tuple(map(str, range(11))))
    placements = looked_at(size, Tiling(256), replace(STRETCH, width=256, height=256))
    values = np.zeros((1, 11, 64, 64), np.float32)
    values[:, 3, :, 40:] = values[:, 7, 20:, :40] = 5
    found = MergedMask(placements, task, Detail())
    tracemalloc.start()
    try:
        for placement in placements:
            found.add({"logits": values}, placement)
        answer = found.answer()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert answer.mask is not None and answer.mask.shape == (2000, 2000) and answer.shares.sum() == pytest.approx(1)
    assert answer.logits is not None and answer.logits.values.size <= merging.KEPT
    assert peak < 50e6, f"{peak / 1e6:.0f} MB"


def test_logits_that_are_kept_are_means_of_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "KEPT", 3 * 8 * 8)
    placements = looked_at((60, 60), Tiling(32))
    answers = [waves(*middles(each, 16)) for each in placements]
    found = merged(placements, answers)
    assert found.logits is not None and found.logits.values.shape == (3, 8, 8) and found.logits.size == (60, 60)
    truth = waves(np.arange(60)[:, None] + 0.5, np.arange(60) + 0.5)
    rows = np.arange(60) // 8  # four cells of 2 pixels
    mean = np.stack(
        [[truth[:, rows == down][:, :, rows == across].mean(axis=(1, 2)) for across in range(8)] for down in range(8)]
    )
    assert np.abs(found.logits.values - mean.transpose(2, 0, 1)).max() < 0.2


def test_an_image_is_cut_only_where_the_bundle_says_so() -> None:
    picture = decode_image(np.random.default_rng(0).integers(0, 256, (80, 100, 3)).astype(np.uint8))
    views = SEGMENTATION.views
    assert views is not None and not views.several(TASK)
    task = asked(TASK, ViewOptions(tile=40, scales=(1.0, 1.5)))
    assert views.several(task) and task.postprocessing == {"tile": 40, "scales": [1.0, 1.5]}
    viewing = Viewing({"segmentation": task}, picture, STRETCH, Detail())
    count = 0
    for pixels in viewing.batches(4):
        assert len(pixels) <= 4 and all(np.asarray(each).shape == (32, 32, 3) for each in pixels)
        viewing.add({"logits": np.zeros((len(pixels), 3, 8, 8), np.float32)})
        count += len(pixels)
    assert count == len(viewing) == len(Tiling(40, (1.0, 1.5)).windows((100, 80))) > 16
    assert viewing.outputs["logits"].shape == (1, 3, 8, 8) and viewing.answers()["segmentation"].headline == "sky 100%"
    assert asked(task, ViewOptions(tile=0)).postprocessing == {"scales": [1.0, 1.5]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"tile": 3},
        {"tile": "x"},
        {"scales": []},
        {"scales": [0.5]},
        {"scales": [1, 1]},
        {"scales": 2},
        {"scales": ["a"]},
    ],
)
def test_tiles_that_are_none_are_refused(wrong: dict[str, object]) -> None:
    assert SEGMENTATION.check is not None
    with pytest.raises(ValueError, match=r"tile|scales"):
        SEGMENTATION.check(replace(TASK, postprocessing=wrong))
    if isinstance(wrong.get("tile"), int):
        with pytest.raises(UsageError, match="expected 32 pixels or more"):
            asked(TASK, ViewOptions(tile=3))
