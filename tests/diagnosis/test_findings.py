"""Findings on hand-made figures: what each says, and where its line is."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from plain_backbone import PLAIN
from torch import nn

from pocketvision.diagnosis.confused_pairs import confused
from pocketvision.diagnosis.finding import Finding, worst_first
from pocketvision.diagnosis.fit_gap import gap, measured
from pocketvision.diagnosis.history_findings import ran_away, too_short, waits_for_data
from pocketvision.diagnosis.insides import dead_channels, gradients
from pocketvision.diagnosis.learning_curve import learning_curve, more_pictures, not_in_closed_form
from pocketvision.diagnosis.object_size import too_small
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.network import Network
from pocketvision.preprocessing import Placement, Preprocessing
from pocketvision.progress import EpochRecord
from pocketvision.tasks.classification.record import ClassRecord
from pocketvision.tasks.classification.truth import ClassLabels
from pocketvision.tasks.detection.truth import BoxLabels
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.segmentation.truth import MaskLabels
from pocketvision.tasks.truth import Truth
from pocketvision.training.learned_tasks import objective_of

TASK = TaskManifest("classification", ("cat", "dog", "owl"), {"logits": "logits", "probabilities": "probabilities"})
SQUARE = Preprocessing(64, 64, 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def epoch(number: int, *, val_loss: float = 1.0, train_loss: float = 1.0, waiting: float = 0.0) -> EpochRecord:
    return EpochRecord(2, number, train_loss, 0.5, val_loss, 0.5, 1e-3, 10.0, 100.0, waiting=waiting)


def test_too_few_epochs() -> None:
    falling = [epoch(number, val_loss=1 / number) for number in range(1, 6)]
    found = too_short(falling)
    assert found.level == "look" and "phases.2.epochs=10" in found.step
    assert too_short([*falling, epoch(6, val_loss=0.3), epoch(7, val_loss=0.3)]).level == "fine"
    assert too_short(falling[:2]).level == "unknown"


def test_a_loss_that_ran_away_is_named_with_its_epoch() -> None:
    found = ran_away([epoch(1, train_loss=0.5), epoch(2, train_loss=0.4), epoch(3, train_loss=4.0)])
    assert found.level == "problem" and "epoch 3" in found.evidence and "10.0 times" in found.evidence
    assert ran_away([epoch(1), epoch(2, train_loss=0.9)]).level == "fine"


def test_waiting_is_weighed_by_time() -> None:
    found = waits_for_data([epoch(1, waiting=0.6), epoch(2, waiting=0.2)])
    assert found.level == "look" and found.figures["share"] == pytest.approx(0.4)
    assert waits_for_data([epoch(1, waiting=0.1)]).level == "fine"
    assert "recorded" in waits_for_data([epoch(1)]).evidence


def said(label: int, answer: int) -> ClassRecord:
    logits = np.eye(3, dtype=np.float32)[answer] * 4
    return ClassRecord(logits, np.exp(logits) / np.exp(logits).sum(), label)


def test_the_gap_is_called_overfitting_where_the_intervals_lie_apart() -> None:
    right, wrong = [said(n % 3, n % 3) for n in range(200)], [said(n % 3, (n + n % 2) % 3) for n in range(200)]
    training, held = (measured({"own": TASK}, {"own": rows})["own"] for rows in (right, wrong))
    found = gap("own", training, held)
    assert found.level == "problem" and found.figures["gap"] == pytest.approx(0.5)
    assert gap("own", held, held).level == "look"  # 50 % of what it learned from
    assert gap("own", training, training).level == "fine"
    few = measured({"own": TASK}, {"own": [said(0, 0)] * 5 + [said(1, 2)]})["own"]
    nearly = measured({"own": TASK}, {"own": [said(0, 0)] * 190 + [said(0, 1)] * 10})["own"]
    assert "too few pictures to call it" in gap("own", nearly, few).evidence


def test_confused_pairs_come_with_counts() -> None:
    rows = [said(0, 0)] * 10 + [said(1, 0)] * 4 + [said(1, 1)] * 6 + [said(2, 2)] * 9 + [said(2, 1)]
    metrics = measured({"own": TASK}, {"own": rows})["own"]
    found = confused("own", TASK, rows, metrics)
    assert found.level == "look" and found.evidence.startswith("dog called cat in 4 of 10 pictures (40%)")
    assert confused("own", TASK, [said(0, 0)] * 3, metrics).level == "fine"
    assert confused("own", replace(TASK, kind="number"), rows, metrics).level == "unknown"


def placements(count: int, scale: float) -> list[Placement]:
    return [Placement((100, 100), np.diag([scale, scale, 1.0]), (64, 64))] * count


def boxes(*sides: float) -> BoxLabels:
    return BoxLabels.of([([[0, 0, side, 50]], [0]) for side in sides], ("cell",))


def test_objects_that_the_input_shows_too_small() -> None:
    found = too_small("own", boxes(4, 4, 30), placements(3, 1.0), SQUARE)
    assert found.level == "problem" and found.figures["small"] == pytest.approx(2 / 3) and "--size 96" in found.step
    assert too_small("own", boxes(4, 4, 30), placements(3, 4.0), SQUARE).level == "fine"
    assert too_small("own", boxes().select(np.array([], np.int64)), [], SQUARE).level == "unknown"


def test_areas_that_the_input_shows_too_small() -> None:
    mask = np.zeros((100, 100), np.uint8)
    mask[:10, :10] = 1
    truth = MaskLabels.of_arrays([mask], ("ground", "crack"))
    found = too_small("own", truth, placements(1, 0.5), SQUARE)
    assert found.level == "look" and found.figures == {"class": "crack", "pixels": pytest.approx(25)}
    assert too_small("own", truth, placements(1, 1.0), SQUARE).level == "fine"


def test_pictures_much_larger_or_smaller_than_the_input() -> None:
    truth = ClassLabels(np.zeros(2, np.int64), ("cat",))
    assert too_small("own", truth, placements(2, 0.1), SQUARE).level == "look"
    assert "--size 32" in too_small("own", truth, placements(2, 2.0), SQUARE).step
    assert too_small("own", truth, placements(2, 0.5), SQUARE).level == "fine"


def network(head: str = "linear", classes: int = 2) -> Network:
    torch.manual_seed(0)
    return Network(PLAIN, {"own": HeadSpec(head, classes)}).eval()


IMAGES = np.random.default_rng(0).standard_normal((2, 3, 64, 64)).astype(np.float32)


def test_channels_that_say_nothing_are_counted() -> None:
    net = network()
    before = dead_channels(net, IMAGES).figures["dead"]
    layer = next(each for each in net.stages[1].modules() if isinstance(each, nn.BatchNorm2d) and len(each.weight) >= 8)
    with torch.no_grad():
        layer.weight[:6], layer.bias[:6] = 0, 0.5
    found = dead_channels(net, IMAGES)
    assert found.figures["dead"] >= before + 6


TRUTH: dict[str, Truth] = {
    "linear": ClassLabels(np.array([0, 1]), ("cat", "dog")),
    "grid": BoxLabels.of([([[4, 4, 40, 40]], [0]), ([[4, 4, 40, 40]], [1])], ("cat", "dog")),
    "u_net": MaskLabels.of_arrays([np.tri(64, dtype=np.uint8)] * 2, ("cat", "dog")),
}


@pytest.mark.parametrize("head", TRUTH)
def test_gradients_of_every_task(head: str) -> None:
    net, here = network(head), [Placement((64, 64), np.eye(3), (64, 64))] * 2
    objective = objective_of({"own": TRUTH[head]})
    found = gradients(net, objective, IMAGES, here)
    norms = found.figures["gradient_by_weight"]
    assert found.level in ("fine", "look") and norms["own"] > 0 and "stage 0" in norms
    net.requires_grad_(False).heads.requires_grad_(True)
    assert list(gradients(net, objective, IMAGES, here).figures["gradient_by_weight"]) == ["own"]
    with torch.no_grad():
        next(net.heads.parameters()).fill_(torch.nan)
    assert gradients(net, objective, IMAGES, here).level == "problem"


def test_a_part_that_the_error_does_not_reach_is_named() -> None:
    net = network()
    with torch.no_grad():
        for each in net.stages[-1].modules():
            if isinstance(each, nn.BatchNorm2d):
                each.weight.mul_(1e-4)
    found = gradients(
        net, objective_of({"own": TRUTH["linear"]}), IMAGES, [Placement((64, 64), np.eye(3), (64, 64))] * 2
    )
    assert found.level == "look" and "Little of the error reaches" in found.step


def clouds(count: int, spread: float, seed: int) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, count)
    centres = np.random.default_rng(9).standard_normal((3, 24))
    return (centres[labels] + spread * random.standard_normal((count, 24))).astype(np.float32), labels


def test_the_learning_curve_falls_and_is_continued() -> None:
    (features, labels), (held, held_labels) = clouds(200, 2.5, 1), clouds(400, 2.5, 2)
    curve = learning_curve(features, labels, held, held_labels)
    errors = list(curve.errors.values())
    assert list(curve.errors) == [25, 50, 100, 200] and errors[0] > errors[-1]
    assert 0 < curve.doubled < curve.now and curve.exponent > 0 and curve.sd > 0
    assert curve.now == pytest.approx(errors[-1], abs=0.02)
    # What twice the pictures really bring is within three standard deviations, or three points, of what was foretold.
    more, more_labels = clouds(400, 2.5, 1)
    really = learning_curve(more, more_labels, held, held_labels).errors[400]
    assert abs((errors[-1] - really) - curve.gain) < max(3 * curve.sd, 0.03)
    found = more_pictures("own", curve, 200)
    assert "twice the pictures would bring" in found.evidence and " ± " in found.evidence


def test_nothing_more_to_gain_is_fine() -> None:
    (features, labels), (held, held_labels) = clouds(200, 0.1, 1), clouds(100, 0.1, 2)
    assert more_pictures("own", learning_curve(features, labels, held, held_labels), 200).level == "fine"
    assert not_in_closed_form("own", "detection").level == "unknown"


def test_the_worst_come_first() -> None:
    rows = [
        Finding("a", "fine", ""),
        Finding("b", "unknown", ""),
        Finding("c", "problem", ""),
        Finding("d", "look", ""),
    ]
    assert [each.about for each in worst_first(rows)] == ["c", "d", "a", "b"]
