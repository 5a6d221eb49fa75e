"""A network over several devices, as a pipeline: each process holds the stages between two cuts, and parts of a batch follow each
other through them (torch.distributed.pipelining; GPipe, Huang et al. 2019, https://arxiv.org/abs/1811.06965).

For a network that is too large for one device. Several processes that each hold all of it (shared_model.py) are faster wherever
it fits.
"""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage, ScheduleGPipe

from pocketvision.errors import UsageError
from pocketvision.models.features import CUT
from pocketvision.models.network import Network
from pocketvision.training.optimizer import make_optimizer, set_lr
from pocketvision.training.settings import OptimizerSettings

ByTask = Mapping[str, Mapping[str, Tensor]]
Loss = Callable[[ByTask, Tensor], Tensor]
"""From what the heads put out for some rows, by task and role, and their targets, to the mean over the rows."""


class PipelinePart(nn.Module):
    """What lies between the cuts `begin` and `end` of a network; None is its beginning, its end. From images or activations to
    activations, or to what the heads put out: the tensors that `names` names, in that order."""

    def __init__(self, network: Network, begin: int | None, end: int | None, size: tuple[int, int]) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        own = range(begin or 0, len(network.stages) if end is None else end)
        for number in range(len(network.stages)):
            if number not in own:
                self.network.stages[number] = nn.Identity()
        if begin is not None:
            self.network.stem = nn.Identity()
        if end is not None:
            self.network.head, self.network.heads = nn.Identity(), nn.ModuleDict()
        self.begin, self.end, self.size = begin, end, size
        self.names: list[tuple[str, str]] = []

    def forward(self, values: Tensor) -> Tensor | tuple[Tensor, ...]:
        network = self.network
        if self.end is not None:
            below = network.stem(values) if self.begin is None else values
            for stage in network.stages[self.begin or 0 : self.end]:
                below = stage(below)
            return below
        assert self.begin is not None
        features = network.above({CUT: values}, self.begin, network.features_read, size=self.size)
        made = network.on_features(features)
        self.names = [(task, role) for task, roles in made.items() for role in roles]
        found = tuple(made[task][role] for task, role in self.names)
        return found[0] if len(found) == 1 else found

    def by_task(self, outputs: Any) -> dict[str, dict[str, Tensor]]:
        """The last part's outputs, by task and role."""
        values = (outputs,) if isinstance(outputs, Tensor) else outputs
        found: dict[str, dict[str, Tensor]] = {}
        for (task, role), each in zip(self.names, values, strict=True):
            found.setdefault(task, {})[role] = each
        return found


def train_pipeline(
    network: Network,
    cuts: Sequence[int],
    batches: Iterable[tuple[Tensor, Tensor]],
    loss: Loss,
    *,
    lr: float,
    settings: OptimizerSettings | None = None,
    parts: int = 4,
    device: str = "cpu",
) -> list[float]:
    """Train all of `network` for a step a batch; called alike by as many processes as there are parts, one more than `cuts`, that
    have joined (torch.distributed.init_process_group; gloo on CPUs). The loss of each step, in every process; afterwards every
    process's network has the weights that were learned.

    batches: images (N, 3, H, W), all of one size, and targets (N, …); N a multiple of `parts`, which follow each other through
    the pipeline. Losses and steps are those of one process, to rounding. Norms keep their statistics, and nothing is dropped at
    random.
    device: of this process's part. Raises UsageError for cuts, heads or batches that do not fit.
    """
    rank, count = dist.get_rank(), dist.get_world_size()
    _require_cuts(network, cuts, count)
    bounds = list(pairwise([None, *cuts, None]))
    losses: list[float] = []
    schedule: ScheduleGPipe | None = None
    for images, targets in batches:
        if len(images) % parts or len(images) != len(targets):
            raise UsageError(f"A batch of {len(images)} images is not {parts} equal parts. Give a multiple of {parts}.")
        if schedule is None:
            part = PipelinePart(network, *bounds[rank], size=(images.shape[2], images.shape[3])).eval().to(device)
            part.requires_grad_(True)
            learned = dict(part.named_parameters())
            optimizer = make_optimizer(learned, settings or OptimizerSettings(), lr=lr)
            set_lr(optimizer, lr)
            stage = PipelineStage(part, rank, count, torch.device(device))
            schedule = ScheduleGPipe(stage, parts, loss_fn=_loss_of(part, loss))  # the last takes it; all go back by it
        optimizer.zero_grad(set_to_none=True)
        losses.append(_step(schedule, images.to(device), targets.to(device), rank, count))
        optimizer.step()
    if schedule is not None:
        _gather(network, part)
    return losses


def _step(schedule: ScheduleGPipe, images: Tensor, targets: Tensor, rank: int, count: int) -> float:
    """Gradients of a batch, in every process those of its part; the mean loss."""
    found: list[Tensor] = []
    if rank == 0:
        schedule.step(images)
    elif rank == count - 1:
        schedule.step(target=targets, losses=found)
    else:
        schedule.step()
    mean = torch.stack(found).mean().detach().cpu() if found else torch.zeros(())
    dist.broadcast(mean, src=count - 1)
    return float(mean)


def _loss_of(part: PipelinePart, loss: Loss) -> Callable[[Any, Tensor], Tensor]:
    return lambda outputs, targets: loss(part.by_task(outputs), targets)


def _gather(network: Network, part: PipelinePart) -> None:
    """Every process's part into every process's network."""
    own = {name: tensor.cpu() for name, tensor in part.network.state_dict().items()}
    told: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(told, own)
    network.load_state_dict({name: tensor for each in told for name, tensor in each.items()})


def _require_cuts(network: Network, cuts: Sequence[int], count: int) -> None:
    stages = len(network.stages)
    if len(cuts) != count - 1 or not cuts:
        raise UsageError(
            f"{count} processes hold {count} parts, which {count - 1} cuts part; there are {len(cuts)} cuts."
        )
    if any(not 0 < cut <= stages for cut in cuts) or any(after <= before for before, after in pairwise(cuts)):
        raise UsageError(
            f"The cuts are {', '.join(map(str, cuts))}; {network.architecture.name} has {stages} stages: expected rising numbers "
            f"from 1 to {stages}."
        )
    below = [name for name in network.features_read if network.feature(name).is_below(cuts[-1])]
    if below:
        raise UsageError(
            f"A head reads {', '.join(below)}, which lies below the last cut ({cuts[-1]}): that part holds the heads, and gets "
            "the activations at its cut alone. Cut lower, or take a head that reads the last stage."
        )
