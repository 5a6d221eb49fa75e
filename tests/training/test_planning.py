"""What --minutes plans, from speeds by hand: within the time, most of it used, and near to the recipe."""

import math
from dataclasses import replace

import pytest

from pocketvision.errors import UsageError
from pocketvision.training.deadline import Deadline
from pocketvision.training.planning import (
    HIGHEST,
    LOWEST,
    MOST_EPOCHS,
    MOST_VIEWS,
    Speeds,
    Work,
    cuts_beside,
    is_comfortable,
    plan,
    replanned,
)
from pocketvision.training.settings import PhaseSettings

WORK = Work(pictures=640, validation=160, batch=32, ending=320)
# An epoch of three stages takes 20 steps of 0.2 s and 160 * 0.005 s: 4.8 s; all that is around it 8 + 9 + 0.01 * 320 s.
SPEEDS = Speeds(
    before=8.0,
    view=0.01,
    solving=1.0,
    another=4.0,
    steps={0: 0.002, 1: 0.08, 2: 0.14, 3: 0.2, 4: 0.3, 5: 0.4},
    validation=dict.fromkeys(range(6), 0.005),
    after=9.0,
    ended=0.01,
)
SOLVED = (PhaseSettings(1, 1, 1e-3, solver="ridge", views=4), PhaseSettings(2, 20, 1e-4, unfreeze=3, views=4))
TRAINED = (PhaseSettings(1, 15, 1e-3, views=4), SOLVED[1])
CUTS = (3, 2, 4, 1, 5)


def test_the_parts_add_up() -> None:
    found = plan(SPEEDS, WORK, SOLVED, 120, cuts=[3])
    assert found.parts["reading and measuring"] == 8
    assert found.parts["frozen features"] == pytest.approx((640 * found.views + 160) * 0.01)
    assert found.parts["phase 1"] == 1
    assert found.parts["phase 2"] == pytest.approx(4.8 * found.epochs)
    assert found.parts["calibration, export, evaluation and report"] == pytest.approx(9 + 3.2)
    assert found.seconds == pytest.approx(sum(found.parts.values()))
    # A phase that learns by gradients takes its own epochs: 20 * 0.002 + 160 * 0.005 s each.
    assert plan(SPEEDS, WORK, TRAINED, 120, cuts=[3]).parts["phase 1"] == pytest.approx(15 * 0.84)


def test_heads_on_maps_learn_from_all_views() -> None:
    """Alone too, where pooled features take the clean one."""
    alone = (PhaseSettings(1, 20, 1e-3, views=4),)
    for all_views in (False, True):
        found = plan(SPEEDS, replace(WORK, all_views=all_views), alone, 120, cuts=[0], most_views=4)
        seen = found.views if all_views else 1
        assert found.parts["frozen features"] == pytest.approx((640 * seen + 160) * 0.01)
    assert found.views > 1


@pytest.mark.parametrize("phases", [SOLVED, TRAINED])
@pytest.mark.parametrize("minutes", [1, 1.5, 2, 3, 4, 5])
def test_most_of_the_time_is_used_and_never_more(phases: tuple[PhaseSettings, ...], minutes: float) -> None:
    found = plan(SPEEDS, WORK, phases, 60 * minutes, cuts=CUTS)
    assert 0.88 <= found.seconds / (60 * minutes) <= HIGHEST


def test_the_recipes_own_views_and_cut_where_they_fit() -> None:
    found = plan(SPEEDS, WORK, SOLVED, 150, cuts=CUTS)
    assert (found.views, found.unfreeze) == (4, 3) and is_comfortable(found, 150)
    # 48.4 s stand around the epochs: of 93 % of 150 s that leaves 19 times 4.8 s.
    assert found.epochs == 19


def test_little_time_takes_fewer_views_or_a_smaller_cut_before_too_few_epochs() -> None:
    found = plan(SPEEDS, WORK, SOLVED, 50, cuts=CUTS)
    assert found.views * 10 + found.unfreeze < 43 and found.epochs >= 2


def test_much_time_goes_deeper_and_then_into_views_and_then_is_left() -> None:
    longer = [plan(SPEEDS, WORK, SOLVED, seconds, cuts=CUTS) for seconds in (150, 500, 900, 20_000)]
    assert [each.epochs for each in longer][2:] == [MOST_EPOCHS] * 2
    assert longer[1].unfreeze > 3 and longer[3].views == MOST_VIEWS
    assert longer[3].seconds < LOWEST * 20_000


