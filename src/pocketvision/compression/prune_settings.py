"""Settings of a pruning. Needs no torch: the command line takes its defaults from here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pocketvision.errors import UsageError, unknown_name

Importance = Literal["l1", "bn-scale", "taylor"]
IMPORTANCES: tuple[Importance, ...] = ("l1", "bn-scale", "taylor")


@dataclass(frozen=True)
class PruneSettings:
    """One of four targets: keep_macs, keep_parameters: shares that stay; latency_ms: milliseconds of one image in ONNX Runtime
    here; unstructured: the share of weights set to zero. rounds: prunings with tuning between them. epochs: of tuning in all; lr:
    its highest rate; augmentation: of its images (data/augment.py). distill: half of what it learns from are the answers of the
    network as it was, the labels the other half. loss_weights: of several tasks, as in a recipe; None takes those of the run
    that the bundle lies in (loss_weights.py)."""

    keep_macs: float | None = None
    keep_parameters: float | None = None
    latency_ms: float | None = None
    unstructured: float | None = None
    importance: str = "l1"
    rounds: int = 3
    epochs: float = 6.0
    lr: float = 1e-3
    batch: int = 32
    augmentation: str = "light"
    distill: bool = True
    max_accuracy_drop: float = 1.0
    seed: int = 0
    loss_weights: str | Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        from pocketvision.data.augment import augmentation_named  # needs torch

        augmentation_named(self.augmentation)
        targets = ("keep_macs", "keep_parameters", "latency_ms", "unstructured")
        given = [name for name in targets if getattr(self, name) is not None]
        options = [f"--{name.replace('_', '-')}" for name in given]
        if len(given) != 1:
            every = ", ".join(f"--{name.replace('_', '-')}" for name in targets)
            raise UsageError(f"Give one target, not {' and '.join(options) or 'none'}: {every}.")
        value, high = getattr(self, given[0]), 1e6 if given == ["latency_ms"] else 1
        if not 0 < value < high:
            raise UsageError(f"{options[0]} is {value:g}; expected a number above 0 and below {high:g}.")
        if self.importance not in IMPORTANCES:
            raise unknown_name("importance", self.importance, IMPORTANCES)
        for name, low, most in (("rounds", 1, 20), ("epochs", 0, 1000), ("lr", 1e-8, 1), ("batch", 1, 4096)):
            if not low <= getattr(self, name) <= most:
                raise UsageError(f"--{name} is {getattr(self, name):g}; expected a number from {low:g} to {most:g}.")
