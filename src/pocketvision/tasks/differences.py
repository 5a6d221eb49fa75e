"""How far apart two runs of the same graph are, whatever it answers. One measure for every kind of task."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.catalog import task_named
from pocketvision.tasks.manifest import TaskManifest


@dataclass(frozen=True, eq=False)
class OutputDifference:
    """output: the graph's name; noun: one of its numbers, in words. values: for each of N inputs the largest difference, as if
    of a probability; infinite where a number is not finite."""

    output: str
    noun: str
    values: NDArray[np.float64]

    @property
    def worst(self) -> int:
        """The input that differs most."""
        return int(self.values.argmax())

    @property
    def largest(self) -> float:
        """Of all inputs."""
        return float(self.values.max())


def output_differences(
    tasks: Mapping[str, TaskManifest],
    reference: Mapping[str, NDArray[np.floating]],
    candidate: Mapping[str, NDArray[np.floating]],
) -> list[OutputDifference]:
    """For each output that is compared, in the tasks' order. reference, candidate: a graph's outputs by name for the same N >= 1
    inputs. Raises ValueError when the shapes differ."""
    found = []
    for task in tasks.values():
        row = task_named(task.kind)
        wanted, answered = task.tensors(reference), task.tensors(candidate)
        if row.ordered is not None:
            answered = row.ordered(wanted, answered)
        for role in row.roles:
            if role.scale is None:
                continue
            name = task.outputs[role.name]
            one, other = (np.asarray(each[role.name], np.float64) for each in (wanted, answered))
            if one.shape != other.shape or len(one) == 0:
                raise ValueError(
                    f"{name} has the shapes {one.shape} and {other.shape}; expected equal ones, with images"
                )
            difference = np.abs(one - other).reshape(len(one), -1) / role.scale
            difference[~np.isfinite(difference)] = np.inf
            found.append(OutputDifference(name, role.noun, difference.max(axis=1)))
    return found


def largest_difference(
    tasks: Mapping[str, TaskManifest],
    reference: Mapping[str, NDArray[np.floating]],
    candidate: Mapping[str, NDArray[np.floating]],
) -> float:
    """Over all inputs and compared outputs; see `output_differences`."""
    return max(each.largest for each in output_differences(tasks, reference, candidate))
