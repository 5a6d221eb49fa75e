"""The time left of a training: one estimate over all its steps. Needs no torch."""

from dataclasses import dataclass, field

from pocketvision.progress import Counted, EpochEnded, Event, Planned, PlannedPhase, StepProgress
from pocketvision.training.pace import Pace

_ENDING = ("export", "evaluate")
_REPORT = 0.5  # of what follows the last epoch whatever the images: what is left of it when the file is written


@dataclass
class TimeLeft:
    """Hears a training's events. `seconds` is what is left of all of it: views that are run once, the epochs of every phase,
    export, evaluation and report.

    An epoch takes what the phase's last few took, or what its steps so far say; in a phase that has not begun what was measured
    before, or the plan's guess.
    """

    pace: Pace = field(default_factory=Pace)
    _plan: Planned | None = None
    _stage: int = 0
    _done: float = 0.0  # epochs of the stage
    _rate: float = 0.0  # images a second of its steps
    _ended: dict[str, int] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        self.pace(event)
        if isinstance(event, Planned):
            self._plan = event
        elif isinstance(event, StepProgress):
            self._stage, self._rate = event.stage, event.images_per_second
            self._done = event.epoch - 1 + event.step / max(event.steps, 1)
        elif isinstance(event, EpochEnded):
            self._stage, self._done = event.record.stage, event.record.epoch
        elif isinstance(event, Counted) and event.step in _ENDING:
            self._ended[event.step] = event.done

    @property
    def seconds(self) -> float | None:
        """Left of the whole run; None where nothing is known yet."""
        plan, view = self._plan, self.pace.view or self._passed()
        if plan is None or view is None:
            return None
        answers = max(plan.at_the_end - sum(self._ended.values()), 0) * view
        if self._ended:
            return answers + plan.after * (_REPORT if "evaluate" in self._ended else 1.0)
        learning = sum(self._epochs_left(phase) * self._epoch(plan, phase, view) for phase in plan.phases)
        missing = max(plan.views - self.pace.views, 0) if self.pace.view else 0
        return missing * view + learning + answers + plan.after

    def _epochs_left(self, phase: PlannedPhase) -> float:
        if phase.stage == self._stage:
            return max(phase.epochs - self._done, 0.0)
        return 0.0 if phase.stage < self._stage else phase.epochs

    def _epoch(self, plan: Planned, phase: PlannedPhase, view: float) -> float:
        """Seconds of an epoch."""
        now = plan.images / self._rate if phase.stage == self._stage and self._rate else None
        guess = plan.images * phase.passes * view
        return next(each for each in (self.pace.epoch(phase.stage), now, phase.seconds, guess) if each is not None)

    def _passed(self) -> float | None:
        """Seconds of a view where none is kept: from the steps of the phase that runs."""
        passes = (
            next((each.passes for each in self._plan.phases if each.stage == self._stage), 1.0) if self._plan else 1.0
        )
        return 1 / (self._rate * passes) if self._rate else None
