"""Losses of masks by hand, and what they do where there is nothing to learn."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from pocketvision.errors import UsageError
from pocketvision.preprocessing import Placement
from pocketvision.tasks.number.truth import NumberLabels
from pocketvision.tasks.segmentation.truth import NOTHING, MaskLabels
from pocketvision.training.learned_tasks import objective_of
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
    parts_of,
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


class Counted:
    """Every loss once more, pixel by pixel in plain Python."""

    def __init__(self, said: torch.Tensor, targets: torch.Tensor, weights: list[float]) -> None:
        chances = torch.softmax(said.double(), dim=1).numpy()
        self.classes, self.weights, masks = said.shape[1], weights, targets.numpy()
        self.pixels: list[tuple[list[float], int, bool]] = []
        for image, y, x in np.ndindex(*masks.shape):
            own, around = int(masks[image, y, x]), [(y, x - 1), (y, x + 1), (y - 1, x), (y + 1, x)]
            inside = [at for at in around if 0 <= at[0] < masks.shape[1] and 0 <= at[1] < masks.shape[2]]
            edge = any(masks[(image, *at)] != own for at in inside)
            if own != NOTHING:
                self.pixels.append(([float(each) for each in chances[image, :, y, x]], own, edge))

    def mean(self, of_pixel: Callable[[float, bool], tuple[float, float]]) -> float:
        """of_pixel: from the probability of the true class and whether it lies beside a border to a loss and its share."""
        total, shares = 0.0, 0.0
        for chances, own, edge in self.pixels:
            loss, share = of_pixel(chances[own], edge)
            total, shares = total + loss * share * self.weights[own], shares + share * self.weights[own]
        return total / shares

    def overlap(self, misses: float, alarms: float) -> float:
        total, shares = 0.0, 0.0
        for place in range(self.classes):
            true = sum(own == place for _, own, _ in self.pixels)
            if not true:
                continue
            both = sum(chances[place] for chances, own, _ in self.pixels if own == place)
            missed = sum(1 - chances[place] for chances, own, _ in self.pixels if own == place)
            alarm = sum(chances[place] for chances, own, _ in self.pixels if own != place)
            total += self.weights[place] * (1 - (both + 1) / (both + misses * missed + alarms * alarm + 1))
            shares += self.weights[place]
        return total / shares


@pytest.mark.parametrize("weights", [None, [0.5, 3.0, 1.0, 2.0]])
def test_every_loss_is_a_direct_count(weights: list[float] | None) -> None:
    """Of four classes, one of which is not there, with pixels of no class."""
    generator = torch.Generator().manual_seed(0)
    said = 2 * torch.randn(2, 4, 5, 6, generator=generator)
    targets = torch.randint(0, 3, (2, 5, 6), generator=generator)
    targets[torch.rand(2, 5, 6, generator=generator) < 0.2] = NOTHING
    counted = Counted(said, targets, weights or [1.0] * 4)
    asked = {
        cross_entropy: counted.mean(lambda chance, _: (-math.log(chance), 1.0)),
        focal: counted.mean(lambda chance, _: (-math.log(chance) * (1 - chance) ** 2, 1.0)),
        border: counted.mean(lambda chance, edge: (-math.log(chance), 5.0 if edge else 1.0)),
        dice: counted.overlap(0.5, 0.5),
        tversky: counted.overlap(0.7, 0.3),
    }
    given = None if weights is None else torch.tensor(weights)
    for loss, value in asked.items():
        assert loss(said, targets, given).item() == pytest.approx(value, rel=1e-5), loss
    parts = [part(said, targets, given).item() for part in LOSSES["cross_entropy_dice"].values()]
    assert sum(parts) == pytest.approx(asked[cross_entropy] + asked[dice], rel=1e-5)


def test_the_share_of_regions_by_hand() -> None:
    """Three quarters: half of the pixels' part and one and a half of the regions'; class weights in both."""
    for weights in (None, torch.tensor([1.0, 3.0])):
        parts = {
            name: part(SAID, TARGETS, weights).item() for name, part in parts_of("cross_entropy_dice", 0.75).items()
        }
        pixels, regions = cross_entropy(SAID, TARGETS, weights).item(), dice(SAID, TARGETS, weights).item()
        assert parts == pytest.approx({"cross_entropy": 0.5 * pixels, "dice": 1.5 * regions})
    alone = {share: made(regions=share).parts for share in (0, 0.5, 1)}
    assert [[part.share for part in parts.values()] for parts in alone.values()] == [[2, 0], [1, 1], [0, 2]]
    assert [part.share for part in parts_of("cross_entropy").values()] == [1]
    with pytest.raises(UsageError, match="the loss dice has one"):
        made(loss="dice", regions=0.3)


def test_what_borders_cost_is_a_setting() -> None:
    """One pixel of three beside the border of the two classes on either side, and one of no class."""
    found = parts_of("border", edge=1.0)["border"](SAID, TARGETS, None).item()
    losses = [-math.log(0.9), -math.log(0.6), -math.log(0.8)]
    assert found == pytest.approx((losses[0] + 2 * losses[1] + 2 * losses[2]) / 5)
    assert parts_of("border")["border"](SAID, TARGETS, None) == border(SAID, TARGETS, None)
    with pytest.raises(UsageError, match=r"Add loss\.name=border"):
        made(border=2.0)
    with pytest.raises(UsageError, match="no task here has any"):
        objective_of({"number": NumberLabels(np.array([1.0, 2.0]))}, options=LearnerOptions(regions=0.5))
    both = {"number": NumberLabels(np.array([1.0] * 4)), "segmentation": truth()}
    masks = objective_of(both, options=LearnerOptions(regions=0.25)).learners["segmentation"]
    assert isinstance(masks, MaskLearner) and [part.share for part in masks.parts.values()] == [1.5, 0.5]


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


def nobody() -> MaskLabels:
    return MaskLabels.of_arrays([np.full((8, 8), NOTHING, np.uint8)], ("ground", "crack"))


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
    assert whole.levels is not None and whole.levels.sum(axis=1).tolist() == [126, 2]
    assert learner.validated([whole]).figure == 1
    assert learner.right({"logits": said}, targets) == (128, 128)
    with pytest.raises(UsageError, match="MixUp"):
        learner.mixed(targets, Mix(torch.tensor([1, 0]), 0.5))


def test_two_classes_ship_the_threshold_of_the_best_overlap() -> None:
    """The crack is said with 0.3 where it is, the ground's pixels with 0.1 and two of 63 with 0.2."""
    learner, place = made(), Placement.of_decoding((8, 8))
    said = logits([0.3, 0.2, 0.2, *[0.1] * 61]).reshape(1, 2, 8, 8)
    found = learner.record({"logits": said}, learner.targets(truth(), np.array([0]), [place]))
    threshold = learner.calibrate([found])["thresholds"]
    assert 0.2 < threshold["crack"] < 0.3 and threshold["ground"] == pytest.approx(1 - threshold["crack"])
    assert learner.validated([found]).figure == 1
    none = learner.record({"logits": said}, learner.targets(nobody(), np.array([0]), [place]))
    assert learner.calibrate([none]) == {} and learner.validated([none]).figure == 0


def test_more_classes_ship_none_and_are_measured_by_the_most_probable() -> None:
    mask, place = np.array([[0, 1], [2, 2]], np.uint8), Placement.of_decoding((2, 2))
    source = MaskLabels.of_arrays([mask], ("a", "b", "c"))
    learner = learner_named("segmentation").make(LearnerOptions(), source)
    said = torch.nn.functional.one_hot(torch.tensor([[0, 1], [2, 0]]), 3).movedim(-1, 0)[None].float()
    found = learner.record({"logits": said}, learner.targets(source, np.array([0]), [place]))
    assert found.confusion.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0]]
    validated = learner.validated([found])
    assert validated.figure == pytest.approx((0.5 + 1 + 0.5) / 3) and validated.loss == 1 - validated.figure
    assert learner.calibrate([found]) == {}


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
