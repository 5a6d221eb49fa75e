"""What is learned from another network: nothing where both say the same, and half of what is minimised."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pocketvision.errors import UsageError
from pocketvision.training.distillation import Taught
from pocketvision.training.learner import Outputs
from pocketvision.training.learners import LEARNERS
from pocketvision.training.mixing import Mix
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
    least = apart(own, other)
    least.backward()
    for role in learned:
        if role != "boxes":  # GIoU has a kink at its least
            assert own[role].grad is not None and own[role].grad.abs().max() < 1e-5
        changed = {**own, role: own[role].detach() * 1.5}
        assert apart(changed, other) > least + 1e-3


def test_boxes_count_as_much_as_the_other_network_is_sure_of_them() -> None:
    apart = LEARNERS["detection"].apart
    assert apart is not None
    other = drawn("detection")
    moved = {**other, "boxes": other["boxes"] + torch.tensor([9.0, 0, 9, 0])}
    sure = [{**other, "logits": torch.full_like(other["logits"], value)} for value in (-20.0, 3.0)]
    none, much = (apart({**moved, "logits": each["logits"]}, each) - apart(each, each) for each in sure)
    assert none < 1e-6 and much > 0.1


def test_half_is_the_truths_and_half_the_teachers() -> None:
    logits, labels = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])
    images = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    kinds, targets = {"classification": "classification"}, of_classes(labels)

    def loss(taught: Taught) -> Tensor:
        outputs = {"classification": {"logits": logits}}
        return taught.loss(outputs, taught.targets(images, targets))

    def teacher(images: Tensor) -> dict[str, Outputs]:
        return {"classification": {"logits": 3 * images}}

    objective = learning_classes()
    alone = Taught(objective, kinds)
    apart = LEARNERS["classification"].apart
    assert apart is not None
    wanted = 0.5 * loss(alone) + 0.5 * apart({"logits": logits}, {"logits": 3 * images})
    torch.testing.assert_close(loss(replace(alone, teacher=teacher)), wanted)
    with pytest.raises(UsageError, match="not for tuning"):
        alone.mixed(alone.targets(images, targets), Mix(torch.arange(2), 0.5))


def test_what_a_network_says_is_told_by_task() -> None:
    row = torch.ones(1, 2, dtype=torch.float64)
    assert said_by_task(row)["classification"]["logits"].dtype == torch.float32
    said = said_by_task({"detection.logits": row, "detection.boxes": 2 * row, "tags.logits": row})
    assert {task: [*roles] for task, roles in said.items()} == {"detection": ["logits", "boxes"], "tags": ["logits"]}
