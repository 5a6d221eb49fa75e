"""Figures of masks against a direct count, and torchmetrics where it is installed."""

from dataclasses import replace

import numpy as np
import pytest

from pocketvision.errors import AgreementError, PocketVisionError, UsageError
from pocketvision.preprocessing import Placement
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.measuring import MeasureOptions
from pocketvision.tasks.segmentation.agreement import agree
from pocketvision.tasks.segmentation.boundary import border, boundary_counts, near
from pocketvision.tasks.segmentation.choosing import choose_thresholds, points
from pocketvision.tasks.segmentation.decode import decode
from pocketvision.tasks.segmentation.metrics import SegmentationMetrics, measure
from pocketvision.tasks.segmentation.record import SegmentationRecord, decided, record
from pocketvision.tasks.segmentation.truth import NOTHING, MaskLabels
from pocketvision.tasks.task import Detail
from pocketvision.tasks.thresholds import UnmetWishError, Wish

TASK = TaskManifest("segmentation", ("sky", "road", "tree", "pole", "kite"), {"logits": "logits"})
TWO = replace(TASK, labels=("ground", "crack"))


def drawn(task: TaskManifest, images: int, seed: int, *, shown: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Masks (n, 12, 16) with pixels of no class, and logits that often say them."""
    generator, classes = np.random.default_rng(seed), len(task.labels)
    there = generator.integers(0, shown or classes, (images, 12, 16)).astype(np.uint8)
    values = generator.normal(0, 1, (images, classes, 12, 16)).astype(np.float32)
    if shown is not None:
        values[:, shown:] = -20
    np.put_along_axis(values, there[:, None], np.take_along_axis(values, there[:, None], 1) + 1, 1)
    there[generator.random(there.shape) < 0.1] = NOTHING
    return there, values


def records_of(there: np.ndarray, values: np.ndarray, task: TaskManifest) -> list[SegmentationRecord]:
    outputs = {"logits": values}
    placements = [Placement.of_decoding((values.shape[3], values.shape[2]))] * len(values)
    answers = decode(outputs, placements, task, Detail())
    truth = MaskLabels.of_arrays(list(there), task.labels)
    return [
        record({"logits": values[[place]]}, each, truth.select(np.array([place])), task)
        for place, each in enumerate(answers)
    ]


def measured(there: np.ndarray, values: np.ndarray, task: TaskManifest = TASK) -> SegmentationMetrics:
    return measure(records_of(there, values, task), task, MeasureOptions())


def test_the_figures_are_those_of_a_direct_count() -> None:
    there, values = drawn(TASK, 6, 0, shown=4)
    found, said = measured(there, values), values.argmax(axis=1)
    known = there != NOTHING
    ious, dices = [], []
    for place in range(4):
        both = (known & (there == place) & (said == place)).sum()
        one, other = (known & (there == place)).sum(), (known & (said == place)).sum()
        ious.append(both / (one + other - both))
        dices.append(2 * both / (one + other))
        figures = found.per_class[place]
        assert (figures.pixels, figures.said, figures.images) == (one, other, 6)
        assert (figures.precision, figures.recall) == pytest.approx((both / other, both / one))
        assert figures.interval is not None and figures.interval.low < ious[-1] < figures.interval.high
    assert found.figures["miou"] == pytest.approx(np.mean(ious)) and found.figures["dice"] == pytest.approx(
        np.mean(dices)
    )
    assert found.figures["pixel_accuracy"] == pytest.approx((there == said)[known].mean())
    assert found.pixels == known.sum()
    kite = found.per_class[4]
    assert (kite.iou, kite.dice, kite.interval) == (None, None, None)
    assert found.left_out == ("kite",) and "left out" in found.text and "kite" in found.text


def test_a_class_that_is_only_said_counts_as_nothing_right() -> None:
    there, values = drawn(TASK, 3, 1, shown=4)
    values[0, 4, 0, 0] = 30
    there[0, 0, 0] = 0
    found = measured(there, values)
    assert found.per_class[4].iou == 0 and found.left_out == ()


def test_the_figures_are_torchmetrics() -> None:
    torch, metrics = pytest.importorskip("torch"), pytest.importorskip("torchmetrics.classification")
    there, values = drawn(TASK, 6, 2, shown=4)
    found = measured(there, values)
    said, truth = torch.from_numpy(values.argmax(axis=1)), torch.from_numpy(there.astype(np.int64))
    own = metrics.MulticlassJaccardIndex(len(TASK.labels), average="none", ignore_index=NOTHING)(said, truth).numpy()
    assert [each.iou or 0.0 for each in found.per_class] == pytest.approx(own.tolist(), abs=1e-6)
    mean = metrics.MulticlassJaccardIndex(len(TASK.labels), ignore_index=NOTHING)(said, truth)
    assert found.figures["miou"] == pytest.approx(float(mean), abs=1e-6)
    f1 = metrics.MulticlassF1Score(len(TASK.labels), average="none", ignore_index=NOTHING)(said, truth).numpy()
    assert [each.dice or 0.0 for each in found.per_class] == pytest.approx(f1.tolist(), abs=1e-6)
    share = metrics.MulticlassAccuracy(len(TASK.labels), average="micro", ignore_index=NOTHING)(said, truth)
    assert found.figures["pixel_accuracy"] == pytest.approx(float(share), abs=1e-6)


def test_probabilities_that_are_honest_have_no_error() -> None:
    """Of pixels with a probability of 0.8, eight in ten are right; then all of them."""
    chances = np.full((1, 2, 10, 10), 0.2, np.float32)
    chances[:, 0] = 0.8
    there = np.zeros((1, 10, 10), np.uint8)
    there[0, :2] = 1
    assert measured(there, np.log(chances), TWO).calibration_error == pytest.approx(0, abs=1e-4)
    found = measured(np.zeros((1, 10, 10), np.uint8), np.log(chances), TWO)
    assert found.calibration_error == pytest.approx(0.2, abs=1e-3)
    assert [(each.count, each.right) for each in found.bins] == [(100, 1.0)]


def test_what_an_input_does_not_show_is_missed() -> None:
    values = np.zeros((1, 2, 4, 4), np.float32)
    values[:, 0] = 1
    middle = Placement((8, 4), np.array([[1, 0, -2], [0, 1, 0], [0, 0, 1]], np.float64), (4, 4))
    answer = decode({"logits": values}, [middle], TWO, Detail())[0]
    truth = MaskLabels.of_arrays([np.zeros((4, 8), np.uint8)], TWO.labels)
    found = measure([record({"logits": values}, answer, truth, TWO)], TWO, MeasureOptions())
    assert found.figures["pixel_accuracy"] == 0.5 and found.figures["miou"] == 0.5


def test_what_can_not_be_measured_is_said() -> None:
    there, values = drawn(TWO, 2, 3)
    with pytest.raises(PocketVisionError, match="No pixel"):
        measured(np.full_like(there, NOTHING), values, TWO)
    records = records_of(there, values, TWO)
    with pytest.raises(PocketVisionError, match="without truth"):
        measure([replace(records[0], counts=None)], TWO, MeasureOptions())
    whole = measured(there, values, TWO)
    assert {"miou", "dice", "pixel_accuracy", "boundary_f1", "per_class"} <= set(whole.to_dict())
    assert "confusion" not in whole.summary()


def test_borders_are_compared_within_a_distance() -> None:
    region = np.zeros((7, 9), np.bool_)
    region[2:5, 2:7] = True
    known = np.ones_like(region)
    edge = border(region, known)
    assert edge.sum() == 12 and not edge[3, 3:6].any()
    assert border(region, np.zeros_like(region)).sum() == 0
    dot = np.zeros((9, 9), np.bool_)
    dot[4, 4] = True
    down, across = np.mgrid[:9, :9] - 4
    for radius in (0, 1, 2.5, 3):
        assert (near(dot, radius) == (down**2 + across**2 <= radius**2)).all()
    mask = np.zeros((60, 80), np.uint8)
    mask[20:40, 20:60] = 1
    assert boundary_counts(mask, mask, 2)[:, ::2].tolist() == boundary_counts(mask, mask, 2)[:, 1::2].tolist()
    off = np.roll(mask, 10, axis=1)
    said, said_near, there, there_near = boundary_counts(off, mask, 2)[1]
    assert said == there == 116 and 0 < said_near < said and said_near == there_near


def test_a_threshold_is_chosen_for_two_classes() -> None:
    there, values = drawn(TWO, 5, 4)
    records, known = records_of(there, values, TWO), there != NOTHING
    chances = 1 / (1 + np.exp(values[:, 0] - values[:, 1]))
    for wish, of in ((Wish("f1"), 1), (Wish("f1", of="ground"), 0), (Wish("recall", 0.9), 1)):
        task = choose_thresholds(records, TWO, [wish])
        threshold = task.postprocessing["thresholds"][TWO.labels[of]]
        score = chances if of else 1 - chances
        sums = {
            at: [
                (known & (score >= at) & (there == of)).sum(),
                (known & (score >= at)).sum(),
                (known & (there == of)).sum(),
            ]
            for at in [*np.linspace(0.01, 0.99, 99), threshold]
        }
        if wish.name == "f1":
            best = max(2 * both / (one + other) for both, one, other in sums.values())
            both, one, other = sums[threshold]
            assert 2 * both / (one + other) == pytest.approx(best, abs=2e-3)
        else:
            assert sums[threshold][0] / sums[threshold][2] == pytest.approx(0.9, abs=5e-3)
        again = records_of(there, values, task)
        moved = measure(decided(records, task), task, MeasureOptions())
        assert moved.figures["miou"] == pytest.approx(measure(again, task, MeasureOptions()).figures["miou"], abs=2e-3)
        at = points(records, task)[TWO.labels[of]]
        assert at.hits == pytest.approx(sums[threshold][0], abs=2) and at.threshold == threshold


def test_thresholds_that_can_not_be_are_refused() -> None:
    there, values = drawn(TWO, 2, 5)
    records = records_of(there, values, TWO)
    with pytest.raises(UsageError, match="two classes"):
        choose_thresholds(records, TASK, [Wish("f1")])
    with pytest.raises(UsageError, match="Keep one"):
        choose_thresholds(records, TWO, [Wish("f1"), Wish("at", 0.5, "crack")])
    with pytest.raises(UsageError, match="crak"):
        choose_thresholds(records, TWO, [Wish("f1", of="crak")])
    surest = values.copy()
    there[0, 0, 0], surest[0, 1, 0, 0] = 0, 50
    with pytest.raises(UnmetWishError, match="precision"):
        choose_thresholds(records_of(there, surest, TWO), TWO, [Wish("precision", 1.0)])
    with pytest.raises(UnmetWishError, match="none of 2 images"):
        choose_thresholds(records_of(np.zeros_like(there), values, TWO), TWO, [Wish("f1")])
    assert choose_thresholds([], TWO, [Wish("at", 0.25)]).postprocessing["thresholds"] == {
        "crack": 0.25,
        "ground": 0.75,
    }


def test_the_share_of_pixels_that_differ_is_told_and_refused() -> None:
    _, values = drawn(TASK, 2, 6)
    same = agree({"logits": values}, {"logits": values + 1e-5})
    same.require("file")
    assert same.to_dict()["differing_pixels"] == 0 and same.to_dict()["max_probability_difference"] < 1e-4
    other = values.copy()
    other[1, 0, 0, 0] = 50
    found = agree({"logits": values}, {"logits": other})
    assert found.pixels == pytest.approx(1 / (2 * 12 * 16))
    with pytest.raises(AgreementError, match=r"m\.onnx.*image 1"):
        found.require("m.onnx")
    other[0] = np.nan
    with pytest.raises(AgreementError, match=r"a\.png, b\.png"):
        agree({"logits": values}, {"logits": other}).require("m.onnx", ["a.png", "b.png"])
