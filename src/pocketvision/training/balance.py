"""How the losses of several tasks are weighed against each other, and whether their gradients agree.

Fixed weights; by uncertainty (Kendall, Gal and Cipolla, "Multi-task learning using uncertainty to weigh losses", 2018); or by
gradient norm (Chen et al., "GradNorm", 2018). What is learned about weights is a few numbers, a part of a phase's state.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Protocol

import torch
from torch import Tensor

from pocketvision.errors import UsageError, unknown_name
from pocketvision.tasks.truth import Truth

EQUAL, UNCERTAINTY, GRAD_NORM = "equal", "uncertainty", "grad_norm"
RULES = (EQUAL, UNCERTAINTY, GRAD_NORM)

_RATE = 0.05  # of s; at its best value its curvature is 1, so that 20 steps see it there
_MOST = 5.0  # weights by uncertainty stay within exp(-5) and exp(5): a loss that goes to nothing would take all
_NORM_RATE = 0.025  # of GradNorm's weights, as in the paper
_ALPHA = 1.5  # how strongly a slow task is helped, as in the paper
_LEAST = 0.01  # of a weight by gradient norm

Losses = Mapping[str, Tensor]


def weighted_sum(losses: Losses, weights: Mapping[str, float]) -> Tensor:
    """At least one loss, each times its weight; 1 for one that is not named."""
    parts = [loss if weights.get(task, 1.0) == 1 else weights[task] * loss for task, loss in losses.items()]
    return torch.stack(parts).sum() if len(parts) > 1 else parts[0]


class Rule(Protocol):
    """Weighs the losses of a step, and learns from them. Its state are numbers by name."""

    numbers: dict[str, float]

    def total(self, losses: Losses, shared: Sequence[Tensor]) -> Tensor:
        """What is minimised. shared: the parameters that all tasks learn; none while heads alone do."""

    def weight(self, task: str) -> float:
        """Of a task's loss at present."""


@dataclass
class Fixed:
    """The same weights all along."""

    weights: Mapping[str, float]
    numbers: dict[str, float] = field(default_factory=dict)

    def total(self, losses: Losses, shared: Sequence[Tensor]) -> Tensor:
        del shared
        return weighted_sum(losses, self.weights)

    def weight(self, task: str) -> float:
        return self.weights.get(task, 1.0)


@dataclass
class Uncertainty:
    """The sum of exp(-s) L + s, in which s, the logarithm of a task's variance, learns by gradient descent beside the network.

    numbers: s by task. Each begins at the logarithm of the task's first loss, where exp(-s) L + s is least.
    """

    numbers: dict[str, float] = field(default_factory=dict)

    def total(self, losses: Losses, shared: Sequence[Tensor]) -> Tensor:
        del shared
        parts = []
        for task, loss in losses.items():
            s = self.numbers.setdefault(task, _within(_log(loss), _MOST))
            parts.append(torch.exp(torch.tensor(-s)) * loss + s)
            slope = 1 - torch.exp(torch.tensor(-s)).item() * loss.item()
            self.numbers[task] = _within(s - _RATE * max(slope, -1 / _RATE), _MOST)
        return torch.stack(parts).sum()

    def weight(self, task: str) -> float:
        return float(torch.exp(torch.tensor(-self.numbers.get(task, 0.0))))


@dataclass
class GradNorm:
    """Weights under which each task moves the shared layers as far as its progress asks: a task that learns slowly further.

    numbers: `TASK.weight`, whose sum is the number of tasks, and `TASK.first`, its first loss. Where nothing is shared, while
    heads alone learn, weights stay as they are.
    """

    tasks: Sequence[str]
    numbers: dict[str, float] = field(default_factory=dict)

    def total(self, losses: Losses, shared: Sequence[Tensor]) -> Tensor:
        weights = {task: self.weight(task) for task in losses}
        if shared and len(losses) > 1:
            self._learn(losses, {task: norm_of(gradient(loss, shared)) for task, loss in losses.items()})
        return weighted_sum(losses, weights)

    def weight(self, task: str) -> float:
        return self.numbers.get(f"{task}.weight", 1.0)

    def _learn(self, losses: Losses, norms: Mapping[str, float]) -> None:
        """A step down the sum of |w g - mean(w g) r^alpha|, in which the mean and the pace r are constants. Its slope, divided by
        the largest gradient, has no unit, as the rate has none."""
        for task, loss in losses.items():
            self.numbers.setdefault(f"{task}.first", max(loss.item(), 1e-6))
        weights = {task: self.weight(task) for task in losses}
        left = {task: losses[task].item() / self.numbers[f"{task}.first"] for task in losses}
        mean_left = max(sum(left.values()) / len(left), 1e-12)
        mean_norm = sum(weights[task] * norms[task] for task in losses) / len(losses)
        largest = max(*norms.values(), 1e-12)
        for task in losses:
            asked = mean_norm * (max(left[task], 0.0) / mean_left) ** _ALPHA
            apart = weights[task] * norms[task] - asked
            slope = (apart > 0) - (apart < 0)
            self.numbers[f"{task}.weight"] = max(weights[task] - _NORM_RATE * slope * norms[task] / largest, _LEAST)
        total = sum(self.weight(task) for task in self.tasks)
        for task in self.tasks:
            self.numbers[f"{task}.weight"] = self.weight(task) * len(self.tasks) / total


