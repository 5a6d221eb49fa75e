"""How the losses of several tasks are weighed where a bundle's network, or one in its place, learns again."""

from collections.abc import Collection, Mapping

from pocketvision.bundle import Bundle
from pocketvision.training.balance import EQUAL
from pocketvision.training.recipe_file import NAME, read_recipe

LossWeights = str | Mapping[str, float]
"""A rule of training/balance.py, or weights by task, 1 for one that is not named."""


def loss_weights_of(bundle: Bundle, judged: Mapping[str, float], tasks: Collection[str]) -> LossWeights:
    """Of `tasks`: what the recipe of the bundle's run says, times what a point of each task counts in judgement.

    judged: by task (Budget.weights); a task of weight 0 learns as it did, for its answers ship all the same. A bundle without a
    run has equal weights to begin with, and so has one whose run took a rule, where judged weights are given.
    """
    learned = _learned(bundle)
    counts = {task: weight for task, weight in judged.items() if weight > 0 and task in tasks}
    if isinstance(learned, str):
        if not counts:
            return learned
        learned = {}
    weights = {task: learned.get(task, 1.0) * counts.get(task, 1.0) for task in tasks}
    changed = {task: weight for task, weight in weights.items() if weight != 1}
    return changed if changed and any(weights.values()) else EQUAL


def _learned(bundle: Bundle) -> LossWeights:
    run = bundle.folder.resolve().parent
    return read_recipe(run).loss.weights if len(bundle.tasks) > 1 and (run / NAME).is_file() else EQUAL
