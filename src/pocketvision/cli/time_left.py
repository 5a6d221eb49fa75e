"""The time left of a training: one estimate over all its steps. Needs no torch."""

from dataclasses import dataclass

from pocketvision.progress import EpochRecord, Planned


@dataclass
class TimeLeft:
    """From the plan and every epoch, the seconds that are left at most: a stage may end early.

    A stage is measured by its epochs but the first, which computes features for the others. A stage that has not begun is taken
    to need that first epoch's time for each of its own; an image that is exported or evaluated, the first epoch's time for one.
    """

    plan: Planned
    _first: float = 0.0
    _stage: int = 0
    _seconds: tuple[float, ...] = ()

    def after(self, record: EpochRecord) -> float:
        """The seconds left at most after this epoch."""
        self._first = self._first or record.seconds
        self._seconds = (*self._seconds, record.seconds) if record.stage == self._stage else (record.seconds,)
        self._stage = record.stage
        steady = self._seconds[1:] or self._seconds
        left = (dict(self.plan.epochs).get(record.stage, record.epoch) - record.epoch) * sum(steady) / len(steady)
        later = sum(epochs for stage, epochs in self.plan.epochs if stage > record.stage)
        return max(left, 0.0) + later * self._first + self.afterwards(0)

    def afterwards(self, done: int) -> float:
        """The seconds left when `done` of the images that are exported and evaluated at the end are."""
        return self._first / max(self.plan.images, 1) * max(self.plan.at_the_end - done, 0)
