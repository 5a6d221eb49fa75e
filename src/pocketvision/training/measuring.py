"""How fast a training is on this machine, measured before it: steps of the engine itself, on a copy of the network, and without
effect on the numbers of the run."""

import copy
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pocketvision.export.to_onnx import write_graph
from pocketvision.models.features import CUT
from pocketvision.models.network import Network, fold_norms
from pocketvision.progress import StepProgress
from pocketvision.training.engine import TrainingBatch, fit
from pocketvision.training.inputs import IMAGES, CachedInputs, Inputs, Names, Row
from pocketvision.training.mixing import Mix, Mosaic
from pocketvision.training.objective import Validation
from pocketvision.training.phase_models import Part, cut_for, part_of
from pocketvision.training.phases import VALIDATION_BATCH
from pocketvision.training.settings import PhaseSettings

_STEPS = 4  # the first one warms up
_SIDE = 1024
_FACTORISED = (
    30  # flops for each cube of a solver's features or rows, the smaller: all of them and then the deepest alone
)


@dataclass(frozen=True)
class Outputs:
    """Minimises the sum of what the heads put out: what is minimised has no bearing on how long a step takes."""

    def loss(self, outputs: Any, targets: Any) -> Tensor:
        del targets
        return torch.stack([each.float().sum() for roles in outputs.values() for each in roles.values()]).sum()

    def right(self, outputs: Any, targets: Any) -> tuple[int, int]:
        del outputs, targets
        return 0, 1

    def mixed(self, targets: Any, mix: Mix | Mosaic) -> Any:
        del mix
        return targets


def seconds_of_view(inputs: Inputs, names: Names, rows: Sequence[Row]) -> float:
    """To read, augment and run one view through the frozen network, of a third of the rows on. With a cache they are kept, and
    those that are there already take no time."""
    first = max(1, len(rows) // 3)
    _fed(inputs, names, rows[:first])
    started = time.perf_counter()
    done = _fed(inputs, names, rows[first:])
    return (time.perf_counter() - started) / done if done else 0.0


def seconds_of_step(
    network: Network,
    settings: PhaseSettings,
    *,
    from_scratch: bool,
    precision: torch.dtype,
    size: tuple[int, int],
    validation: int,
) -> tuple[float, float]:
    """Of a training step of a phase, and of one of `validation` images that are validated. size: their height and width."""
    own = copy.deepcopy(network).to(memory_format=torch.channels_last)
    part = part_of(own, settings, from_scratch=from_scratch, precision=precision, size=size)
    features = _features(own, part, settings, size)
    batch = TrainingBatch(features, None, np.zeros(settings.batch, np.int64))
    ends: list[float] = []
    validated: list[float] = []

    def stepped(progress: StepProgress) -> None:
        del progress
        ends.append(time.perf_counter())

    def validate() -> Validation:
        validated.append(_seconds_of_validation(part, features, validation))
        return Validation(0.0, 0.0, {})

    part.model.train()
    fit(
        part.model,
        settings,
        batches=lambda _, first: [batch] * (_STEPS - first),
        steps=_STEPS,
        objective=Outputs(),
        validate=validate,
        seed=0,
        statistics=part.model.statistics(),
        depth_of=part.depth_of,
        on_step=stepped,
        replan=lambda _, history: len(history),
    )
    return float(median(np.diff(ends))), validated[0] / max(validation, 1)


def seconds_of_export(network: Network, size: tuple[int, int]) -> float:
    """Of a graph of the whole network, from images of this height and width, whose structure was never exported before."""
    whole = _Whole(fold_norms(network).to(memory_format=torch.contiguous_format)).eval()
    example = torch.zeros(2, 3, *size)
    with tempfile.TemporaryDirectory() as folder:
        small = torch.zeros(2, 3, 4, 4)  # what loads the exporter is not part of an export
        write_graph(torch.nn.Sequential(torch.nn.ReLU()), Path(folder) / "small.onnx", example=small, outputs=("y",))
        started = time.perf_counter()
        write_graph(whole, Path(folder) / "whole.onnx", example=example, outputs=tuple(network.heads), anew=True)
        return time.perf_counter() - started


@torch.no_grad()
def seconds_of_answer(network: Network, size: tuple[int, int]) -> float:
    """Of an image in PyTorch, as they are compared with the export."""
    whole = _Whole(network)
    images = torch.zeros(VALIDATION_BATCH, 3, *size)
    whole(images)
    started = time.perf_counter()
    whole(images)
    return (time.perf_counter() - started) / len(images)


def seconds_of_solving(network: Network, rows: int) -> float:
    """Of the linear algebra of a head on as many rows (solving.py), from this machine's matrix product."""
    width = sum(network.feature(name).channels for name in network.features_read)
    matrix = np.ones((_SIDE, _SIDE), np.float32)
    taken: list[float] = []
    for _ in range(_STEPS):
        started = time.perf_counter()
        matrix @ matrix
        taken.append(time.perf_counter() - started)
    rate = 2 * _SIDE**3 / min(taken)
    smaller = min(rows, width)
    return float(8 * rows * width * smaller + _FACTORISED * smaller**3) / rate


class _Whole(torch.nn.Module):
    """From images to a tensor a task."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        answers = self.network.on_features(self.network.features(images, self.network.features_read))
        return tuple(next(iter(roles.values())) for roles in answers.values())


def _fed(inputs: Inputs, names: Names, rows: Sequence[Row]) -> int:
    """How many views were run."""
    if isinstance(inputs, CachedInputs):
        return inputs.fill(names, rows)
    for _ in inputs.batches(names, [rows]):
        pass
    return len(rows)


@torch.no_grad()
def _features(network: Network, part: Part, settings: PhaseSettings, size: tuple[int, int]) -> Mapping[str, Tensor]:
    """A batch of what the phase is fed, of random images."""
    images = torch.rand((settings.batch, 3, *size), generator=torch.Generator().manual_seed(0))
    images = images.to(memory_format=torch.channels_last)
    if IMAGES in part.names:
        return {IMAGES: images}
    if settings.unfreeze == 0:
        return network.features(images, part.names)
    return network.below(images, cut_for(network, settings.unfreeze), [name for name in part.names if name != CUT])


@torch.no_grad()
def _seconds_of_validation(part: Part, features: Mapping[str, Tensor], images: int) -> float:
    """Of as many images."""
    started = time.perf_counter()
    model = part.model.for_validation().eval()
    folding = time.perf_counter() - started
    rows = min(VALIDATION_BATCH, len(next(iter(features.values()))))
    shown = {name: each[:rows] for name, each in features.items()}
    model(shown)
    warm = time.perf_counter()
    model(shown)
    return folding + (time.perf_counter() - warm) * images / rows
