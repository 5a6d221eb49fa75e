"""What the heads of a trained network read of pictures: at hand in the caches, or one pass of what learned.

Afterwards it tells which new pictures are unlike all that was learned (evaluation/novelty_fit.py), and which are alike
(explain/embeddings.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pocketvision.models.features import CUT, GRID, GRIDDED, MAX
from pocketvision.models.network import Network
from pocketvision.training.inputs import IMAGES, Inputs
from pocketvision.training.phase_models import Part
from pocketvision.training.precision import multiplied_as

MOST = 2000
"""Pictures of a split at most, evenly chosen."""

_BATCH = 32

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FinalFeatures:
    """Of n pictures. rows: (n) their places among the run's samples. values: by feature (n, numbers); of a map the means of its
    channels."""

    rows: NDArray[np.int64]
    values: Mapping[str, Floats]

    def joined(self, names: tuple[str, ...]) -> Floats:
        """(n, d), side by side, as a linear head reads them."""
        return np.concatenate([self.values[name] for name in names], axis=1)

    def deepest(self, network: Network) -> Floats:
        """(n, channels) the means over the deepest map that a head of the network reads."""
        means = [name for name in self.values if not name.startswith(MAX)]
        cuts = {name: network.feature(name).cut for name in means}
        found = max(means, key=lambda name: np.inf if (cut := cuts[name]) is None else cut)
        values = self.values[found]
        return values.reshape(len(values), -1, GRID * GRID).mean(axis=2) if found.startswith(GRIDDED) else values


def evenly_chosen(samples: NDArray[np.integer]) -> NDArray[np.int64]:
    """At most MOST of them, each once."""
    own = np.unique(samples).astype(np.int64)
    return own[np.unique(np.linspace(0, len(own) - 1, min(MOST, len(own))).astype(np.int64))]


@multiplied_as("float32")
@torch.no_grad()
def final_features(part: Part, inputs: Inputs, samples: NDArray[np.int64]) -> FinalFeatures:
    """Of the clean views of n >= 1 samples, by a phase's part whose network has its final weights."""
    model = part.model.for_validation().eval()
    read = model.network.features_read
    names = [name for name in part.names if name in (CUT, IMAGES) or name in read]
    groups = [samples[start : start + _BATCH] for start in range(0, len(samples), _BATCH)]
    rows = [[(sample, 0) for sample in group.tolist()] for group in groups]
    parts: dict[str, list[Floats]] = {name: [] for name in read}
    for batch in inputs.batches(names, rows):
        features = model.features(batch)
        for name, kept in parts.items():
            kept.append(_means(features[name]))
    return FinalFeatures(samples, {name: np.concatenate(kept) for name, kept in parts.items()})


def _means(values: Tensor) -> Floats:
    found: Floats = (values.mean((2, 3)) if values.ndim == 4 else values).float().numpy()
    return found
