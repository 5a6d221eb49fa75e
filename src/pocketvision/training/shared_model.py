"""A model that several processes train: each runs a slice of a batch's rows, and all see what became of all rows.

The loss is taken of the whole batch in every process, so that it is that of one process whatever it is made of: class weights,
counted objects, contrasts between rows. Its slope at the own rows goes back through the own copy of the model, and the gradients
of the parameters are summed over the processes on their way (parallel by rows, as DistributedDataParallel, which takes the mean
of local losses). Norms that learn their statistics have those of the whole batch (as SyncBatchNorm, which is for GPUs alone),
and dropout and stochastic depth draw for the whole batch.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from pocketvision.errors import UsageError
from pocketvision.models.row_draws import SHARE, drawn_by_row
from pocketvision.training.processes import Processes, current

Outputs = Mapping[str, Mapping[str, Tensor]]


@contextmanager
def shared(model: nn.Module, processes: Processes) -> Iterator[nn.Module]:
    """Within the block, `model` for the engine: called with all rows of a batch in every process, it gives the outputs of all.

    Raises UsageError for norms that learn their statistics and are not torch's own.
    """
    if processes.count == 1:
        yield model
        return
    changed = [(module, type(module)) for module in model.modules() if type(module) in _SHARED]
    for module in model.modules():
        if isinstance(module, _BatchNorm) and type(module) not in _SHARED and module.training:
            raise UsageError(
                f"Several processes can not train a network from scratch whose norms are {type(module).__name__}. Take one "
                "process, or begin with weights."
            )
    before = SHARE.set(None)
    try:
        for module, kind in changed:
            module.__class__ = _SHARED[kind]  # parameters, their names and who refers to them stay
        yield _SharedModel(model, processes)
    finally:
        for module, kind in changed:
            module.__class__ = kind
        SHARE.reset(before)


class _SharedModel(nn.Module):
    """Parameters and modules are the model's own, under its names."""

    def __init__(self, model: nn.Module, processes: Processes) -> None:
        super().__init__()
        self.__dict__["_model"] = model
        self._processes = processes

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        yield from self.__dict__["_model"].named_parameters(prefix, recurse, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[nn.Module]:
        yield from self.__dict__["_model"].modules(remove_duplicate)

    def forward(self, inputs: Mapping[str, Tensor]) -> Outputs:
        model: nn.Module = self.__dict__["_model"]
        share = self._processes.share(len(next(iter(inputs.values()))))
        SHARE.set(share)  # it stays for what is computed again on the way back
        own = {name: values[share.shown] for name, values in inputs.items()}
        learned = {name: each for name, each in model.named_parameters() if each.requires_grad}
        if torch.is_grad_enabled() and learned:
            tied = dict(zip(learned, _Summed.apply(self._processes, *learned.values()), strict=True))
            made: Outputs = torch.func.functional_call(model, tied, (own,))
        else:
            made = model(own)
        return {
            task: {role: _Gathered.apply(values, self._processes, share) for role, values in roles.items()}
            for task, roles in made.items()
        }


class _Gathered(Function):
    """(own, …) to (total, …). What the loss asks of other processes' rows is theirs to follow."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, processes: Processes, share: Any) -> Tensor:
        ctx.share, ctx.rows = share, len(own)
        whole = own.new_zeros((share.total, *own.shape[1:]))
        whole[share.begin : share.end] = own[: share.counted]
        return processes.total(whole)

    @staticmethod
    def backward(ctx: Any, *asked: Tensor) -> Any:
        own = asked[0][ctx.share.begin : ctx.share.end]
        if not ctx.share.counted:
            own = asked[0].new_zeros((ctx.rows, *asked[0].shape[1:]))
        return own, None, None


class _Summed(Function):
    """The parameters themselves; their gradients are summed over the processes, all at once."""

    @staticmethod
    def forward(ctx: Any, processes: Processes, *parameters: Tensor) -> tuple[Tensor, ...]:
        ctx.processes = processes
        ctx.set_materialize_grads(False)  # a parameter that the loss does not hang on gets no gradient, as ever
        return tuple(each.view_as(each) for each in parameters)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        found = [each for each in gradients if each is not None]
        if not found:
            return None, *gradients
        flat = ctx.processes.total(torch.cat([each.reshape(-1) for each in found]))
        parts = iter(flat.split([each.numel() for each in found]))
        summed = (
            None if each is None else torch.empty_like(each).copy_(next(parts).view(each.shape)) for each in gradients
        )
        return None, *summed


class _Total(Function):
    """A sum over the processes, of which each one's loss asks its own."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        del ctx
        return current().total(values)

    @staticmethod
    def backward(ctx: Any, *asked: Tensor) -> Any:
        del ctx
        return current().total(asked[0].contiguous())


def _normalised(norm: _BatchNorm, values: Tensor) -> Tensor:
    """A norm in training, by the statistics of all processes' rows; in single precision, as torch's own."""
    share = SHARE.get()
    counts = 0.0 if share is not None and not share.counted else 1.0  # a row that stands in
    full = values.float()
    over = [dimension for dimension in range(full.ndim) if dimension != 1]
    shape = [1, -1, *(1 for _ in full.shape[2:])]
    rows = full.new_tensor([counts * full.numel() / full.shape[1]])
    found = _Total.apply(torch.cat([counts * full.sum(over), rows]))
    count = found[-1].detach()
    mean = found[:-1] / count
    centred = full - mean.view(shape)
    variance = _Total.apply(counts * (centred * centred).sum(over)) / count
    if norm.running_mean is not None and norm.running_var is not None:
        memory = 0.1 if norm.momentum is None else norm.momentum
        with torch.no_grad():
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked.add_(1)
            norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), memory)
            unbiased = variance * count / (count - 1).clamp(min=1)
            norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), memory)
    output: Tensor = centred * (variance + norm.eps).rsqrt().view(shape)
    if norm.affine:
        output = output * norm.weight.view(shape) + norm.bias.view(shape)
    return output.to(values.dtype)


class _SharedBatchNorm2d(nn.BatchNorm2d):
    def forward(self, input: Tensor) -> Tensor:
        return _normalised(self, input) if self.training else super().forward(input)


class _SharedBatchNorm1d(nn.BatchNorm1d):
    def forward(self, input: Tensor) -> Tensor:
        return _normalised(self, input) if self.training else super().forward(input)


class _SharedDropout(nn.Dropout):
    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return input
        last = input.ndim == 4 and input.is_contiguous(memory_format=torch.channels_last) and not input.is_contiguous()

        def draw(rows: int) -> Tensor:
            ones = input.new_ones((rows, *input.shape[1:]))
            return F.dropout(ones.contiguous(memory_format=torch.channels_last) if last else ones, self.p)

        return input * drawn_by_row(draw, len(input))


_SHARED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm2d: _SharedBatchNorm2d,
    nn.BatchNorm1d: _SharedBatchNorm1d,
    nn.Dropout: _SharedDropout,
}
