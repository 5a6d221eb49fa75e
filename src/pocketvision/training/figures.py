"""The figures of an epoch and of a step, as plain numbers. Needs no torch, so that displays and logs can name them."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class EpochRecord:
    """One line of history. `seconds` covers training and validation; `images_per_second` training alone.

    The accuracies are classification's where it is learned; else val_accuracy is the figure of the first task, and train_accuracy
    its share of what was right. tasks: TASK.loss and TASK.figure of validation, for each; empty where classification is alone.
    """

    stage: int
    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float
    seconds: float
    images_per_second: float
    tasks: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StepProgress:
    """What a progress display needs after each batch."""

    stage: int
    epoch: int
    step: int
    steps: int
    loss: float
    accuracy: float
    images_per_second: float
