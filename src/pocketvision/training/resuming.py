"""What a run goes on with: its own settings, but for the few that may change on the way, and the place of its data."""

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pocketvision.errors import TrainingError, UsageError
from pocketvision.training.run_folder import RunFolder, RunSettings
from pocketvision.training.setting_values import Given, applied

CHANGEABLE = re.compile(
    r"phases\.(\d+|\*)\.(epochs|lr)|batch|device|optimizer\.accumulate|data\.workers|cache\.limit|checkpoints\.(seconds|best)"
)
"""Settings that a run may be given anew: how long it learns, what helps where a loss was no number or memory ran out, and what
changes no number."""


@dataclass(frozen=True)
class Resumed:
    """settings: of the run, with what is given now. before: as it was left. more: whether a phase has more epochs now."""

    settings: RunSettings
    before: RunSettings
    more: bool

    @property
    def moved(self) -> bool:
        """Whether its data lies elsewhere now."""
        return (self.settings.data, self.settings.images) != (self.before.data, self.before.images)

    @property
    def is_done(self) -> bool:
        return self.before.status == "finished" and not self.more

    def require_data(self, run: RunFolder) -> None:
        """Raise UsageError where its data is not where it was."""
        if not Path(self.settings.data).exists():
            raise UsageError(
                f"{self.settings.data}, the data of {run.folder}, is not there. If it was moved, say where to: "
                f"pocketvision train NEW-PLACE --resume {run.folder}"
            )


def resumed(run: RunFolder, given: Sequence[Given], data: str | Path | None, images: str | Path | None) -> Resumed:
    """What is to be done with `run`. data, images: where they lie now, None where they were. Raises UsageError for a folder that
    is no run, and for settings that a run that goes on can not change."""
    before = RunSettings.read(run)
    others = [each.spelt for each in given if not CHANGEABLE.fullmatch(each.path)]
    if others:
        raise UsageError(
            "With --resume settings come from the run; epochs and lr of its phases, batch, device, optimizer.accumulate, "
            f"data.workers, cache.limit and checkpoints can change, not {', '.join(others)}."
        )
    recipe = applied(before.recipe, given)
    phases = before.recipe.phases
    if len(recipe.phases) > len(phases):
        raise UsageError(f"With --resume no phase is added: {run.folder} has {len(phases)}.")
    settings = replace(
        before,
        recipe=recipe,
        data=before.data if data is None else str(Path(data).resolve()),
        images=before.images if images is None else str(Path(images).resolve()),
    )
    more = any((new.epochs or 0) > (old.epochs or 0) for new, old in zip(recipe.phases, phases, strict=True))
    return Resumed(settings, before, more)


@contextmanager
def telling_how_to_go_on(run: RunFolder) -> Iterator[None]:
    """Within the block a training that ends with an error says how to go on after it."""
    try:
        yield
    except TrainingError as error:
        raise TrainingError(
            f"{error} What was learned until the last checkpoint is kept; to go on from it, with what is to be changed: "
            f"pocketvision train --resume {shlex.quote(str(run.folder))}"
        ) from error
