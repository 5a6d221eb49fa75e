"""A batch's outputs as the answers about each of its images. What one task can not say keeps no other task from answering."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pocketvision.preprocessing import Placement
from pocketvision.runtime.batches import Outputs
from pocketvision.serving.batch_threads import ModelError
from pocketvision.tasks.catalog import Answers, wanted
from pocketvision.tasks.manifest import NOVELTY, TaskManifest
from pocketvision.tasks.task import Detail
from pocketvision.tasks.viewing import answered

Tasks = Mapping[str, TaskManifest]


class Asked(Protocol):
    """placements: where each picture lies in its inputs, the network's in order; mostly one picture with one input."""

    @property
    def placements(self) -> Sequence[Sequence[Placement]]:
        """For each picture those of its inputs."""

    @property
    def detail(self) -> Detail:
        """How much of the answers is wanted."""


@dataclass(eq=False)
class BatchAnswer:
    """What became of one item of a batch: the answers about each of its pictures, the outputs of its inputs, and, by the tasks'
    names, what kept a task from answering and the seconds that each took to make its answers of the outputs."""

    each: list[Answers]
    outputs: Outputs
    errors: dict[str, Exception] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def batch_answers(tasks: Tasks, outputs: Outputs, items: Sequence[Asked]) -> list[BatchAnswer]:
    """An answer for each item, whose inputs follow each other in the outputs. Raises the error of an item that no task
    answers."""
    found, end = [], 0
    for detail, group in groupby(items, lambda item: item.detail):
        together = list(group)
        start, end = end, end + sum(len(places) for item in together for places in item.placements)
        found += _group_answers(tasks, _rows(outputs, start, end), together, detail)
    return found


def _group_answers(tasks: Tasks, outputs: Outputs, items: Sequence[Asked], detail: Detail) -> list[BatchAnswer]:
    """Of items that want the same."""
    answers = [BatchAnswer([{} for _ in item.placements], own) for item, own in _shares(outputs, items)]
    chosen = wanted(tasks, detail)
    for name, task in chosen.items():
        began = time.perf_counter()
        own = {output: outputs[output] for output in outputs if output in (*task.outputs.values(), NOVELTY)}
        try:
            columns = [_pictures(name, task, own, items, detail)]
        except Exception:  # one by one: the others are not to blame
            columns = []
        if columns:
            _put(name, columns[0], answers)
        else:
            for item, answer in zip(items, answers, strict=True):
                _answer_alone(name, task, item, answer)
        for answer in answers:
            answer.seconds[name] = (time.perf_counter() - began) / len(items)
    for answer in answers:
        if chosen and len(answer.errors) == len(chosen):
            raise next(iter(answer.errors.values()))
    return answers


def _answer_alone(name: str, task: TaskManifest, item: Asked, answer: BatchAnswer) -> None:
    try:
        _put(name, _pictures(name, task, answer.outputs, [item], item.detail), [answer])
    except Exception as error:
        answer.errors[name] = ModelError(f"the task {name} failed on the image ({type(error).__name__})")
        answer.errors[name].__cause__ = error


def _pictures(name: str, task: TaskManifest, outputs: Outputs, items: Sequence[Asked], detail: Detail) -> list[Answers]:
    """The task's answer about each picture of the items."""
    if not all(np.isfinite(values).all() for values in task.tensors(outputs).values()):
        raise ValueError("the network's answer is not a number")
    return answered({name: task}, outputs, [places for item in items for places in item.placements], detail)


def _put(name: str, column: Sequence[Answers], answers: Sequence[BatchAnswer]) -> None:
    rest = iter(column)
    for answer in answers:
        for own in answer.each:
            own[name] = next(rest)[name]


def _shares(outputs: Outputs, items: Sequence[Asked]) -> list[tuple[Asked, Outputs]]:
    found, end = [], 0
    for item in items:
        start, end = end, end + sum(map(len, item.placements))
        found.append((item, _rows(outputs, start, end)))
    return found


def _rows(outputs: Mapping[str, NDArray[np.float32]], start: int, end: int) -> Outputs:
    return {name: values[start:end] for name, values in outputs.items()}
