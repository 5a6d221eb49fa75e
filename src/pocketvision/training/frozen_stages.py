"""Which of a finished run's network learned, and which features of it the run's pictures did not change."""

from pocketvision.models.features import MAX, POOL, POOLED
from pocketvision.models.network import Network
from pocketvision.training.phase_models import WHOLE, cut_for, freeze_below
from pocketvision.training.recipe import Recipe


def unfrozen_by(recipe: Recipe) -> int | None:
    """How many of the last stages learned in the end, 0 for the heads alone; None where all did, from a random start."""
    return None if recipe.model.from_scratch else recipe.phase_settings()[-1].unfreeze


def let_learn(network: Network, recipe: Recipe) -> None:
    """Let require gradients what learned in the run's last phase, and nothing else."""
    let_stages_learn(network, unfrozen_by(recipe))


def let_stages_learn(network: Network, count: int | None) -> None:
    """The last `count` stages and the heads; None is everything. UsageError for more than there are."""
    network.requires_grad_(True)
    if count is None:
        return
    cut = cut_for(network, count)
    if count == 0:
        network.requires_grad_(False)
        network.heads.requires_grad_(True)
    elif cut != WHOLE:
        freeze_below(network, cut)


def frozen_features_of(network: Network, recipe: Recipe) -> tuple[str, ...]:
    """Pooled features that no picture of the run changed: of the deepest two stages that did not learn; empty where all did."""
    count = unfrozen_by(recipe)
    if count is None:
        return ()
    if count == 0:
        return (POOLED,)
    cut = cut_for(network, count)
    names = [f"{over}stage{stage}" for stage in range(max(cut - 2, 0), cut) for over in (POOL, MAX)]
    return tuple(name for name in names if name in network.declared)
