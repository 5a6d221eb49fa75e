"""The recipe: all settings of a training run, with the reference job's defaults, checked as a whole and kept as JSON."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pocketvision.data.augment import augmentation_named
from pocketvision.data.balance import ClassWeights
from pocketvision.errors import UsageError, unknown_name
from pocketvision.models.catalog import architecture
from pocketvision.preprocessing import MAX_PIXELS, WHITE_LEVELS, Interpolation
from pocketvision.training.learner import LearnerOptions
from pocketvision.training.optimizer import SCHEDULES
from pocketvision.training.precision import resolve_precision
from pocketvision.training.stage import StageSettings


@dataclass(frozen=True)
class Recipe:
    """All settings of a training run. Shares are of the samples, in [0, 1); sizes in pixels; rates are AdamW's.

    `interpolation` of training and of the bundle, whatever the weights were pre-trained with: bilinear takes half of bicubic's
    time. At 128 pixels out of 256 it came to 70.5, 70.0 % on 2,379 test pictures, bicubic to 70.3, 69.7 % (seeds 0, 1).
    `views` K: every training image is seen in K views (the clean one and K-1 augmented), computed once and cached;
    without the cache every epoch augments afresh. `class_weights` is "none", "balanced" or weights by class name.
    `precision` is what the unfrozen layers are trained in: "float32", "bfloat16", or "auto" for what this CPU is faster in.
    `balance_to` N: classes of the training split with fewer than N images get augmented copies up to N.
    `weights_key` chooses among several sets of weights in a file. `cache_limit` bounds the trunk cache in bytes.
    `white_level` is the value of 16-bit pictures that becomes white; None finds it out (preprocessing/white_level.py).
    Raises UsageError for a value out of its range.
    """

    model: str = "efficientnet_lite0"
    weights: str = "auto"
    weights_key: str | None = None
    size: int | None = None
    interpolation: str = "bilinear"
    epochs1: int = 15
    epochs2: int = 20
    lr1: float = 1e-3
    lr2: float = 1e-4
    batch: int = 32
    dropout: float = 0.3
    weight_decay: float = 1e-4
    label_smoothing: float = 0.0
    schedule: str = "plateau"
    schedule_patience: int = 3
    patience: int = 7
    unfreeze: int = 3
    precision: str = "auto"
    views: int = 4
    augmentation: str = "standard"
    class_weights: ClassWeights = "none"
    balance_to: int | None = None
    val_share: float = 0.2
    test_share: float = 0.0
    seed: int = 0
    workers: int = 2
    max_pixels: int = MAX_PIXELS
    white_level: int | None = None
    cache: bool = True
    cache_limit: int = 20_000_000_000

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if value is not None and not (low <= value <= high):
                limit = f"from {low:g} to {high:g}" if high < _HUGE else f"of at least {low:g}"
                raise UsageError(f"{option_name(name)} is {value}; expected a number {limit}.")
        spec = architecture(self.model)
        if self.size is not None:
            spec.check_size(self.size, self.size)
        stages = len(spec.stage_lines())
        if self.unfreeze > stages:
            raise UsageError(f"--unfreeze {self.unfreeze}: {self.model} has {stages} stages; expected 0 to {stages}.")
        augmentation_named(self.augmentation)
        resolve_precision(self.precision)
        if self.interpolation not in get_args(Interpolation):
            raise unknown_name("interpolation", self.interpolation, get_args(Interpolation))
        if self.white_level not in (None, *WHITE_LEVELS):
            raise UsageError(f"--white-level {self.white_level}: expected {', '.join(map(str, WHITE_LEVELS))}.")
        if self.schedule not in SCHEDULES:
            raise unknown_name("schedule", self.schedule, SCHEDULES)
        if self.epochs1 + self.epochs2 == 0:
            raise UsageError("--epochs1 and --epochs2 are both 0: there is nothing to train.")
        if self.val_share + self.test_share >= 0.9:
            raise UsageError(
                f"--val-share {self.val_share} and --test-share {self.test_share} leave less than a tenth to train on."
            )
        if isinstance(self.class_weights, str) and self.class_weights not in ("none", "balanced"):
            raise UsageError(
                f"--class-weights {self.class_weights!r}: expected none, balanced, or weights by name such as cat=2,dog=1."
            )

    @property
    def from_scratch(self) -> bool:
        """Whether the network starts at random: then everything learns, in both stages."""
        return self.weights == "none"

    def stages(self) -> list[StageSettings]:
        """The settings of the stages that have epochs."""
        rates = ((1, self.epochs1, self.lr1), (2, self.epochs2, self.lr2))
        return [
            StageSettings(
                number=number,
                epochs=epochs,
                lr=lr,
                batch=self.batch,
                weight_decay=self.weight_decay,
                patience=self.patience,
                schedule=self.schedule,
                schedule_patience=self.schedule_patience,
            )
            for number, epochs, lr in rates
            if epochs > 0
        ]

    @property
    def learning(self) -> LearnerOptions:
        """What the tasks' learners are made with."""
        return LearnerOptions(self.label_smoothing, self.class_weights)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: Path) -> "Recipe":
        """Read what to_dict wrote; an unknown setting is an error that names it and the file `where`."""
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise UsageError(f"{where} has settings this version does not know: {', '.join(unknown)}.")
        return cls(**values)


def option_name(field: str) -> str:
    """How the command line spells a setting."""
    return "--" + field.replace("_", "-")


_HUGE = 1e15
_RANGES: tuple[tuple[str, float, float], ...] = (
    ("size", 32, 2048),
    ("epochs1", 0, 100_000),
    ("epochs2", 0, 100_000),
    ("lr1", 1e-9, 10),
    ("lr2", 1e-9, 10),
    ("batch", 1, 65_536),
    ("dropout", 0, 0.95),
    ("weight_decay", 0, 1),
    ("label_smoothing", 0, 0.9),
    ("schedule_patience", 0, 100_000),
    ("patience", 1, 100_000),
    ("unfreeze", 0, 1000),
    ("views", 1, 1000),
    ("balance_to", 1, 10_000_000),
    ("val_share", 0.01, 0.8),
    ("test_share", 0, 0.8),
    ("seed", 0, 2**31 - 1),
    ("workers", 0, 256),
    ("max_pixels", 1, _HUGE),
    ("cache_limit", 1_000_000, _HUGE),
)
