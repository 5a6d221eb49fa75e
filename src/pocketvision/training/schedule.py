"""How the learning rate changes within a phase: a share of its highest, by step; a plateau hears the epochs' figures too."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pocketvision.errors import unknown_name
from pocketvision.training.settings import ScheduleSettings

ONE_CYCLE_WARMUP = 0.25
_WARMUP_START, _CYCLE_START, _CYCLE_END = 0.01, 1 / 25, 1e-5
_SMALLEST_GAIN = 1e-4
"""A loss that is lower by less than this share of the lowest is no lower (as in PyTorch's ReduceLROnPlateau)."""


@dataclass
class Schedule:
    """Of a phase of `epochs` epochs of `steps` steps each. replanned: as in settings.Phase.

    `best`, `waited` and `falls` are a plateau's: the lowest loss, the epochs since, and how often the rate has fallen.
    """

    settings: ScheduleSettings
    epochs: int
    steps: int
    best: float = math.inf
    waited: int = 0
    falls: int = 0
    replanned: tuple[float, ...] = ()

    def share(self, epoch: int, step: int) -> float:
        """Of the highest rate, in [0, 1], for a step (from 0) of an epoch (from 1)."""
        first = self.replanned[1] if self.replanned else self.epochs
        total, done = max(1, first * self.steps), self._place((epoch - 1) * self.steps + step)
        warmup = self.settings.warmup
        if warmup is None:
            warmup = ONE_CYCLE_WARMUP if self.settings.name == "one_cycle" else 0.0
        rising = round(warmup * total)
        if done < rising:
            if self.settings.name == "one_cycle":
                return _CYCLE_START + (1 - _CYCLE_START) * _half_cosine(1 - done / rising)
            return _WARMUP_START + (1 - _WARMUP_START) * (done + 1) / (rising + 1)
        part = (done - rising) / max(1, total - rising)
        return float(self.settings.factor ** self._falls(epoch, step, part)) * _CURVES[self.settings.name](part)

    def _falls(self, epoch: int, step: int, part: float) -> float:
        """How often the rate has fallen to a share of itself. part: of what follows the warm-up, that is done."""
        settings = self.settings
        if settings.name == "step":
            return int((epoch - 1) // settings.step_epochs)
        if settings.name == "exponential":
            return (epoch - 1 + step / max(1, self.steps)) / settings.step_epochs
        if settings.name == "multistep":
            return sum(part >= milestone for milestone in settings.milestones)
        return self.falls

    def replan(self, done: int, epochs: int) -> None:
        """After `done` epochs: fit what is left of the curve into the rest of `epochs`."""
        self.replanned, self.epochs = (*self.replanned, done, self.epochs), epochs

    def _place(self, done: int) -> float:
        """Where the curve as it was first planned is, in its steps, after `done` steps."""
        place, since = 0.0, 0.0
        whole = self.replanned[1] * self.steps if self.replanned else 0.0
        lengths = [each * self.steps for each in (*self.replanned[1::2], self.epochs)]
        for length, until in zip(
            lengths, [*(each * self.steps for each in self.replanned[::2]), math.inf], strict=True
        ):
            speed = (whole - place) / max(1, length - since) if since else 1.0
            if done <= until:
                return place + (done - since) * speed
            place, since = place + (until - since) * speed, until
        return place

    def ended(self, loss: float) -> None:
        """Hear the validation loss of an epoch that is done: a plateau leaves a share of the rate after `patience` epochs without
        a lower one."""
        if self.settings.name != "plateau":
            return
        if loss < self.best * (1 - _SMALLEST_GAIN) or math.isinf(self.best):
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited > self.settings.patience:
            self.falls, self.waited = self.falls + 1, 0

    def state(self) -> dict[str, float]:
        """What changes, as plain numbers for a checkpoint."""
        return {"best": self.best, "waited": self.waited, "falls": self.falls}

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from what `state` gave."""
        self.best, self.waited, self.falls = state["best"], int(state["waited"]), int(state["falls"])


def make_schedule(
    settings: ScheduleSettings, *, epochs: int, steps: int, replanned: tuple[float, ...] = ()
) -> Schedule:
    """A phase's schedule at its beginning. An unknown name is a UsageError."""
    if settings.name not in _CURVES:
        raise unknown_name("schedule", settings.name, _CURVES)
    return Schedule(settings, epochs, steps, replanned=replanned)


def _half_cosine(done: float) -> float:
    """From 1 to 0 while `done` goes from 0 to 1."""
    return 0.5 * (1 + math.cos(math.pi * done))


def _one_cycle(done: float) -> float:
    """Smith & Topin (2018), https://arxiv.org/abs/1708.07120, with cosines for lines; the momentum stays as it is."""
    return _CYCLE_END + (1 - _CYCLE_END) * _half_cosine(done)


def _level(done: float) -> float:
    del done
    return 1.0


_CURVES: dict[str, Callable[[float], float]] = {
    "plateau": _level,
    "step": _level,
    "exponential": _level,
    "multistep": _level,
    "constant": _level,
    # Loshchilov & Hutter (2017), https://arxiv.org/abs/1608.03983, without restarts.
    "cosine": _half_cosine,
    "one_cycle": _one_cycle,
}
