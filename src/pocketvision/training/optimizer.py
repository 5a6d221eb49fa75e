"""The optimizer and its learning-rate schedules, by name."""

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau

from pocketvision.errors import unknown_name


class Schedule(Protocol):
    """A learning-rate schedule that is given the validation loss once an epoch."""

    def step(self, val_loss: float) -> None: ...
    def state_dict(self) -> dict[str, object]: ...
    def load_state_dict(self, state: dict[str, object]) -> None: ...


class PlateauSchedule:
    """A tenth of the rate after `patience` epochs without a lower validation loss (the reference job's schedule)."""

    def __init__(self, optimizer: torch.optim.Optimizer, epochs: int, patience: int) -> None:
        del epochs  # the same arguments as every schedule: a plateau needs no end
        self._plateau = ReduceLROnPlateau(optimizer, factor=0.1, patience=patience)

    def step(self, val_loss: float) -> None:
        self._plateau.step(val_loss)

    def state_dict(self) -> dict[str, object]:
        # Of ReduceLROnPlateau's own dictionary only what changes: plain numbers, so that a checkpoint is JSON.
        plateau = self._plateau
        return {"best": plateau.best, "bad_epochs": plateau.num_bad_epochs, "last_epoch": plateau.last_epoch}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self._plateau.load_state_dict(
            {"best": state["best"], "num_bad_epochs": state["bad_epochs"], "last_epoch": state["last_epoch"]}
        )


class CosineSchedule:
    """The rate falls along a half cosine from its start to zero over `epochs` (Loshchilov & Hutter 2017, no restarts)."""

    def __init__(self, optimizer: torch.optim.Optimizer, epochs: int, patience: int) -> None:
        del patience
        self._cosine = CosineAnnealingLR(optimizer, T_max=epochs)

    def step(self, val_loss: float) -> None:
        del val_loss
        self._cosine.step()

    def state_dict(self) -> dict[str, object]:
        return {"last_epoch": self._cosine.last_epoch}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self._cosine.load_state_dict({"last_epoch": state["last_epoch"]})


SCHEDULES: dict[str, Callable[[torch.optim.Optimizer, int, int], Schedule]] = {
    "plateau": PlateauSchedule,
    "cosine": CosineSchedule,
}


def make_schedule(optimizer: torch.optim.Optimizer, name: str, *, epochs: int, patience: int) -> Schedule:
    """The schedule called `name`, over `epochs` epochs. An unknown name is a UsageError."""
    if name not in SCHEDULES:
        raise unknown_name("schedule", name, SCHEDULES)
    return SCHEDULES[name](optimizer, epochs, patience)


def make_optimizer(trained: Mapping[str, Tensor], *, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW over named parameters. Vectors (biases and norm scales) are not decayed, as is the custom of the field."""
    matrices = [parameter for parameter in trained.values() if parameter.ndim > 1]
    vectors = [parameter for parameter in trained.values() if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=lr, fused=True)


def restore_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, object]) -> None:
    """Load a state_dict, its moments laid out in memory like their parameters: the fused update walks both as flat memory."""
    optimizer.load_state_dict(dict(state))
    for parameter, entries in optimizer.state.items():
        for key, value in entries.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                entries[key] = torch.empty_like(parameter).copy_(value)


def current_lr(optimizer: torch.optim.Optimizer) -> float:
    """The learning rate in force."""
    return float(optimizer.param_groups[0]["lr"])
