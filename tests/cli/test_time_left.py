"""One estimate for the whole run, which falls as it should and is never below what is left."""

from pocketvision.cli.time_left import TimeLeft
from pocketvision.progress import EpochRecord, Planned


def epoch(stage: int, number: int, seconds: float) -> EpochRecord:
    return EpochRecord(stage, number, 0.5, 0.5, 0.5, 0.5, 1e-3, seconds, 100.0)


def test_every_step_to_come_counts() -> None:
    left = TimeLeft(Planned(epochs=((1, 3), (2, 2)), images=100, at_the_end=50))
    # The first epoch computes features: 10 s. Two more like it, two of stage 2, and half of one for the end.
    assert left.after(epoch(1, 1, 10.0)) == 2 * 10 + 2 * 10 + 5
    # Those after it take 1 s each.
    assert left.after(epoch(1, 2, 1.0)) == 1 + 2 * 10 + 5
    assert left.after(epoch(1, 3, 1.0)) == 2 * 10 + 5
    assert left.after(epoch(2, 1, 8.0)) == 8 + 5
    assert left.after(epoch(2, 2, 8.0)) == 5
    assert (left.afterwards(25), left.afterwards(50), left.afterwards(60)) == (2.5, 0, 0)


def test_a_stage_that_ended_early_leaves_the_rest() -> None:
    left = TimeLeft(Planned(epochs=((1, 30), (2, 2)), images=10, at_the_end=0))
    left.after(epoch(1, 1, 4.0))
    assert left.after(epoch(2, 1, 6.0)) == 6
    assert left.after(epoch(2, 3, 6.0)) == 0  # more epochs than planned: a resumed run
