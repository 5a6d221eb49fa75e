"""One estimate for the whole run, which falls as it should, on a clock of our own."""

from pocketvision.cli.time_left import TimeLeft
from pocketvision.progress import Counted, EpochEnded, EpochRecord, Planned, PlannedPhase, StepProgress
from pocketvision.training.pace import Pace


def epoch(stage: int, number: int, seconds: float) -> EpochEnded:
    return EpochEnded(EpochRecord(stage, number, 0.5, 0.5, 0.5, 0.5, 1e-3, seconds, 100.0), 9, best=False)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


PLAN = Planned(
    phases=(PlannedPhase(1, 1), PlannedPhase(2, 4, passes=2.0)), images=100, views=200, at_the_end=50, after=10.0
)


def test_every_step_to_come_counts_and_is_measured_once_it_runs() -> None:
    clock = Clock()
    left = TimeLeft(Pace(clock))
    assert left.seconds is None
    left(PLAN)
    assert left.seconds is None  # nothing was measured
    for now, done in ((5.0, 50), (10.0, 100)):
        clock.now = now
        left(Counted("cache", done, 200))
    # A view takes 0.1 s: 100 more, 1 + 4 epochs of 10 and 20 s by the plan's guess, 50 answers, and 10 s.
    assert left.seconds == 10 + (10 + 4 * 20) + 5 + 10
    clock.now = 20.0
    left(Counted("cache", 200, 200))
    assert left.seconds == 90 + 5 + 10
    left(epoch(1, 1, 21.0))
    assert left.seconds == 80 + 5 + 10
    # The first steps of the phase say that an epoch takes 5 s, a quarter of one is done.
    left(StepProgress(2, 1, 1, 4, 0.5, 0.5, 20.0))
    assert left.seconds == 3.75 * 5 + 5 + 10
    left(epoch(2, 1, 6.0))
    assert left.seconds == 3 * 6 + 5 + 10
    left(epoch(2, 2, 6.0))
    assert left.seconds == 2 * 6 + 5 + 10


def test_another_plan_on_the_way_counts_from_then_on() -> None:
    clock = Clock()
    left = TimeLeft(Pace(clock))
    left(PLAN)
    left(epoch(1, 1, 1.0))
    left(StepProgress(2, 1, 4, 4, 0.5, 0.5, 20.0))
    left(epoch(2, 1, 5.0))
    before = left.seconds
    left(Planned((PlannedPhase(1, 1), PlannedPhase(2, 2, passes=2.0)), 100, 200, 50, 10.0))
    assert before is not None and left.seconds == before - 2 * 5


def test_the_end_counts_down_and_a_phase_that_ended_early_leaves_the_rest() -> None:
    clock = Clock()
    left = TimeLeft(Pace(clock))
    left(PLAN)
    for now, done in ((1.0, 10), (2.0, 20)):
        clock.now = now
        left(Counted("cache", done, 20))
    left(epoch(1, 1, 2.0))
    left(epoch(2, 1, 3.0))
    left(Counted("export", 0, 30))
    assert left.seconds == 50 * 0.1 + 10
    left(Counted("export", 30, 30))
    left(Counted("evaluate", 10, 20))
    assert left.seconds == 10 * 0.1 + 5
    left(Counted("evaluate", 20, 20))
    assert left.seconds == 5


def test_what_was_measured_before_a_phase_counts_more_than_a_guess() -> None:
    left = TimeLeft(Pace(Clock()))
    left(Planned((PlannedPhase(1, 2), PlannedPhase(2, 3, 2.0, seconds=7.0)), 100, 0, 0, 0.0))
    left(StepProgress(1, 1, 1, 2, 0.5, 0.5, 50.0))
    assert left.seconds == 1.5 * 2 + 3 * 7
