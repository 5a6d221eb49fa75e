"""Losses of masks by hand, and what they do where there is nothing to learn."""

import math

import numpy as np
import pytest
import torch

from pocketvision.errors import UsageError
from pocketvision.preprocessing import Placement
from pocketvision.tasks.segmentation.truth import NOTHING, MaskLabels
from pocketvision.training.learner import LearnerOptions
from pocketvision.training.learners import learner_named
from pocketvision.training.mixing import Mix
from pocketvision.training.segmentation import learner as learner_module
from pocketvision.training.segmentation.learner import MOST_WEIGHT, KeptMasks, MaskLearner
from pocketvision.training.segmentation.losses import (
    LOSSES,
    beside_borders,
    border,
    cross_entropy,
    dice,
    focal,
    tversky,
)

TARGETS = torch.tensor([[[0, 0, 1, NOTHING]]])


def logits(chances: list[float]) -> torch.Tensor:
    """Of two classes, by the second one's probability, (1, 2, 1, n)."""
    second = torch.tensor(chances)
    return torch.log(torch.stack([1 - second, second]))[None, :, None]


SAID = logits([0.1, 0.4, 0.8, 0.5])


def test_cross_entropy_leaves_out_what_is_of_no_class() -> None:
    parts = [-math.log(0.9), -math.log(0.6), -math.log(0.8)]
    assert cross_entropy(SAID, TARGETS, None).item() == pytest.approx(sum(parts) / 3)
    weights = torch.tensor([1.0, 3.0])
    assert cross_entropy(SAID, TARGETS, weights).item() == pytest.approx((parts[0] + parts[1] + 3 * parts[2]) / 5)
    assert focal(SAID, TARGETS, None).item() == pytest.approx(
        (parts[0] * 0.1**2 + parts[1] * 0.4**2 + parts[2] * 0.2**2) / 3
    )


def test_overlap_losses_by_hand() -> None:
    """Of the first class 1.5 of 2 are said, and 0.2 where it is not; of the second 0.8 of 1, and 0.5 elsewhere."""
    first, second = 2 * 1.5 + 1, 2 * 0.8 + 1
    whole = 1 - (1.5 + 1) / (1.5 + 0.5 * 0.5 + 0.5 * 0.2 + 1), 1 - (0.8 + 1) / (0.8 + 0.5 * 0.2 + 0.5 * 0.5 + 1)
    assert first > second
    assert dice(SAID, TARGETS, None).item() == pytest.approx(sum(whole) / 2)
    asked = 1 - 2.5 / (2.5 + 0.7 * 0.5 + 0.3 * 0.2), 1 - 1.8 / (1.8 + 0.7 * 0.2 + 0.3 * 0.5)
    assert tversky(SAID, TARGETS, None).item() == pytest.approx(sum(asked) / 2)
    assert dice(SAID, TARGETS, torch.tensor([0.0, 2.0])).item() == pytest.approx(whole[1])


def test_a_class_that_is_not_there_is_left_out() -> None:
    alone = torch.tensor([[[0, 0, 0, NOTHING]]])
    assert dice(SAID, alone, None).item() == pytest.approx(
        1 - (2.1 - 0.8 + 0.8 - 0.4 + 1) / (1.7 + 0.5 * 1.3 + 1), abs=0.1
    )
    assert torch.isfinite(dice(SAID, alone, None))


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_to_learn_is_no_loss_and_no_nan(name: str) -> None:
    said = SAID.clone().requires_grad_()
    for targets in (torch.full_like(TARGETS, NOTHING), TARGETS, torch.zeros_like(TARGETS)):
        parts = [part(said, targets, None) for part in LOSSES[name].values()]
        total = torch.stack(parts).sum()
        total.backward()
        assert torch.isfinite(total) and said.grad is not None and torch.isfinite(said.grad).all()
        assert (targets != NOTHING).any() or total.item() == 0
        said.grad = None


def test_pixels_beside_borders_weigh_more() -> None:
    targets = torch.tensor([[[0, 0, 0, 1, 1, 1]]])
    assert beside_borders(targets).tolist() == [[[False, False, True, True, False, False]]]
    wrong_there, wrong_elsewhere = logits([0.1, 0.1, 0.9, 0.9, 0.9, 0.9]), logits([0.9, 0.1, 0.1, 0.9, 0.9, 0.9])
    assert cross_entropy(wrong_there, targets, None).item() == pytest.approx(
        cross_entropy(wrong_elsewhere, targets, None).item()
    )
    assert border(wrong_there, targets, None) > 2 * border(wrong_elsewhere, targets, None)


def truth() -> MaskLabels:
    rare = np.zeros((8, 8), np.uint8)
    rare[0, 0] = 1
    return MaskLabels.of_arrays([rare] * 4, ("ground", "crack"))


def made(**options: object) -> MaskLearner:
    found = learner_named("segmentation").make(LearnerOptions(**options), truth())  # type: ignore[arg-type]
    assert isinstance(found, MaskLearner)
    return found


def test_balanced_weights_have_bounds() -> None:
    weights = made(class_weights="balanced").weights
    assert weights is not None and weights.tolist() == pytest.approx([256 / (2 * 252), MOST_WEIGHT])
    assert made().weights is None
    named = made(class_weights={"crack": 30.0}).weights
    assert named is not None and named.tolist() == [1, 30]
    with pytest.raises(UsageError, match="Did you mean dice"):
        made(loss="dise")


def test_masks_are_kept_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner_module, "KEPT", 40)
    kept, place, read = KeptMasks(), Placement.of_decoding((8, 8)), []
    source = truth()
    monkeypatch.setattr(MaskLabels, "mask", lambda _, row: read.append(row) or source.masks.read(row))
    for row in (0, 1, 0, 2, 0, 1):
        assert kept.mask(source, row, place, (4, 4)).shape == (4, 4)
    assert read == [0, 1, 2, 1]


def test_the_figure_is_of_the_images_own_pixels_and_mixing_is_refused() -> None:
    learner, source, place = made(), truth(), Placement.of_decoding((8, 8))
    targets = learner.targets(source, np.array([0, 1]), [place] * 2)
    said = torch.stack([torch.zeros(2, 8, 8), torch.zeros(2, 8, 8)])
    said[:, 0] = 2
    said[:, 1, 0, 0] = 9
    whole = learner.record({"logits": said}, targets)
    assert whole.confusion.tolist() == [[126, 0, 0], [0, 2, 0]] and learner.validated([whole]).figure == 1
    assert learner.right({"logits": said}, targets) == (128, 128)
    with pytest.raises(UsageError, match="MixUp"):
        learner.mixed(targets, Mix(torch.tensor([1, 0]), 0.5))


@pytest.mark.parametrize(
    ("sizes", "side"), [((480, 360), 416), ((512, 512), 512), ((4000, 3000), 416), ((60, 50), 224)]
)
def test_the_input_is_about_as_large_as_the_images(sizes: tuple[int, int], side: int) -> None:
    choose = learner_named("segmentation").input_size
    assert choose is not None
    found, why = choose(truth(), np.array([sizes] * 4))
    assert found == side and str(side) in why


def test_what_never_looks_says_the_largest_class_everywhere() -> None:
    row, none = learner_named("segmentation"), np.zeros((4, 2), np.int64)
    assert row.constant is not None
    said = row.constant(truth(), none, truth().select(np.array([0, 1])), none)
    assert "ground" in said and f"{63 / 64 / 2:.3f}" in said
