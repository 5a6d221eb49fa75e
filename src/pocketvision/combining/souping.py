"""Model soups (Wortsman et al. 2022, https://arxiv.org/abs/2203.05482): weights of networks that were tuned from the same start,
averaged greedily, each taken in only where the validation images agree. One network ships, as fast as any of them."""

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from pocketvision.bundle import Bundle
from pocketvision.compression.bundle_images import BundleImages
from pocketvision.errors import UsageError
from pocketvision.models.network import Network
from pocketvision.training.objective import Objective

STATISTICS_IMAGES = 512
"""That norms learn their statistics anew on."""

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@dataclass(frozen=True)
class Taste:
    """A network that was tried: its place among those given, its validation loss alone, and that of the soup with it. added:
    whether it stayed in; the first, which is the best alone, always does."""

    place: int
    alone: float
    together: float
    added: bool


@dataclass(frozen=True, eq=False)
class Soup:
    """tastes: in the order they were tried. loss: of the validation images."""

    network: Network
    tastes: tuple[Taste, ...]
    loss: float

    @property
    def chosen(self) -> list[int]:
        return [each.place for each in self.tastes if each.added]


def require_same_network(bundles: Sequence[Bundle], networks: Sequence[Network]) -> None:
    """Raise UsageError, with the difference, for networks whose weights do not mean the same."""
    first, own = bundles[0], networks[0]
    for other, its in zip(bundles[1:], networks[1:], strict=True):
        pairs = {
            "architecture": (own.architecture.name, its.architecture.name),
            "heads": tuple(
                ", ".join(f"{task} {spec.head} of {spec.classes}" for task, spec in each.head_specs.items())
                for each in (own, its)
            ),
            "classes": tuple([list(task.labels) for task in each.tasks.values()] for each in (first, other)),
        }
        if (
            own.architecture.to_dict() != its.architecture.to_dict()
            and pairs["architecture"][0] == its.architecture.name
        ):
            pairs["rows"] = ("its own", "others under the same name")
        if own.head_specs != its.head_specs and pairs["heads"][0] == pairs["heads"][1]:
            pairs["features of the heads"] = tuple(
                [list(spec.features) for spec in each.head_specs.values()] for each in (own, its)
            )
        parts = [f"{name} {one} and {two}" for name, (one, two) in pairs.items() if one != two]
        if parts:
            raise UsageError(
                f"{first.folder} and {other.folder} have weights of different meaning: {'; '.join(parts)}. A soup is of "
                "trainings of one network from one start, on the same classes; for others there is `pocketvision ensemble`."
            )


def greedy_soup(
    networks: Sequence[Network], judge: Callable[[Network], float], images: Callable[[], Iterable[Tensor]]
) -> Soup:
    """The networks are tried from the best to the worst, and each stays in where the loss of the average does not rise.

    judge: the validation loss. images: preprocessed training images (N, 3, H, W), on which norms learn their statistics anew
    where those differ between the networks; those that are the same stay: the networks learned with them.
    """
    alone = [judge(network) for network in networks]
    order = sorted(range(len(networks)), key=alone.__getitem__)
    best, chosen, soup = alone[order[0]], [order[0]], networks[order[0]]
    tastes = [Taste(order[0], best, best, True)]
    for place in order[1:]:
        tried = average([networks[each] for each in (*chosen, place)], images)
        together = judge(tried)
        added = together <= best
        tastes.append(Taste(place, alone[place], together, added))
        if added:
            best, soup = together, tried
            chosen.append(place)
    return Soup(soup, tuple(tastes), best)


def average(networks: Sequence[Network], images: Callable[[], Iterable[Tensor]]) -> Network:
    """A network whose weights are the mean of theirs. images: as above."""
    states = [network.state_dict() for network in networks]
    mean = copy.deepcopy(networks[0])
    mean.load_state_dict(
        {
            name: torch.stack([state[name] for state in states]).mean(dim=0) if first.is_floating_point() else first
            for name, first in states[0].items()
        }
    )
    if _statistics_differ(states):
        renew_statistics(mean, images())
    return mean.eval()


def _statistics_differ(states: Sequence[dict[str, Tensor]]) -> bool:
    names = [name for name in states[0] if name.endswith(("running_mean", "running_var"))]
    return any(not torch.equal(states[0][name], state[name]) for state in states[1:] for name in names)


@torch.no_grad()
def renew_statistics(network: Network, images: Iterable[Tensor]) -> None:
    """The norms' running means and variances from these images alone: those of averaged weights are not the average of theirs
    (Izmailov et al. 2018, section 3.2). Dropout stays off."""
    network.eval()
    norms = [module for module in network.modules() if isinstance(module, _NORMS) and module.track_running_stats]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
        norm.train()
    for batch in images:
        network(batch)
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
        norm.eval()


@torch.no_grad()
def validation_loss(network: Network, images: BundleImages, objective: Objective) -> float:
    """What trainings choose their best epoch by."""
    records, seen = [], 0
    for inputs, placements in images.placed_batches():
        outputs = network.on_features(network.features(torch.from_numpy(inputs), network.features_read))
        rows = np.arange(seen, seen + len(inputs))
        records.append(objective.records(outputs, objective.targets(rows, placements)))
        seen += len(inputs)
    return objective.validated(records).loss
