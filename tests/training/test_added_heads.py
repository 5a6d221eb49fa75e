"""Heads beside those that a network has: what was there stays, to the last bit."""

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch

from pocketvision.bundle import Bundle
from pocketvision.errors import UsageError
from pocketvision.models.network import Network
from pocketvision.tasks.classification.truth import ClassLabels
from pocketvision.tasks.number.truth import NumberLabels
from pocketvision.tasks.truth import Truth
from pocketvision.training.added_heads import Base, recipe_of_heads
from pocketvision.training.learned_tasks import head_specs, manifests
from pocketvision.training.recipe import Recipe
from pocketvision.training.setting_values import Given
from pocketvision.training.settings import Phase

OLD: dict[str, Truth] = {"classification": ClassLabels(np.array([0, 1, 2], np.int32), ("a", "b", "c"))}
NEW: dict[str, Truth] = {
    "age": NumberLabels(np.array([1.0, 2.0, 4.0])),
    "shade": ClassLabels(np.array([0, 1, 1], np.int32), ("dark", "light")),
}


@pytest.fixture
def base(network: Network) -> Base:
    torch.manual_seed(1)
    network.set_heads(head_specs(OLD))
    tasks = {name: replace(task, metrics={"test": {"accuracy": 0.9}}) for name, task in manifests(OLD).items()}
    return Base(cast(Bundle, SimpleNamespace(tasks=tasks)), network.eval())


def test_the_backbone_and_earlier_heads_stay_to_the_last_bit(base: Base) -> None:
    before = {name: value.clone() for name, value in base.network.state_dict().items()}
    learned = base.start(head_specs(NEW), seed=5)
    assert set(learned.heads) == set(NEW)
    with torch.no_grad():
        for parameter in learned.heads.parameters():
            parameter.add_(1.0)
    whole = base.whole(learned)
    after = whole.state_dict()
    assert list(whole.heads) == ["classification", "age", "shade"]
    assert all(value.numpy().tobytes() == after[name].numpy().tobytes() for name, value in before.items())
    new = {name for name in after if name not in before}
    assert new and all(torch.equal(after[name], learned.state_dict()[name]) for name in new)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        one, other = base.network(images), whole(images)
    torch.testing.assert_close(other["classification.logits"], one, rtol=0, atol=1e-6)
    assert set(other) == {"classification.logits", "age.standardised", "shade.logits"}


def test_new_heads_are_the_same_for_the_same_seed(base: Base) -> None:
    one, same, other = (base.start(head_specs(NEW), seed).heads.state_dict() for seed in (5, 5, 6))
    assert all(torch.equal(value, same[name]) for name, value in one.items())
    assert not all(torch.equal(value, other[name]) for name, value in one.items())


def test_earlier_tasks_keep_what_was_measured_and_get_outputs_of_their_own_name(base: Base) -> None:
    tasks = base.tasks(manifests(NEW))
    assert list(tasks) == ["classification", "age", "shade"]
    assert tasks["classification"].metrics == {"test": {"accuracy": 0.9}}
    assert tasks["classification"].outputs["logits"] == "classification.logits"
    assert tasks["shade"].outputs["probabilities"] == "shade.probabilities"


def test_heads_alone_learn_and_nothing_that_the_bundle_has_settled_is_given() -> None:
    assert [phase.unfreeze for phase in recipe_of_heads(None, [], None).phases] == [0]
    assert recipe_of_heads(None, [], "quick").cache.views == 1
    for wrong in (Recipe(phases=(Phase(unfreeze=2),)), Recipe()):
        with pytest.raises(UsageError, match=r"unfreeze is \d, and with --add-to the backbone stays"):
            recipe_of_heads(wrong, [], None)
    with pytest.raises(UsageError, match=r"--size and --add-to contradict each other"):
        recipe_of_heads(None, [Given("data.size", 96, "--size")], None)