@dataclass
class Balance:
    """Weighs the tasks of a phase, and looks once an epoch how far their gradients on what they share agree.

    Where a task is missing from a batch it is neither weighed nor compared there.
    """

    tasks: Sequence[str]
    rule: Rule
    shared: Sequence[Tensor] = ()
    looked: bool = False
    cosines: dict[str, float] = field(default_factory=dict)

    def begin(
        self, shared: Sequence[Tensor], numbers: Mapping[str, float], cosines: Mapping[str, float] | None = None
    ) -> None:
        """A phase. shared: the parameters that every task learns. numbers: where it goes on, the rule's state. cosines: where it
        goes on within an epoch, those that were seen in it already."""
        self.shared, self.looked, self.cosines = shared, bool(cosines), dict(cosines or {})
        self.rule.numbers.clear()
        self.rule.numbers.update(numbers)

    def total(self, losses: Losses) -> Tensor:
        """What is minimised of a step."""
        if self.shared and not self.looked and len(losses) == len(self.tasks):
            self.cosines, self.looked = agreement(losses, self.shared), True
        return self.rule.total(losses, self.shared)

    def epoch_ended(self) -> dict[str, float]:
        """By the names of a history's columns: TASK.weight where weights learn, and ONE+OTHER.cosine of the first batch with the
        truth of all, where something is shared."""
        found = (
            {} if isinstance(self.rule, Fixed) else {f"{task}.weight": self.rule.weight(task) for task in self.tasks}
        )
        found |= {f"{pair}.cosine": cosine for pair, cosine in self.cosines.items()}
        self.looked, self.cosines = False, {}
        return found


def gradient(loss: Tensor, shared: Sequence[Tensor]) -> Tensor:
    """Of all shared parameters as one vector; the graph stays for others."""
    parts = torch.autograd.grad(loss, list(shared), retain_graph=True, allow_unused=True)
    pairs = zip(parts, shared, strict=True)
    return torch.cat([(torch.zeros_like(own) if part is None else part).flatten() for part, own in pairs])


def norm_of(vector: Tensor) -> float:
    return float(vector.norm())


def agreement(losses: Losses, shared: Sequence[Tensor]) -> dict[str, float]:
    """The cosine between the gradients of each two tasks, by ONE+OTHER: at 1 they pull the same way, at -1 they undo each
    other."""
    found = {task: gradient(loss, shared) for task, loss in losses.items()}
    return {
        f"{one}+{other}": float(torch.nn.functional.cosine_similarity(found[one], found[other], dim=0))
        for one, other in combinations(found, 2)
    }


def fixed_weights(weights: str | Mapping[str, float], truth: Mapping[str, Truth]) -> dict[str, float]:
    """By task; none where a rule finds them. Raises UsageError for an unknown rule, for weights of a task that there is not, of a
    single task, and for one below 0."""
    if isinstance(weights, str):
        if weights not in RULES:
            raise unknown_name("rule of loss.weights", weights, RULES)
        return {}
    for task, weight in weights.items():
        if task not in truth:
            raise unknown_name("task in loss.weights", task, truth)
        if weight < 0:
            raise UsageError(f"loss.weights of {task} is {weight:g}; expected 0 or more.")
    if not any(weights.get(task, 1.0) for task in truth):
        raise UsageError("loss.weights are 0 for every task, so that nothing is learned. Give one of them a weight.")
    return dict(weights)


def balance_of(weights: str | Mapping[str, float], truth: Mapping[str, Truth]) -> Balance | None:
    """None where a task is alone: there is nothing to weigh."""
    if len(truth) < 2:
        return None
    rules: dict[str, Rule] = {UNCERTAINTY: Uncertainty(), GRAD_NORM: GradNorm([*truth])}
    rule = rules.get(weights) if isinstance(weights, str) else None
    return Balance([*truth], rule or Fixed(fixed_weights(weights, truth)))


def _log(loss: Tensor) -> float:
    return float(torch.log(loss.detach().clamp(min=1e-12)))


def _within(value: float, most: float) -> float:
    return max(-most, min(most, value))
