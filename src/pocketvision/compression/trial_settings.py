"""What the trials of `fit` are made with. Needs no torch: the command line takes its defaults from here."""

from collections.abc import Mapping
from dataclasses import dataclass

from pocketvision.compression.settings import CALIBRATION


@dataclass(frozen=True)
class TrialSettings:
    """What the trials are made with. epochs, lr, batch: of one tuning. epochs1, epochs2: of the training of a smaller network.
    calibration: images for 8 bits. max_accuracy_drop: percentage points, of 8 bits against what they are made from.
    loss_weights: of several tasks, of all that learns (loss_weights.py)."""

    epochs: float = 3.0
    lr: float = 1e-3
    batch: int = 32
    importance: str = "l1"
    epochs1: int = 15
    epochs2: int = 20
    calibration: int = CALIBRATION
    max_accuracy_drop: float = 1.0
    seed: int = 0
    loss_weights: str | Mapping[str, float] = "equal"
