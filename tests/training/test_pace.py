"""How a training gets on, on a clock of our own."""

from pocketvision.progress import Counted, EpochEnded, EpochRecord, Note
from pocketvision.training.pace import Pace


def epoch(stage: int, number: int, seconds: float) -> EpochEnded:
    return EpochEnded(EpochRecord(stage, number, 0.5, 0.5, 0.5, 0.5, 1e-3, seconds, 100.0), 9, best=False)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_epoch_is_measured_without_the_views_that_it_computes_and_views_apart() -> None:
    clock = Clock()
    pace = Pace(clock)
    told = [
        (0.0, Note("begins")),
        (7.0, Counted("cache", 32, 96)),  # loading and compiling came first
        (8.0, Counted("cache", 64, 96)),
        (9.0, Counted("cache", 96, 96)),
        (12.0, epoch(1, 1, 12.0)),
        (14.0, Counted("cache", 32, 64)),
        (15.0, Counted("cache", 64, 64)),
        (20.0, epoch(2, 1, 8.0)),
    ]
    for now, event in told:
        clock.now = now
        pace(event)
    assert pace.views == 160
    assert pace.view == 3.0 / 96
    assert (pace.epoch(1), pace.epoch(2), pace.epoch(3)) == (3.0, 5.0, None)


def test_an_epoch_takes_what_the_last_few_took() -> None:
    pace = Pace(Clock())
    for number, seconds in enumerate([9.0, 1.0, 2.0, 1.5, 8.0], start=1):
        pace(epoch(1, number, seconds))
    assert pace.epoch(1) == 2.0
