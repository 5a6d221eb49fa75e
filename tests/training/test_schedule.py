"""The share of the rate, step by step."""

import math

import pytest

from pocketvision.errors import UsageError
from pocketvision.training.schedule import Schedule, make_schedule
from pocketvision.training.settings import Phase, ScheduleSettings


def shares(settings: ScheduleSettings, epochs: int = 4, steps: int = 5) -> list[float]:
    schedule = make_schedule(settings, epochs=epochs, steps=steps)
    return [schedule.share(epoch, step) for epoch in range(1, epochs + 1) for step in range(steps)]


def test_cosine_falls_from_all_to_nothing() -> None:
    found = shares(ScheduleSettings("cosine"))
    assert found == pytest.approx([0.5 * (1 + math.cos(math.pi * step / 20)) for step in range(20)])
    assert found[0] == 1 and found[-1] < 0.01


def test_warm_up_rises_over_its_share_and_leads_into_the_cosine() -> None:
    found = shares(ScheduleSettings("cosine", warmup=0.25))
    assert found[:5] == sorted(found[:5]) and 0 < found[0] < 0.25 and max(found) == found[5] == 1
    assert found[5:] == sorted(found[5:], reverse=True)
    assert shares(ScheduleSettings("constant", warmup=0.1))[2:] == [1.0] * 18


def test_one_cycle_goes_up_and_down() -> None:
    found = shares(ScheduleSettings("one_cycle"))
    assert found[0] == pytest.approx(1 / 25) and found[5] == 1 and found[-1] < 0.02
    assert found[:6] == sorted(found[:6]) and found[5:] == sorted(found[5:], reverse=True)


def test_step_leaves_a_share_every_so_many_epochs() -> None:
    found = shares(ScheduleSettings("step", factor=0.5, step_epochs=2), steps=1)
    assert found == [1.0, 1.0, 0.5, 0.5]


def test_exponential_falls_as_far_with_every_step() -> None:
    found = shares(ScheduleSettings("exponential", factor=0.97, step_epochs=2.4), epochs=5, steps=10)
    assert found == pytest.approx([0.97 ** (step / 24) for step in range(50)])


def test_multistep_falls_at_its_shares_of_what_follows_the_warm_up() -> None:
    found = shares(ScheduleSettings("multistep", factor=0.1), epochs=4, steps=2)
    assert found == pytest.approx([1.0] * 4 + [0.1] * 2 + [0.01] * 2)
    assert shares(ScheduleSettings("multistep", warmup=0.5, milestones=(0.5,)), 4, 2)[4:] == pytest.approx(
        [1.0, 1.0, 0.1, 0.1]
    )
    with pytest.raises(UsageError, match="milestones do not rise"):
        ScheduleSettings(milestones=(0.7, 0.5))


def test_a_plateau_hears_the_epochs_and_goes_on_from_its_state() -> None:
    """The rate falls after more than `patience` epochs that are not lower, and a gain of a ten-thousandth is none."""
    losses = [1.0, 0.5, 0.5, 0.49999, 0.6, 0.4, 0.7, 0.7, 0.7]
    expected = [1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.01]
    schedule = make_schedule(ScheduleSettings("plateau", patience=2), epochs=20, steps=3)
    found = []
    for loss in losses:
        schedule.ended(loss)
        resumed = Schedule(schedule.settings, 20, 3)
        resumed.restore(schedule.state())
        schedule = resumed
        found.append(schedule.share(1, 0))
    assert found == pytest.approx(expected)


def test_no_other_schedule_heeds_the_loss() -> None:
    schedule = make_schedule(ScheduleSettings("constant", patience=0), epochs=9, steps=1)
    for _ in range(5):
        schedule.ended(1.0)
    assert schedule.share(6, 0) == 1


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match="cosine"):
        make_schedule(ScheduleSettings("cosin"), epochs=1, steps=1)


@pytest.mark.parametrize("settings", [ScheduleSettings("cosine", warmup=0.1), ScheduleSettings("one_cycle")])
@pytest.mark.parametrize("epochs", [7, 14, 30])
def test_planned_anew_it_goes_on_where_it_was_and_ends_low(settings: ScheduleSettings, epochs: int) -> None:
    planned, schedule = (make_schedule(settings, epochs=20, steps=5) for _ in range(2))
    before = [schedule.share(epoch, step) for epoch in range(1, 7) for step in range(5)]
    assert before == [planned.share(epoch, step) for epoch in range(1, 7) for step in range(5)]
    schedule.replan(6, epochs)
    rest = [schedule.share(epoch, step) for epoch in range(7, epochs + 1) for step in range(5)]
    assert rest[0] == planned.share(7, 0) and rest == sorted(rest, reverse=True) and rest[-1] < 0.1
    again = make_schedule(settings, epochs=epochs, steps=5, replanned=(6.0, 20.0))
    assert [again.share(epoch, step) for epoch in range(1, epochs + 1) for step in range(5)] == before + rest


def test_it_may_be_planned_anew_more_than_once() -> None:
    schedule = make_schedule(ScheduleSettings("cosine"), epochs=20, steps=1)
    schedule.replan(8, 14)
    schedule.replan(11, 13)
    # After 8 epochs the curve is at 8 of 20 and goes 2 a step; after 11 at 14, and 3 a step.
    expected = [*range(8), 8, 10, 12, 14, 17]
    assert [schedule.share(epoch, 0) for epoch in range(1, 14)] == pytest.approx(
        [0.5 * (1 + math.cos(math.pi * place / 20)) for place in expected]
    )
    assert schedule.replanned == (8, 20, 11, 14)


@pytest.mark.parametrize("replanned", [(8.0,), (8.0, 20.0, 8.0, 14.0), (8.0, 20.0, 3.0, 14.0)])
def test_pairs_that_are_none_are_refused(replanned: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="expected pairs"):
        Phase(replanned=replanned)
