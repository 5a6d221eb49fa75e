"""What the engine is told, phase by phase and for all of them: plain values, each spelt once (setting.py)."""

from dataclasses import dataclass

from pocketvision.training.setting import setting


@dataclass(frozen=True)
class Phase:
    """A part of the training with its own cut. lr: None takes the optimizer's."""

    unfreeze: int = setting(
        0, "How many of the last stages of the backbone learn", low=0, high=1000, alias=("", "unfreeze")
    )
    epochs: int = setting(
        15, "Epochs at most; 0 leaves the phase out", low=0, high=100_000, alias=("epochs1", "epochs2")
    )
    lr: float | None = setting(None, "Learning rate", low=1e-9, high=10, unset="optimizer.lr", alias=("lr1", "lr2"))
    patience: int = setting(
        7, "Epochs without a lower validation loss until the phase ends", low=1, high=100_000, alias="patience"
    )


@dataclass(frozen=True)
class OptimizerSettings:
    """AdamW's."""

    lr: float = setting(1e-3, "Learning rate of the phases that name none", low=1e-9, high=10)
    weight_decay: float = setting(
        1e-4, "Weight decay; biases and norm scales have none", low=0, high=1, alias="weight_decay"
    )


@dataclass(frozen=True)
class ScheduleSettings:
    """How the rate changes within a phase."""

    name: str = setting(
        "plateau",
        "plateau: a tenth of the rate when the validation loss stalls; cosine: down to zero over the phase",
        choices=("plateau", "cosine"),
        alias="schedule",
    )
    patience: int = setting(
        3,
        "Epochs without a lower validation loss until a plateau lowers the rate",
        low=0,
        high=100_000,
        alias="schedule_patience",
    )


@dataclass(frozen=True)
class RegularisationSettings:
    """What keeps a network from learning its pictures by heart."""

    label_smoothing: float = setting(
        0.0, "Share of the target that is spread over all classes", low=0, high=0.9, alias="label_smoothing"
    )
