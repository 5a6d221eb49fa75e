"""A run with --minutes: measured, planned and written into its recipe before anything learns, and kept to its time on the way."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from pocketvision.errors import UsageError
from pocketvision.models.features import CUT
from pocketvision.models.network import Network
from pocketvision.printable import counted
from pocketvision.progress import EpochRecord
from pocketvision.training.deadline import Deadline
from pocketvision.training.inputs import IMAGES, CachedInputs, Inputs, Names
from pocketvision.training.measuring import (
    seconds_of_answer,
    seconds_of_export,
    seconds_of_solving,
    seconds_of_step,
    seconds_of_view,
)
from pocketvision.training.pace import Pace
from pocketvision.training.phase_models import WHOLE, cuts_of
from pocketvision.training.phases import Entries, view_number
from pocketvision.training.planning import (
    LOWEST,
    MOST_EPOCHS,
    Plan,
    Speeds,
    Work,
    cuts_beside,
    is_comfortable,
    plan,
    replanned,
)
from pocketvision.training.recipe import Recipe
from pocketvision.training.settings import PhaseSettings
from pocketvision.training.solving import MOST_ROWS

_IMAGES, _VIEWS = 24, 4  # that are read to measure
_REPORT = 1.5  # of the time of an export: bundle, plots and report
_COMPILING = 1.5  # of the same: two graphs and their runtime
_LOOKING = 0.05  # of the time at most, for cuts beside the recipe's
_MOST_SLOWER = 2.0  # than measured, that what follows the last epoch is taken to be

Values = Mapping[str, Any]
"""Of the recipe, by path."""


@dataclass(frozen=True, eq=False)
class Measuring:
    """Measures a run of `recipe`; the network and all random states stay as they are. inputs: by cut, as the recipe stands. size:
    of images, height and width. compared: images that PyTorch answers at the end."""

    recipe: Recipe
    network: Network
    inputs: Mapping[int, Inputs]
    entries: Entries
    work: Work
    compared: int
    size: tuple[int, int]
    precision: torch.dtype
    deadline: Deadline

    def planned(self) -> tuple[Speeds, Plan]:
        """The plan, and the speeds that it rests on. Raises UsageError for too little time."""
        phases, seconds = self.recipe.phase_settings(), self.deadline.seconds
        if phases[-1].solver != "gradient":
            raise UsageError(
                f"--minutes plans the epochs of the last phase, and phase {phases[-1].number} is solved in one pass. Leave "
                "--minutes out: it takes as long as it takes."
            )
        speeds, began = self._speeds(phases), self.deadline.used
        cuts, found, refused = [phases[-1].unfreeze], None, None
        beside = [] if self.recipe.model.from_scratch else cuts_beside(phases, len(self.network.stages))
        while True:
            try:
                found = plan(speeds, self.work, phases, seconds, cuts=cuts)
            except UsageError as error:
                refused = error
            looked = self.deadline.used - began > _LOOKING * seconds
            if not beside or (found is not None and (looked or is_comfortable(found, seconds))):
                break
            speeds = self._with_cut(speeds, replace(phases[-1], unfreeze=beside[0]))
            cuts.append(beside.pop(0))
        if found is None:
            assert refused is not None
            raise refused
        return replace(speeds, before=self.deadline.used), found

    def _speeds(self, phases: Sequence[PhaseSettings]) -> Speeds:
        """With the recipe's own cuts."""
        cut = cuts_of(self.network, phases, from_scratch=self.recipe.model.from_scratch)[-1]
        fed = self.inputs[cut]
        names = [IMAGES] if cut == WHOLE else [CUT, *self.network.features_read]
        views = range(min(fed.most_views or 1, _VIEWS))
        chosen = self.entries.samples[:_IMAGES].tolist()
        view = seconds_of_view(fed, names, [(sample, view) for sample in chosen for view in views])
        solving = 0.0
        if any(each.solver == "ridge" for each in phases):
            solving = seconds_of_solving(self.network, min(MOST_ROWS, self.work.pictures * (fed.most_views or 1)))
        export = seconds_of_export(self.network, self.size)
        after = export * (1 + _REPORT) + self.compared * seconds_of_answer(self.network, self.size)
        speeds = Speeds(0.0, view, solving, _COMPILING * export, {}, {}, after, view)
        for each in phases:
            if each.solver == "gradient":
                speeds = self._with_cut(speeds, each)
        return speeds

    def _with_cut(self, speeds: Speeds, phase: PhaseSettings) -> Speeds:
        """With those of a phase."""
        step, validated = seconds_of_step(
            self.network,
            phase,
            from_scratch=self.recipe.model.from_scratch,
            precision=self.precision,
            size=self.size,
            validation=self.work.validation,
        )
        return replace(
            speeds,
            before=self.deadline.used,
            steps={**speeds.steps, phase.unfreeze: step},
            validation={**speeds.validation, phase.unfreeze: validated},
        )


