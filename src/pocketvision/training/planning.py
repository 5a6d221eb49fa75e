"""How long a training with --minutes is: views, cut and epochs of its last phase, from speeds that were measured.

A run is planned before anything learns, and its last phase anew whenever an epoch has ended too early or too late for the plan.
Aimed at is a little less than the time that was given: a late end is worse than an early one.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pocketvision.errors import UsageError
from pocketvision.training.settings import PhaseSettings

LOWEST, AIM, HIGHEST = 0.87, 0.93, 0.96
"""Shares of the time: a plan that ends within the outer two stands, another one is made for the middle one."""
MOST_EPOCHS = 60
"""More bring nothing on the sets of benchmarks/README.md: more time goes into a deeper cut and more views."""
FEW_EPOCHS = 4
MOST_VIEWS = 16
_DEEPER = 3  # more stages than the recipe says
# What a plan loses, to be weighed against each other: per halving of views, per doubling, per stage, per halving of few epochs;
# for each hundredth of the time that it misses, and per halving of what it uses below LOWEST.
_HALF_VIEWS, _TWICE_VIEWS, _STAGE, _FEW, _MISSED, _IDLE = 1.0, 0.3, 1.0, 2.0, 0.2, 4.0


@dataclass(frozen=True)
class Work:
    """What a run has to do. pictures: of an epoch. ending: answers of the exported file after the last epoch. cached: whether
    views are run through the frozen network once, or in every epoch. all_views: whether heads alone learn from all of them too
    (CachedInputs.views)."""

    pictures: int
    validation: int
    batch: int
    ending: int
    cached: bool = True
    all_views: bool = False

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return math.ceil(self.pictures / self.batch)


@dataclass(frozen=True)
class Speeds:
    """Seconds, as measured.

    before: until anything learns. view: an image read, augmented and run through the frozen network. solving: the linear algebra
    of a solver. another: to compile the frozen network for another cut. steps, validation: a training step, and an image that is
    validated, by how many stages learn. after, ended: all that follows the last epoch, whatever the images, and an answer then.
    """

    before: float
    view: float
    solving: float
    another: float
    steps: Mapping[int, float]
    validation: Mapping[int, float]
    after: float
    ended: float

    def epoch(self, work: Work, unfreeze: int) -> float:
        """Without what is computed once a view."""
        fed = 0.0 if work.cached else self.view * (work.pictures + work.validation)
        return work.steps * self.steps[unfreeze] + work.validation * self.validation[unfreeze] + fed

    def ending(self, work: Work) -> float:
        """From the last epoch to the end of the run."""
        return self.after + work.ending * self.ended


@dataclass(frozen=True)
class Plan:
    """views: of a picture. unfreeze and epochs: of the last phase. parts: seconds by what they are for, in their order."""

    views: int
    unfreeze: int
    epochs: int
    parts: Mapping[str, float]

    @property
    def seconds(self) -> float:
        """From the run's beginning to its end."""
        return sum(self.parts.values())


def plan(
    speeds: Speeds,
    work: Work,
    phases: Sequence[PhaseSettings],
    seconds: float,
    *,
    cuts: Sequence[int],
    most_views: int = MOST_VIEWS,
) -> Plan:
    """What fills `seconds` best: near to the recipe (its own views and cut), with enough epochs, and little time left over.

    cuts: numbers of stages that the last phase may unfreeze, all of which were measured. Raises UsageError, with the least that
    would do and what for, where not even one epoch fits.
    """
    choices = [
        each
        for unfreeze in cuts
        for views in range(1, most_views + 1)
        for each in _lengths(speeds, work, phases, seconds, views, unfreeze)
    ]
    if not choices:
        least = (_of(speeds, work, phases, 1, unfreeze, 1) for unfreeze in cuts)
        raise _too_short(seconds, min(least, key=lambda each: each.seconds))
    return min(choices, key=lambda each: _loss(each, phases[-1], seconds))


def is_comfortable(found: Plan, seconds: float) -> bool:
    """Whether other cuts need not be looked at: enough epochs, and the time is used."""
    return found.epochs >= FEW_EPOCHS and found.seconds >= LOWEST * seconds


