"""From logits at any stride to the mask of the upright image."""

from dataclasses import replace

import numpy as np
import pytest

from pocketvision.preprocessing import Placement, Preprocessing
from pocketvision.preprocessing.decoding import decode_image
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.segmentation import logits as logits_module
from pocketvision.tasks.segmentation.answer import Segmentation
from pocketvision.tasks.segmentation.decode import check, decode
from pocketvision.tasks.segmentation.logits import Logits
from pocketvision.tasks.segmentation.track import SmoothedMasks
from pocketvision.tasks.segmentation.truth import NOTHING
from pocketvision.tasks.task import Detail, Smoothing

TASK = TaskManifest("segmentation", ("sky", "road", "tree"), {"logits": "logits"})
TWO = replace(TASK, labels=("ground", "crack"))


def answer(values: np.ndarray, placement: Placement, task: TaskManifest = TASK) -> Segmentation:
    return decode({"logits": values[None].astype(np.float32)}, [placement], task, Detail())[0]


def one_hot(mask: np.ndarray, classes: int = 3) -> np.ndarray:
    return np.stack([np.where(mask == place, 5.0, -5.0) for place in range(classes)])


def test_every_pixel_has_the_class_with_the_largest_logit() -> None:
    mask = np.array([[0, 1, 2], [2, 2, 1]], np.uint8)
    found = answer(one_hot(mask), Placement.of_decoding((3, 2)))
    assert (found.mask == mask).all() and found.size == (3, 2)
    assert found.shares.tolist() == pytest.approx([1 / 6, 2 / 6, 3 / 6])
    assert found.headline == "tree 50%, road 33%, sky 17%"
    assert found.confidence == pytest.approx(1 / (1 + 2 * np.exp(-10)), abs=1e-6)


@pytest.mark.parametrize("stride", [1, 4, 8])
def test_logits_between_cells_are_torchs_bilinear_ones(stride: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(logits_module, "_AT_ONCE", 700)  # several bands
    values = np.random.default_rng(stride).normal(size=(3, 5, 7)).astype(np.float32)
    size = (7 * stride, 5 * stride)
    found = np.concatenate([band for _, band in Logits(values, Placement.of_decoding(size)).bands()], axis=1)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(values)[None], size=size[::-1], mode="bilinear", align_corners=False
    )[0].numpy()
    assert found.shape == expected.shape and np.abs(found - expected).max() < 1e-5


def test_what_the_input_does_not_show_is_nothing() -> None:
    picture = np.zeros((20, 40, 3), np.uint8)
    crop = Preprocessing(16, 16, 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    found = answer(one_hot(np.ones((4, 4))), crop.placement(decode_image(picture).placement))
    assert found.mask is not None and found.mask.shape == (20, 40)
    assert (
        (found.mask[:, 10:30] == 1).all()
        and (found.mask[:, :10] == NOTHING).all()
        and (found.mask[:, 30:] == NOTHING).all()
    )
    assert found.shares.tolist() == [0, 0.5, 0]
    letterbox = replace(crop, fit="pad")
    whole = np.zeros((16, 16))
    whole[:4] = whole[12:] = 2  # beside the image
    assert (answer(one_hot(whole), letterbox.placement(decode_image(picture).placement)).mask == 0).all()


def test_thresholds_move_the_border_between_classes() -> None:
    chances = np.array([0.2, 0.4, 0.6, 0.8])
    values = np.log(np.stack([1 - chances, chances]))[:, None]
    place = Placement.of_decoding((4, 1))
    for kept, expected in (
        ({}, [0, 0, 1, 1]),
        ({"crack": 0.3}, [0, 1, 1, 1]),
        ({"ground": 0.3}, [0, 0, 0, 1]),
        ({"crack": 0.0}, [1, 1, 1, 1]),
        ({"crack": 0.75, "ground": 0.25}, [0, 0, 0, 1]),
    ):
        task = replace(TWO, postprocessing={"thresholds": kept})
        assert answer(values, place, task).mask.tolist() == [expected], kept  # type: ignore[union-attr]


@pytest.mark.parametrize("wrong", [{"other": 0.5}, {"crack": 2}, {"crack": "x"}, 3])
def test_thresholds_that_are_none_are_refused(wrong: object) -> None:
    check(TWO)
    with pytest.raises(ValueError, match="thresholds"):
        check(replace(TWO, postprocessing={"thresholds": wrong}))
    with pytest.raises(ValueError, match="expected all"):
        check(replace(TASK, postprocessing={"thresholds": {"sky": 0.5}}))
    with pytest.raises(ValueError, match="classes"):
        check(replace(TASK, labels=("one",)))


def test_what_is_no_number_loses() -> None:
    values = one_hot(np.zeros((2, 2)))
    values[0, 0, 0] = np.nan
    values[1, 1, 1] = np.inf
    assert answer(values, Placement.of_decoding((2, 2))).mask.tolist() == [[1, 0], [0, 1]]  # type: ignore[union-attr]


def test_a_rotated_input_is_refused() -> None:
    turned = Placement((4, 4), np.array([[0, -1, 4], [1, 0, 0], [0, 0, 1]], np.float64), (4, 4))
    with pytest.raises(ValueError, match="rotation"):
        Logits(np.zeros((2, 4, 4), np.float32), turned)


@pytest.mark.parametrize("kind", ["majority", "ema"])
def test_a_flicker_is_smoothed_and_a_change_is_followed(kind: str) -> None:
    place = Placement.of_decoding((2, 2))
    sky, road = (answer(one_hot(np.full((2, 2), each)), place) for each in (0, 1))
    follow = SmoothedMasks(Smoothing(kind, 0.5, 0.1))
    assert follow(0.0, sky).headline == "sky 100%"
    assert follow(0.04, sky).headline == "sky 100%"
    assert follow(0.08, road).headline == "sky 100%"
    assert follow(0.12, sky).headline == "sky 100%"
    shown = [follow(0.12 + 0.04 * frame, road).headline for frame in range(1, 40)]
    assert shown[0] == "sky 100%" and shown[-1] == "road 100%"
    bare = replace(road, logits=None)
    assert follow(9.0, bare) is bare


def test_the_memory_is_that_of_the_mask_and_a_band() -> None:
    """A picture of 5.8 million pixels: logits of all of it in float32 would be 69 MB."""
    import tracemalloc

    values = np.random.default_rng(0).normal(size=(3, 64, 64)).astype(np.float32)
    tracemalloc.start()
    try:
        found = answer(values, Placement((2400, 2400), np.diag([256 / 2400] * 2 + [1.0]), (256, 256)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.mask is not None and found.mask.shape == (2400, 2400) and found.shares.sum() == pytest.approx(1)
    assert peak < 50e6


@pytest.mark.parametrize("smooth", [0, 3])
def test_what_is_not_interpolated_would_say_the_same(smooth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logits_module, "_AT_ONCE", 900)  # several parts
    values = np.random.default_rng(3).normal(size=(4, 9, 11)).astype(np.float32)
    for _ in range(smooth):
        values = (values + np.roll(values, 1, 1) + np.roll(values, 1, 2)) / 3
    placement = Placement((70, 50), np.array([[88 / 70, 0, 1.5], [0, 72 / 50, -2], [0, 0, 1]], np.float64), (88, 72))
    offsets = np.array([0, 0.3, 0, -0.2], np.float32)
    whole = np.concatenate([band for _, band in Logits(values + offsets[:, None, None], placement).bands()], axis=1)
    assert (Logits(values, placement).classes(offsets) == whole.argmax(axis=0)).all()