def values_of_plan(found: Plan, recipe: Recipe) -> dict[str, Any]:
    """What the plan changes in the recipe. The schedule is run to its end: a plateau, which has none, becomes a cosine."""
    last = recipe.phase_settings()[-1]
    at = f"phases.{last.number}"
    values: dict[str, Any] = {
        f"{at}.epochs": found.epochs,
        f"{at}.replanned": None,
        f"{at}.unfreeze": found.unfreeze,
        f"{at}.patience": max(last.patience, MOST_EPOCHS),
    }
    if recipe.cache.enabled and not recipe.model.from_scratch:
        values["cache.views"] = found.views
    if recipe.schedule.name == "plateau":
        values["schedule.name"] = "cosine"
    return values


def said(found: Plan, deadline: Deadline, last: PhaseSettings) -> str:
    """The plan as a sentence or two."""
    cut = f"the last {counted(found.unfreeze, 'stage')}" if found.unfreeze else "the heads alone"
    text = (
        f"Planned for {deadline.minutes:g} minutes: {counted(found.views, 'view')} of an image, {cut} in phase {last.number}, "
        f"{counted(found.epochs, 'epoch')}; about {found.seconds / 60:.1f} minutes in all."
    )
    if found.seconds < LOWEST * deadline.seconds:
        text += " It ends early: more epochs, views or stages would hardly help."
    return text


@dataclass(frozen=True, eq=False)
class RunPlan:
    """Keeps a run to its time: `replan` is what train_phases asks.

    last, inputs, names: the last phase, as planned, what feeds it, and with what. record: takes what
    changes in the recipe. note: takes a sentence.
    alone: whether there is no other phase, so that this one can not be left out.
    """

    deadline: Deadline
    speeds: Speeds
    work: Work
    last: PhaseSettings
    inputs: Inputs
    entries: Entries
    pace: Pace
    names: Names
    record: Callable[[Values], None]
    note: Callable[[str], None]
    alone: bool

    def replan(self, settings: PhaseSettings, history: Sequence[EpochRecord]) -> int:
        """How many epochs the phase has, after those of its history; only the last phase is ever changed."""
        if settings.number != self.last.number:
            return settings.epochs
        done, expected = len(history), self.speeds.epoch(self.work, settings.unfreeze)
        epoch = self.pace.epoch(settings.number, history[-1] if history else None) or expected
        slower = min(max(epoch / expected, 1.0), _MOST_SLOWER)
        epochs = replanned(
            settings,
            done,
            epoch=epoch,
            pending=self._pending(),
            left=self.deadline.seconds - self.deadline.used - slower * self.speeds.ending(self.work),
            whole=self.deadline.seconds,
        )
        epochs = max(epochs, 1 if self.alone else 0)
        if epochs != settings.epochs:
            self._record(settings, done, epochs)
        return epochs

    def _record(self, settings: PhaseSettings, done: int, epochs: int) -> None:
        at = f"phases.{settings.number}"
        values: dict[str, Any] = {f"{at}.epochs": epochs}
        if done:
            values[f"{at}.replanned"] = (*settings.replanned, float(done), float(settings.epochs))
            self.note(
                f"Planned anew after {counted(done, 'epoch')} of phase {settings.number}: {epochs} in all, not {settings.epochs}."
            )
        self.record(values)

    def _pending(self) -> float:
        """Seconds of the views that the phase has not computed yet."""
        if not isinstance(self.inputs, CachedInputs):
            return 0.0
        rows = [
            (sample, view_number(replica, view, self.inputs.most_views))
            for view in range(1, (self.inputs.views(self.names) or 1) + 1)
            for sample, replica in zip(self.entries.samples.tolist(), self.entries.replicas.tolist(), strict=True)
        ]
        return len(self.inputs.missing(self.names, rows)) * (self.pace.view or self.speeds.view)