def test_too_little_time_says_the_least_and_what_for() -> None:
    with pytest.raises(UsageError, match=r"--minutes 0\.3 is too few") as raised:
        plan(SPEEDS, WORK, SOLVED, 18, cuts=CUTS)
    said = str(raised.value)
    for part in ("reading and measuring 8 s", "phase 1 1 s", "calibration, export, evaluation and report 12 s"):
        assert part in said
    # One view and one epoch: 8 + 8 + 1 + 4.8 + 12.2 s; another cut would have to be compiled.
    least = math.ceil(34 / HIGHEST / 6) / 10
    assert f"the least that would do is about {least:g} (" in said
    assert plan(SPEEDS, WORK, SOLVED, 60 * least, cuts=CUTS).epochs >= 1


def test_without_a_cache_every_epoch_runs_the_frozen_part() -> None:
    plain = replace(WORK, cached=False)
    assert SPEEDS.epoch(plain, 3) == pytest.approx(4.8 + 0.01 * 800)
    found = plan(SPEEDS, plain, TRAINED, 600, cuts=[3])
    assert found.parts["frozen features"] == 0 and found.seconds <= HIGHEST * 600


def test_a_shared_cut_is_cached_once_and_each_further_one_again() -> None:
    deeper = (*SOLVED, PhaseSettings(3, 5, 1e-4, unfreeze=5, views=4))
    once, twice = (plan(SPEEDS, WORK, phases, 300, cuts=[phases[-1].unfreeze]) for phases in (SOLVED, deeper))
    assert once.parts["frozen features"] == pytest.approx((640 * once.views + 160) * 0.01)
    assert twice.parts["frozen features"] == pytest.approx(2 * (640 * twice.views + 160) * 0.01)


def test_cuts_beside_the_recipes_are_near_first_and_never_less_than_before() -> None:
    assert cuts_beside(SOLVED, 7) == [2, 4, 1, 5, 6]
    assert cuts_beside((*SOLVED, PhaseSettings(3, 5, 1e-4, unfreeze=4)), 5) == [3, 5]
    assert cuts_beside(SOLVED[:1], 7) == [] == cuts_beside([PhaseSettings(1, 1, 1.0, unfreeze=8)], 7)


LAST = PhaseSettings(2, 20, 1e-4, unfreeze=3)


@pytest.mark.parametrize(
    ("left", "epochs"),
    [
        (20 * 5 + 7, 20),  # ends at 93 % as planned: kept
        (20 * 5 + 4, 20),  # at 96 %
        (20 * 5 + 13, 20),  # at 87 %
        (20 * 5, 19),  # would end at the deadline itself
        (10 * 5 + 7, 10),
        (30 * 5 + 7, 30),
        (5 + 1.5, 1),  # one epoch, though the run then ends at 98.5 %
        (3, 0),
        (100 * 5, MOST_EPOCHS),
    ],
)
def test_the_last_phase_fits_what_is_left_of_100_seconds(left: float, epochs: int) -> None:
    assert replanned(LAST, 0, epoch=5, pending=0, left=left, whole=100) == epochs
    assert replanned(LAST, 0, epoch=5, pending=10, left=left + 10, whole=100) == epochs


def test_a_slower_machine_shortens_a_phase_and_never_below_what_is_done() -> None:
    assert replanned(LAST, 8, epoch=10, pending=0, left=8 * 5 + 7, whole=100) == 12
    assert replanned(LAST, 8, epoch=10, pending=0, left=2, whole=100) == 8
    assert replanned(LAST, 20, epoch=5, pending=0, left=7, whole=100) == 20


@pytest.mark.parametrize("epoch", [0.4, 1.0, 2.5, 5.0, 7.0])
@pytest.mark.parametrize("slower", [0.7, 1.0, 1.3, 1.6])
def test_kept_to_the_plan_a_run_ends_in_time(epoch: float, slower: float) -> None:
    """120 s, of which 30 are gone and 15 follow the last epoch; the machine is slower or faster than measured."""
    settings, used, done = LAST, 30.0, 0
    measured = epoch
    while True:
        left = 120 - used - 15
        epochs = replanned(settings, done, epoch=measured, pending=0, left=left, whole=120)
        settings = replace(settings, epochs=epochs)
        if done >= epochs:
            break
        used, done, measured = used + epoch * slower, done + 1, epoch * slower
    share = (used + 15) / 120
    assert share <= 0.99
    assert share >= 0.85 or epochs == MOST_EPOCHS


@pytest.mark.parametrize("minutes", [0, -1, math.nan, math.inf, 1e9, True])
def test_minutes_are_a_number_above_0(minutes: float) -> None:
    with pytest.raises(UsageError, match=r"--minutes is .* expected a number above 0"):
        Deadline(minutes)