def replanned(settings: PhaseSettings, done: int, *, epoch: float, pending: float, left: float, whole: float) -> int:
    """How many epochs a phase has after `done` of them.

    epoch: seconds of one. pending: of what is still computed once. left: seconds until the deadline without those after the last
    epoch. whole: seconds of all the run. The number that stands is kept where it ends the run within LOWEST and HIGHEST of it.
    """

    def ends(epochs: int) -> float:
        return 1 - (left - pending - (epochs - done) * epoch) / whole

    if LOWEST <= ends(settings.epochs) <= HIGHEST:
        return settings.epochs
    fitting = done + max(0, round((left - pending - (1 - AIM) * whole) / epoch))
    while fitting > done and ends(fitting) > HIGHEST:
        fitting -= 1
    if fitting == done and ends(done + 1) <= 0.99:  # better late in the band than without an epoch
        fitting = done + 1
    return min(fitting, max(MOST_EPOCHS, settings.epochs))


def _lengths(
    speeds: Speeds, work: Work, phases: Sequence[PhaseSettings], seconds: float, views: int, unfreeze: int
) -> Iterator[Plan]:
    """Plans of as many epochs as fit, of one fewer, and of the most."""
    one = _of(speeds, work, phases, views, unfreeze, 1)
    fitting = 1 + math.floor((HIGHEST * seconds - one.seconds) / speeds.epoch(work, unfreeze))
    for epochs in {fitting, fitting - 1, MOST_EPOCHS}:
        if 1 <= epochs <= min(fitting, MOST_EPOCHS):
            yield _of(speeds, work, phases, views, unfreeze, epochs)


def _of(speeds: Speeds, work: Work, phases: Sequence[PhaseSettings], views: int, unfreeze: int, epochs: int) -> Plan:
    """With what it takes: a pass a view for every cut that features are cached at, and the phases."""
    *earlier, last = phases
    cuts = {each.unfreeze for each in [*earlier, replace(last, unfreeze=unfreeze)] if each.unfreeze} or {0}
    seen = views if unfreeze or work.all_views or any(each.solver == "ridge" for each in phases) else 1
    passes = len(cuts) * (work.pictures * seen + work.validation) * speeds.view if work.cached else 0.0
    compiling = speeds.another if unfreeze != last.unfreeze and work.cached else 0.0
    parts = {"reading and measuring": speeds.before, "frozen features": passes + compiling}
    for each in earlier:
        solved = each.solver == "ridge"
        parts[f"phase {each.number}"] = speeds.solving if solved else each.epochs * speeds.epoch(work, each.unfreeze)
    parts[f"phase {last.number}"] = epochs * speeds.epoch(work, unfreeze)
    parts["calibration, export, evaluation and report"] = speeds.ending(work)
    return Plan(views, unfreeze, epochs, parts)


def _loss(found: Plan, last: PhaseSettings, seconds: float) -> float:
    used, doublings = found.seconds / seconds, math.log2(found.views / last.views)
    missed = _MISSED * 100 * abs(AIM - max(used, LOWEST)) + _IDLE * max(0.0, math.log2(LOWEST / used))
    views = _TWICE_VIEWS * doublings if doublings > 0 else -_HALF_VIEWS * doublings
    few = _FEW * max(0.0, math.log2(FEW_EPOCHS / found.epochs))
    return missed + views + few + _STAGE * abs(found.unfreeze - last.unfreeze)


def _too_short(seconds: float, least: Plan) -> UsageError:
    minutes = math.ceil(least.seconds / HIGHEST / 6) / 10
    made_up = ", ".join(f"{part} {spent:.0f} s" for part, spent in least.parts.items())
    return UsageError(
        f"--minutes {seconds / 60:g} is too few for these pictures on this machine; the least that would do is about {minutes:g} "
        f"(with one view and one epoch: {made_up}). Give that many, a smaller --size, or fewer pictures."
    )


def cuts_beside(phases: Sequence[PhaseSettings], stages: int) -> list[int]:
    """Other numbers of stages that the last phase may unfreeze, near ones first: none beside heads alone or all of it, and none
    that is less than what a phase before it unfreezes."""
    *earlier, last = phases
    if not 0 < last.unfreeze <= stages:
        return []
    least = max([1, *(each.unfreeze for each in earlier)])
    others = [each for each in range(least, min(last.unfreeze + _DEEPER, stages) + 1) if each != last.unfreeze]
    return sorted(others, key=lambda each: abs(each - last.unfreeze))
