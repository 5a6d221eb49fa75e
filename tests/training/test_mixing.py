"""MixUp and CutMix on batches of arrays."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pocketvision.errors import UsageError
from pocketvision.preprocessing import Placement
from pocketvision.tasks.classification.truth import ClassLabels
from pocketvision.training.classification.learner import ClassLearner
from pocketvision.training.inputs import IMAGES
from pocketvision.training.learned_tasks import objective_of
from pocketvision.training.mixing import Mix, Mosaic, mix
from pocketvision.training.settings import RegularisationSettings, require_mixable
from pocketvision.training.tags.learner import TagLearner


def rows(*shape: int) -> torch.Tensor:
    """Row i is full of i."""
    return torch.arange(shape[0], dtype=torch.float32).reshape(-1, *[1] * (len(shape) - 1)).expand(*shape).clone()


def test_mixup_blends_every_input_by_the_same_share() -> None:
    inputs = {"cut": rows(6, 2, 4, 4), "pooled": rows(6, 3)}
    mixed, how = mix(inputs, RegularisationSettings(mixup=1.0), np.random.default_rng(3))
    assert how is not None and 0 < how.share < 1
    expected = how.share * torch.arange(6) + (1 - how.share) * how.order
    for values in mixed.values():
        torch.testing.assert_close(values.reshape(6, -1)[:, 0], expected)
        assert (values.reshape(6, -1) == values.reshape(6, -1)[:, :1]).all()


def test_cutmix_pastes_the_same_part_of_every_map() -> None:
    inputs = {"fine": rows(8, 1, 16, 24), "coarse": rows(8, 2, 4, 6)}
    seen = set()
    for seed in range(20):
        mixed, how = mix(inputs, RegularisationSettings(cutmix=1.0), np.random.default_rng(seed))
        assert how is not None
        for row in range(8):
            fine, coarse = mixed["fine"][row, 0], mixed["coarse"][row, 0]
            assert set(fine.unique().tolist()) <= {row, int(how.order[row])}
            assert torch.equal(fine, coarse.repeat_interleave(4, 0).repeat_interleave(4, 1))
            if how.order[row] != row:
                assert (fine == row).float().mean().item() == pytest.approx(how.share)
        seen.add(how.share)
    assert len(seen) > 3
    assert torch.equal(inputs["fine"], rows(8, 1, 16, 24)), "the cache's own rows stay as they are"


def test_both_take_turns_and_pooled_features_take_mixup_alone() -> None:
    both = RegularisationSettings(mixup=0.5, cutmix=1.0)
    found = [mix({"cut": rows(4, 1, 6, 6)}, both, np.random.default_rng(seed))[0]["cut"] for seed in range(30)]
    whole = [all(len(each.unique()) == 1 for each in values) for values in found]
    assert 5 < sum(whole) < 25
    assert mix({"pooled": rows(4, 3)}, RegularisationSettings(cutmix=1.0), np.random.default_rng(0))[1] is None
    assert mix({"pooled": rows(4, 3)}, both, np.random.default_rng(0))[1] is not None


def test_one_image_has_nobody_to_mix_with() -> None:
    settings = RegularisationSettings(mixup=0.2)
    assert mix({"pooled": rows(1, 3)}, settings, np.random.default_rng(0))[1] is None
    with pytest.raises(UsageError, match=r"a batch is 1 here.*2 or more"):
        require_mixable(settings, 1)
    require_mixable(RegularisationSettings(), 1)


def test_the_loss_of_mixed_classes_is_that_of_soft_targets() -> None:
    logits, labels, order = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1]), torch.tensor([1, 2, 3, 4, 0])
    learner = ClassLearner(label_smoothing=0.1)
    targets = learner.mixed(labels, Mix(order, 0.7))
    soft = 0.7 * F.one_hot(labels, 3) + 0.3 * F.one_hot(labels[order], 3)
    expected = F.cross_entropy(logits, soft, label_smoothing=0.1)
    torch.testing.assert_close(learner.loss({"logits": logits}, targets)["cross_entropy"], expected)
    sure = 9.0 * F.one_hot(labels[order], 3)
    assert learner.right({"logits": sure}, learner.mixed(labels, Mix(order, 0.2))) == (5, 5)


def test_truth_that_is_lacking_can_not_be_mixed() -> None:
    objective = objective_of({"classification": ClassLabels(np.array([0, -1, 1], np.int32), ("a", "b"))})
    nowhere = Placement((8, 8), np.eye(3), (8, 8))
    targets = objective.targets(np.array([0, 1]), [nowhere, nowhere])
    with pytest.raises(UsageError, match="some images have none of classification"):
        objective.mixed(targets, Mix(torch.tensor([1, 0]), 0.5))


def test_a_mosaic_shows_four_images_at_half_their_size() -> None:
    images, settings = torch.rand(6, 3, 8, 12), RegularisationSettings(mosaic=1.0)
    mixed, how = mix({IMAGES: images}, settings, np.random.default_rng(0))
    assert isinstance(how, Mosaic) and how.orders.shape == (4, 6)
    small = F.avg_pool2d(images, 2)
    for order, (left, top, right, bottom) in zip(how.orders, how.quarters, strict=True):
        torch.testing.assert_close(mixed[IMAGES][:, :, top:bottom, left:right], small[order])
        assert sorted(order.tolist()) == [*range(6)]
    odd = mix({IMAGES: torch.ones(2, 3, 7, 5)}, settings, np.random.default_rng(0))[0][IMAGES]
    torch.testing.assert_close(odd, torch.ones(2, 3, 7, 5))


def test_mosaics_are_of_images_and_of_some_batches() -> None:
    settings = RegularisationSettings(mosaic=0.3)
    assert mix({"cut": rows(4, 1, 6, 6)}, settings, np.random.default_rng(0))[1] is None
    found = [mix({IMAGES: rows(4, 3, 6, 6)}, settings, np.random.default_rng(seed))[1] for seed in range(60)]
    assert 8 < sum(isinstance(each, Mosaic) for each in found) < 30


def test_a_mosaic_has_the_tags_of_all_four_and_no_class() -> None:
    orders = torch.tensor([[0, 1], [1, 0], [0, 1], [0, 1]])
    tags = TagLearner(("x", "y", "z"))
    found = tags.mixed(torch.tensor([[1.0, 0, 0], [0, 1, 0]]), Mosaic(orders, (8, 8)))
    assert found.tolist() == [[1, 1, 0], [1, 1, 0]]
    truth = {"classification": ClassLabels(np.array([0, 1], np.int32), ("x", "y"))}
    objective = objective_of(truth)
    targets = objective.targets(np.arange(2), [Placement((8, 8), np.eye(3), (8, 8))] * 2)
    with pytest.raises(UsageError, match=r"a class can not be that of all. Set regularisation.mosaic to 0"):
        objective.mixed(targets, Mosaic(orders, (8, 8)))
