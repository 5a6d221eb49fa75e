"""A learning rate for a phase: it rises at every step until the loss runs away (Smith 2017, sections 3.1 to 3.3,
https://arxiv.org/abs/1506.01186)."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from pocketvision.errors import UsageError
from pocketvision.models.network import Network
from pocketvision.training.engine import TrainingBatch
from pocketvision.training.growing import Growth
from pocketvision.training.inputs import Inputs
from pocketvision.training.mixing import mix
from pocketvision.training.objective import Objective
from pocketvision.training.optimizer import make_optimizer, set_lr
from pocketvision.training.phase_models import Part, cuts_of, part_of
from pocketvision.training.phases import Entries, batches_of, train_phases
from pocketvision.training.processes import ALONE
from pocketvision.training.randomness import begin_step, left_alone
from pocketvision.training.settings import PhaseSettings
from pocketvision.training.update import ByTask, update

LOWEST, HIGHEST = 1e-6, 10.0
"""Rates that are tried, if the loss does not run away before."""
CYCLE = 8
"""Batches that come again and again, in the same views: a mean over one round of them has none of the differences between
batches, which are larger than what a step changes."""
_RAN_AWAY = 4.0
"""Times the first loss."""


@dataclass(frozen=True)
class RateSweep:
    """Of a phase, by its number. rates: that were tried, rising. losses: means over the last CYCLE steps, as
    many; the first CYCLE - 1 steps have none and are left out."""

    phase: int
    rates: tuple[float, ...]
    losses: tuple[float, ...]

    @property
    def suggested(self) -> float | None:
        """Where the loss fell fastest over the rate's logarithm, before its lowest; None where it never fell."""
        lowest = int(np.argmin(self.losses))
        if lowest < 2:
            return None
        slopes = np.gradient(np.array(self.losses[: lowest + 1]), np.log(self.rates[: lowest + 1]))
        return float(self.rates[int(np.argmin(slopes))])

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return {"phase": self.phase, "suggested": self.suggested, "rates": [*self.rates], "losses": [*self.losses]}


def swept(
    network: Network,
    inputs: Mapping[int, Inputs],
    *,
    entries: Entries,
    validation: Entries,
    phases: Sequence[PhaseSettings],
    number: int,
    objective: Objective,
    seed: int,
    from_scratch: bool,
    precision: torch.dtype,
    name_of: Callable[[int], str],
    steps: int,
    on_step: Callable[[int, int], None] = lambda _done, _of: None,
) -> RateSweep:
    """Raise the rate of phase `number` from LOWEST to HIGHEST in `steps` steps. A copy learns: the network stays as it is.

    The phases before it learn first, on the copy. inputs: by the cuts of all phases. on_step: told of steps, and of how many.
    Raises UsageError for a phase that can not be swept.
    """
    settings = _gradient_phase(phases, number)
    own, cuts = copy.deepcopy(network), cuts_of(network, phases, from_scratch=from_scratch)
    objective = replace(objective, balance=None)
    earlier = [each for each in phases if each.number < number]
    if earlier:
        fed = dict(zip(cuts_of(own, earlier, from_scratch=from_scratch), [inputs[cut] for cut in cuts], strict=False))
        train_phases(
            own,
            fed,
            entries=entries,
            validation=validation,
            phases=earlier,
            objective=objective,
            seed=seed,
            from_scratch=from_scratch,
            precision=precision,
            name_of=name_of,
            checkpoints=None,
        )
    shown = inputs[cuts[[each.number for each in phases].index(number)]]
    size = (shown.images.preprocessing.height, shown.images.preprocessing.width)
    own = own.to(memory_format=torch.channels_last)
    part = part_of(own, settings, from_scratch=from_scratch, precision=precision, size=size)
    growth = Growth.of(settings, part.model)
    few = replace(
        entries, samples=entries.samples[: CYCLE * settings.batch], replicas=entries.replicas[: CYCLE * settings.batch]
    )
    with left_alone():
        batches = [*batches_of(shown, part, growth, few, objective, seed, None, ALONE, 1, 0)]
        return _raised(part, batches, objective, seed, steps, on_step)


def _gradient_phase(phases: Sequence[PhaseSettings], number: int) -> PhaseSettings:
    found = {each.number: each for each in phases}.get(number)
    if found is None:
        raise UsageError(
            f"There is no phase {number}; the recipe's are {', '.join(str(each.number) for each in phases)}."
        )
    if found.solver != "gradient":
        raise UsageError(f"Phase {number} is solved in closed form and has no learning rate. Give --phase another.")
    if found.model is not None:
        raise UsageError(f"Phase {number} learns {found.model}: give that as --set model.name to look for its rate.")
    return found


def _raised(
    part: Part,
    batches: Sequence[TrainingBatch],
    objective: Objective,
    seed: int,
    steps: int,
    on_step: Callable[[int, int], None],
) -> RateSweep:
    settings, model = part.settings, part.model
    learned = {name: each for name, each in model.named_parameters() if each.requires_grad}
    optimizer = make_optimizer(learned, settings.optimizer, lr=LOWEST, depth_of=part.depth_of)
    rates: list[float] = []
    losses: list[float] = []
    for step in range(steps):
        rate, batch = LOWEST * (HIGHEST / LOWEST) ** (step / (steps - 1)), batches[step % len(batches)]
        random = begin_step(seed, settings.number, 1, step + 1)
        set_lr(optimizer, rate)
        inputs, mixed = mix(batch.inputs, settings.regularisation, random)
        targets = batch.targets if mixed is None else objective.mixed(batch.targets, mixed)
        loss = partial(_loss_of, objective, targets)
        taken = update(model, inputs, loss, learned, optimizer, settings.optimizer)
        if not taken.is_finite:
            break
        rates.append(rate)
        losses.append(taken.loss)
        on_step(step + 1, steps)
        if step >= len(batches) and losses[-1] > _RAN_AWAY * max(losses[: len(batches)]):
            break
    if not rates:
        raise UsageError(
            f"The loss is not a number at a rate of {LOWEST:g}: look at these images first (pocketvision check)."
        )
    round_of = min(len(batches), len(losses))
    means = np.convolve(losses, np.full(round_of, 1 / round_of), mode="valid").tolist()
    return RateSweep(settings.number, tuple(rates[round_of - 1 :]), tuple(means))


def _loss_of(objective: Objective, targets: object, outputs: ByTask) -> Tensor:
    return objective.loss(outputs, targets)  # type: ignore[arg-type]
