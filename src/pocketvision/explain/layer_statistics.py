"""What a network's layers hold: of their weights and of what they put out mean, spread, range, zeros, dead channels and a
histogram."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketvision.explain.watched import Watched

BINS = 24
"""Of a histogram."""


@dataclass(frozen=True)
class Spread:
    """Of some numbers: count, mean, standard deviation, least, largest, the share that is exactly 0, and a histogram of BINS
    equal parts from least to largest. not_numbers: how many are NaN or infinite; they are in no other figure. dead: channels
    that are the same everywhere (weights: all zero), of how many; both 0 where each channel was seen at one place of one image
    only, which tells nothing."""

    count: int
    mean: float
    sd: float
    least: float
    largest: float
    zeros: float
    histogram: tuple[int, ...]
    not_numbers: int = 0
    dead: int = 0
    channels: int = 0


@dataclass(frozen=True)
class LayerStatistics:
    """name: in the network. kind: the module's class. shape: of its weight, or of what it puts out for one image where it has
    none. outputs: None where no images were given."""

    name: str
    kind: str
    shape: tuple[int, ...]
    weights: Spread | None
    outputs: Spread | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


class _Sums:
    """Adds up what a layer puts out, batch by batch, with the range found in a first pass."""

    def __init__(self) -> None:
        self.count, self.total, self.squares, self.zeros, self.lost = 0, 0.0, 0.0, 0, 0
        self.places = 0
        self.least, self.largest = np.inf, -np.inf
        self.low: NDArray[np.float64] | None = None
        self.high: NDArray[np.float64] | None = None
        self.bins: NDArray[np.int64] = np.zeros(BINS, np.int64)
        self.shape: tuple[int, ...] = ()

    def add(self, values: Tensor) -> None:
        self.shape = tuple(values.shape[1:])
        axis = values.ndim - 1 if values.ndim == 3 else 1  # a transformer's tokens have their channels last
        by_channel = values.movedim(axis, 0).flatten(1).double()
        self.places += by_channel.shape[1]
        finite = torch.isfinite(by_channel)
        self.lost += int((~finite).sum())
        known = by_channel[finite]
        if known.numel() == 0:
            return
        self.count += known.numel()
        self.total += float(known.sum())
        self.squares += float((known**2).sum())
        self.zeros += int((known == 0).sum())
        self.least, self.largest = min(self.least, float(known.min())), max(self.largest, float(known.max()))
        low = by_channel.nan_to_num(posinf=0, neginf=0).amin(1).numpy()
        high = by_channel.nan_to_num(posinf=0, neginf=0).amax(1).numpy()
        self.low = low if self.low is None else np.minimum(self.low, low)
        self.high = high if self.high is None else np.maximum(self.high, high)

    def put(self, values: Tensor) -> None:
        known = values[torch.isfinite(values)].float().numpy()
        if self.largest > self.least:
            self.bins += np.histogram(known, BINS, (self.least, self.largest))[0]
        elif len(known):
            self.bins[0] += len(known)

    def spread(self) -> Spread:
        if self.count == 0:
            return Spread(0, 0.0, 0.0, 0.0, 0.0, 0.0, tuple(self.bins.tolist()), self.lost)
        mean = self.total / self.count
        sd = max(self.squares / self.count - mean**2, 0.0) ** 0.5
        dead = channels = 0
        if self.low is not None and self.high is not None and self.places > 1:
            dead, channels = int((self.high - self.low <= 1e-12).sum()), len(self.low)
        histogram = tuple(int(each) for each in self.bins)
        return Spread(
            self.count,
            mean,
            sd,
            self.least,
            self.largest,
            self.zeros / self.count,
            histogram,
            self.lost,
            dead,
            channels,
        )


def spread_of_weights(weight: Tensor) -> Spread:
    """weight: (out, …). A dead channel is one whose weights are all zero."""
    sums = _Sums()
    rows = weight.detach().reshape(weight.shape[0], -1)
    sums.add(rows.T)
    sums.put(rows)
    dead = int((rows.abs().amax(dim=1) == 0).sum())
    found = sums.spread()
    return Spread(**{**asdict(found), "histogram": found.histogram, "dead": dead, "channels": weight.shape[0]})


def layer_statistics(watched: Watched, batches: Iterable[NDArray[np.float32]] = ()) -> list[LayerStatistics]:
    """Of every layer with weights, and where there are images (in batches (N, 3, H, W), which are run twice) of what these and
    activations put out. A dead channel of outputs is the same at every place of every image."""
    network = watched.network
    leaves = {
        name: module
        for name, module in network.named_modules()
        if name and not any(module.children()) and not isinstance(module, nn.Identity | nn.Dropout)
    }
    kept = [torch.from_numpy(batch) for batch in batches]
    sums = {name: _Sums() for name in leaves} if kept else {}
    for step in ("add", "put") if kept else ():
        for batch in kept:
            with watched.seen(list(leaves)) as seen, torch.no_grad():
                watched.graph(batch)
                for name, values in seen.items():
                    getattr(sums[name], step)(values)
    found = []
    for name, module in leaves.items():
        weight = getattr(module, "weight", None)
        weights = spread_of_weights(weight) if isinstance(weight, Tensor) and weight.ndim > 1 else None
        outputs = sums[name].spread() if name in sums and sums[name].shape else None
        if weights is not None or outputs is not None:
            shape = tuple(weight.shape) if weights is not None and weight is not None else sums[name].shape
            found.append(LayerStatistics(name, type(module).__name__, shape, weights, outputs))
    return found
