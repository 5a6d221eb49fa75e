"""An update: from a batch to a step of the optimizer. Plain; in parts, whose gradients are summed; or sharpness-aware.

What is drawn on the way comes from torch's generator, so that who seeds it before an update repeats it.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pocketvision.models.frozen_statistics import frozen_statistics
from pocketvision.training.optimizer import clip_gradients
from pocketvision.training.settings import OptimizerSettings

ByTask = Mapping[str, Mapping[str, Tensor]]
"""What a model puts out, by task and role, a batch first."""
Loss = Callable[[ByTask], Tensor]
"""From what a model puts out for the whole batch to a number."""


@dataclass(frozen=True, eq=False)
class Updated:
    """What the model put out for the batch before the step, without gradients, and the loss there."""

    outputs: ByTask
    loss: float

    @property
    def is_finite(self) -> bool:
        return math.isfinite(self.loss)


def update(
    model: nn.Module,
    inputs: Mapping[str, Tensor],
    loss: Loss,
    parameters: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    settings: OptimizerSettings,
    scaler: torch.amp.GradScaler | None = None,
) -> Updated:
    """Change the parameters by one step. Where the loss is not finite they stay, and that loss is returned.

    scaler: of losses in float16. Where its scale was too high for the gradients the parameters stay too, and it is lowered.
    """
    replays = settings.accumulate > 1 or settings.sam is not None
    seeds = torch.randint(2**63 - 1, (settings.accumulate,)).tolist() if replays else []
    scale = 1.0 if scaler is None else scaler.get_scale()
    found = _gradients(model, inputs, loss, optimizer, settings.accumulate, seeds, scale)
    if found.is_finite and settings.sam is not None and (scaler is None or _unscaled(parameters, scale)):
        with ascended(parameters, settings.sam), frozen_statistics(model):
            sharp = _gradients(model, inputs, loss, optimizer, settings.accumulate, seeds, scale)
        if not sharp.is_finite:
            return sharp
    if found.is_finite:
        _stepped(parameters, optimizer, settings, scaler)
    return found


def _stepped(
    parameters: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    settings: OptimizerSettings,
    scaler: torch.amp.GradScaler | None,
) -> None:
    """Follow the gradients that the parameters hold; scaled ones where they are finite."""
    if scaler is None:
        clip_gradients(parameters, settings)
        optimizer.step()
        return
    scaler.scale(torch.zeros((), device=next(iter(parameters.values())).device))  # it begins with the first it scales
    scaler.unscale_(optimizer)
    clip_gradients(parameters, settings)
    scaler.step(optimizer)
    scaler.update()


def _unscaled(parameters: Mapping[str, Tensor], scale: float) -> bool:
    """Divide the gradients by the scale, and say whether they are finite; where they are not they stay."""
    gradients = [each.grad for each in parameters.values() if each.grad is not None]
    finite = bool(torch.isfinite(torch.nn.utils.get_total_norm(gradients)))
    for gradient in gradients if finite else ():
        gradient.div_(scale)
    return finite


def _gradients(
    model: nn.Module,
    inputs: Mapping[str, Tensor],
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    parts: int,
    seeds: list[int],
    scale: float,
) -> Updated:
    """Leave the gradients of the batch's loss times `scale` in the parameters; none where it is not finite. seeds: of each part;
    empty goes on with the generator as it is."""
    optimizer.zero_grad(set_to_none=True)
    rows = len(next(iter(inputs.values())))
    parts = min(parts, max(1, rows // 2))  # norms that learn their statistics need two rows
    if parts == 1:
        _seed(seeds, 0)
        outputs = model(inputs)
        value = loss(outputs)
        found = Updated(_detached(outputs), value.item())
        if found.is_finite:
            (value if scale == 1 else value * scale).backward()  # type: ignore[no-untyped-call]
        return found
    return _in_parts(model, inputs, loss, parts, seeds, scale)


def _in_parts(
    model: nn.Module, inputs: Mapping[str, Tensor], loss: Loss, parts: int, seeds: list[int], scale: float
) -> Updated:
    """The gradients of the whole batch with the memory of a part, for a third more time.

    A first pass without gradients gives what the loss looks at, the whole batch at once: so that losses are those of the large
    batch which are more than a mean over rows (weighted classes, counted objects, contrasts between rows). A second pass takes
    what the loss asks of each row back through the model (Gao et al. 2021, section 3, https://arxiv.org/abs/2101.06983). Both
    draw the same, such as dropout. Norms that learn their statistics have those of a part.
    """
    pieces = {name: values.tensor_split(parts) for name, values in inputs.items()}
    shown = [{name: pieces[name][part] for name in inputs} for part in range(parts)]
    made = []
    with torch.no_grad(), frozen_statistics(model):
        for part, own in enumerate(shown):
            _seed(seeds, part)
            made.append(model(own))
    outputs = {
        task: {role: torch.cat([each[task][role] for each in made]).requires_grad_() for role in roles}
        for task, roles in made[0].items()
    }
    value = loss(outputs)
    found = Updated(_detached(outputs), value.item())
    if not found.is_finite:
        return found
    (value if scale == 1 else value * scale).backward()  # type: ignore[no-untyped-call]
    begin = 0
    for part, own in enumerate(shown):
        _seed(seeds, part)
        again, end = model(own), begin + len(next(iter(own.values())))
        pairs = [
            (values, asked[begin:end])
            for task, roles in again.items()
            for role, values in roles.items()
            if values.requires_grad and (asked := outputs[task][role].grad) is not None
        ]
        if pairs:
            tensors, asked_of = zip(*pairs, strict=True)
            torch.autograd.backward(tensors, asked_of)
        begin = end
    return found


@contextmanager
def ascended(parameters: Mapping[str, Tensor], radius: float) -> Iterator[None]:
    """Within the block the parameters are the worst of those within `radius` of them, to first order: up the gradient that they
    hold (Foret et al. 2021, equation 2, https://arxiv.org/abs/2010.01412)."""
    held = {name: each.detach().clone() for name, each in parameters.items() if each.grad is not None}
    with torch.no_grad():
        gradients = {name: parameters[name].grad for name in held}
        norm = torch.nn.utils.get_total_norm([each for each in gradients.values() if each is not None])
        for name, gradient in gradients.items():
            assert gradient is not None
            parameters[name].add_(gradient * (radius / (norm + 1e-12)))
    try:
        yield
    finally:
        with torch.no_grad():
            for name, value in held.items():
                parameters[name].copy_(value)  # not what was added: that would leave a rounding error behind


def _seed(seeds: list[int], part: int) -> None:
    if seeds:
        torch.manual_seed(seeds[part])


def _detached(outputs: ByTask) -> ByTask:
    return {task: {role: values.detach() for role, values in roles.items()} for task, roles in outputs.items()}
