"""What is learned from another network: nothing where both say the same, and half of what is minimised."""

import pytest
import torch
from torch import Tensor

from pocketvision.errors import UsageError
from pocketvision.tasks.classification.truth import CLASSIFICATION
from pocketvision.training.distillation import Taught, TaughtTargets
from pocketvision.training.learners import LEARNERS
from pocketvision.training.mixing import Mix, Mosaic
from pocketvision.training.tuning import learning_classes, of_classes, said_by_task


def drawn(kind: str) -> dict[str, Tensor]:
    """What a head of the kind puts out for two images."""
    random = torch.Generator().manual_seed(0)
    if kind == "number":
        return {"standardised": torch.randn(2, 1, generator=random)}
    if kind == "segmentation":
        return {"logits": torch.randn(2, 3, 4, 5, generator=random)}
    if kind != "detection":
        return {"logits": torch.randn(2, 3, generator=random)}
    corner = 50 * torch.rand(2, 5, 2, generator=random)
    sides = 5 + 20 * torch.rand(2, 5, 2, generator=random)
    return {
        "logits": torch.randn(2, 5, 3, generator=random),
        "boxes": torch.cat([corner, corner + sides], dim=-1),
        "cells": torch.zeros(2, 5, 3),
    }


@pytest.mark.parametrize("kind", LEARNERS)
def test_nothing_is_learned_from_a_network_that_says_the_same(kind: str) -> None:
    apart = LEARNERS[kind].apart
    assert apart is not None
    own, other = drawn(kind), {role: values.clone() for role, values in drawn(kind).items()}
    learned = [role for role in own if role != "cells"]
    for role in learned:
        own[role].requires_grad_(True)
    least = apart(own, other, 2.0)
    least.backward()
    for role in learned:
        if role != "boxes":  # GIoU has a kink at its least
            assert own[role].grad is not None and own[role].grad.abs().max() < 1e-5
        changed = {**own, role: own[role].detach() * 1.5}
        assert apart(changed, other, 2.0) > least + 1e-3


def test_boxes_count_as_much_as_the_other_network_is_sure_of_them() -> None:
    apart = LEARNERS["detection"].apart
    assert apart is not None
    other = drawn("detection")
    moved = {**other, "boxes": other["boxes"] + torch.tensor([9.0, 0, 9, 0])}
    sure = [{**other, "logits": torch.full_like(other["logits"], value)} for value in (-20.0, 3.0)]
    none, much = (apart({**moved, "logits": each["logits"]}, each, 2.0) - apart(each, each, 2.0) for each in sure)
    assert none < 1e-6 and much > 0.1


def test_a_share_is_the_truths_and_the_rest_the_teachers_at_a_temperature() -> None:
    """Of two classes, by hand: T² times the divergence of softened answers."""
    logits, labels, said = (
        torch.tensor([[2.0, 0.0], [0.0, 1.0]]),
        torch.tensor([0, 0]),
        torch.tensor([[3.0, 0.0], [1.5, 1.5]]),
    )
    outputs, kinds = {CLASSIFICATION: {"logits": logits}}, {CLASSIFICATION: CLASSIFICATION}
    targets, taught = of_classes(labels), {CLASSIFICATION: {"logits": said}}
    own, other = torch.softmax(logits / 4, dim=1), torch.softmax(said / 4, dim=1)
    soft = 16 * (other * (other / own).log()).sum(1).mean()
    hard = torch.nn.functional.cross_entropy(logits, labels)
    mixture = Taught(learning_classes(), kinds, alpha=0.3, temperature=4.0)
    torch.testing.assert_close(mixture.loss(outputs, TaughtTargets(targets, taught)), 0.7 * hard + 0.3 * soft)
    torch.testing.assert_close(mixture.loss(outputs, TaughtTargets(targets, None)), hard)


def test_blended_rows_are_taught_both_answers_by_their_shares() -> None:
    outputs, said = (
        {CLASSIFICATION: {"logits": torch.tensor([[0.5, 0.0, -1.0], [0.1, 0.7, 0.3]])}},
        drawn("classification"),
    )
    kinds, targets = {CLASSIFICATION: CLASSIFICATION}, of_classes(torch.tensor([0, 2]))
    alone = Taught(learning_classes(), kinds, alpha=1.0)
    taught, turned = ({CLASSIFICATION: each} for each in (said, {"logits": said["logits"].flip(0)}))
    mixed = alone.mixed(TaughtTargets(targets, taught), Mix(torch.tensor([1, 0]), 0.75))
    both = [alone.loss(outputs, TaughtTargets(targets, each)) for each in (taught, turned)]
    torch.testing.assert_close(alone.loss(outputs, mixed), 0.75 * both[0] + 0.25 * both[1])
    with pytest.raises(UsageError, match="A teacher answers pictures"):
        alone.mixed(TaughtTargets(targets, taught), Mosaic(torch.zeros(4, 2, dtype=torch.int64), (8, 8)))


def test_what_a_network_says_is_told_by_task() -> None:
    row = torch.ones(1, 2, dtype=torch.float64)
    assert said_by_task(row)["classification"]["logits"].dtype == torch.float32
    said = said_by_task({"detection.logits": row, "detection.boxes": 2 * row, "tags.logits": row})
    assert {task: [*roles] for task, roles in said.items()} == {"detection": ["logits", "boxes"], "tags": ["logits"]}
