"""A phase without gradients: linear heads on frozen features in closed form (ridge.py), strength and features by leave-one-out.

Every view of a training picture is a row, and a picture's rows are left out together; only its clean view, which is what a
shipped network sees, is judged. A head of several stages is solved on all of them and on the deepest alone, and the better stays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketvision.errors import UsageError
from pocketvision.models.features import GRIDDED
from pocketvision.models.network import Network
from pocketvision.training.inputs import Inputs, Placements
from pocketvision.training.objective import Objective
from pocketvision.training.regression import Judged, Regression, Solvable
from pocketvision.training.ridge import Floats, Ridge, solve_ridge

MOST_ROWS = 20_000
"""Of pictures times views: fewer views are read of more pictures."""
_READ_ROWS = 512
_DEEPEST = 2  # features of one level: its mean and its maximum

Solution = tuple[Ridge, tuple[str, ...]]


@dataclass(frozen=True)
class Solved:
    """What was found, by task: the loss and the figure on rows left out, and the features that each head reads now."""

    loss: float
    figure: float
    features: dict[str, tuple[str, ...]]


def solve_heads(network: Network, inputs: Inputs, rows: Sequence[tuple[int, int]], objective: Objective) -> Solved:
    """Set the heads of `network` to the solution on `rows`, each a sample and a view, 0 the clean one. Heads of several stages
    read the better of all of their features and the deepest alone then.

    Raises UsageError for a task that is not linear in its features.
    """
    samples = np.array([sample for sample, _ in rows], np.int64)
    clean = np.array([view == 0 for _, view in rows])
    features = _read(inputs, network.features_read, rows)
    targets = objective.targets(samples, Placements(inputs.images, rows))
    found: dict[str, Judged] = {}
    chosen: dict[str, Solution] = {}
    for task, own in targets.items():
        learner = objective.learners[task]
        if not isinstance(learner, Solvable):
            raise UsageError(f"There is no closed form for {task}. Give this phase the solver gradient.")
        present = np.arange(len(rows)) if own.rows is None else own.rows.numpy()
        regression = learner.regression(own.targets, network.head_specs[task].classes)
        judged = np.flatnonzero(clean[present])
        ridge, names = _best(_candidates(network, task), features, present, regression, samples[present], judged)
        found[task] = regression.judge(ridge.left_out[judged], judged)
        chosen[task] = ridge, names
    read = {task: names for task, (_, names) in chosen.items()}
    read_features(network, read)
    for task, (ridge, _) in chosen.items():
        _set(network.heads[task], ridge, found[task])
    figure = found[objective.main].figure if objective.main in found else 0.0
    return Solved(sum(each.loss for each in found.values()), figure, read)


def read_features(network: Network, features: Mapping[str, tuple[str, ...]]) -> None:
    """Let heads of several stages read these features, by task; they are new ones where those are others."""
    specs = {
        task: replace(spec, features=features[task]) if spec.features and task in features else spec
        for task, spec in network.head_specs.items()
    }
    if specs != network.head_specs:
        network.set_heads(specs)


def _candidates(network: Network, task: str) -> list[tuple[str, ...]]:
    """The sets of features that a head may read, the largest first. One of grids reads them all: a single one says less."""
    spec, row = network.head_specs[task], network.head_rows[task]
    if len(spec.features) <= _DEEPEST or any(name.startswith(GRIDDED) for name in spec.features):
        return [spec.features or row.features]
    return [spec.features, spec.features[-_DEEPEST:]]


def _best(
    candidates: Sequence[tuple[str, ...]],
    features: dict[str, Floats],
    present: NDArray[np.int64],
    regression: Regression,
    samples: NDArray[np.int64],
    judged: NDArray[np.int64],
) -> Solution:
    """The candidate of lowest loss on the judged rows."""
    best: Solution | None = None
    for names in candidates:
        ridge = solve_ridge(
            np.concatenate([features[name][present] for name in names], axis=1),
            regression.targets,
            row_weights=regression.row_weights,
            groups=samples,
            loss=lambda left_out: regression.judge(left_out[judged], judged).loss,
        )
        if best is None or ridge.loss < best[0].loss:
            best = ridge, names
    assert best is not None
    return best


def _read(inputs: Inputs, names: Sequence[str], rows: Sequence[tuple[int, int]]) -> dict[str, Floats]:
    """(rows, channels) of each feature. Raises UsageError for a map."""
    parts = [rows[start : start + _READ_ROWS] for start in range(0, len(rows), _READ_ROWS)]
    found: dict[str, list[Floats]] = {name: [] for name in names}
    for batch in inputs.batches(list(names), parts):
        for name in names:
            if batch[name].ndim != 2:
                raise UsageError(
                    f"There is no closed form for a head that reads maps, {name}. Take the solver gradient."
                )
            found[name].append(batch[name].numpy())
    return {name: np.concatenate(each) for name, each in found.items()}


def _set(head: nn.Module, ridge: Ridge, judged: Judged) -> None:
    """The solution as a linear layer. Raises UsageError for a head that is none."""
    linear = getattr(head, "linear", None)
    if not isinstance(linear, nn.Linear) or linear.weight.shape != ridge.weights.T.shape:
        raise UsageError(f"There is no closed form for the head {type(head).__name__}. Take the solver gradient.")
    with torch.no_grad():
        linear.weight.copy_(_tensor((ridge.weights * judged.scales).T))
        linear.bias.copy_(_tensor(ridge.bias * judged.scales + judged.offsets))


def _tensor(values: Floats) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))
