"""The figures of an epoch and of a step, as plain numbers. Needs no torch, so that displays and logs can name them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EpochRecord:
    """One line of history. `seconds` covers training and validation; `images_per_second` training alone."""

    stage: int
    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float
    seconds: float
    images_per_second: float


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
