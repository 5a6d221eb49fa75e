"""Two models on the same images, whatever they answer: records of each, and one comparison that holds for all tasks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import UsageError, unknown_name
from pocketvision.printable import counted
from pocketvision.statistics import Headline, Interval
from pocketvision.tasks.catalog import Answers, kind_of, task_named
from pocketvision.tasks.manifest import TaskManifest, by_task
from pocketvision.tasks.measuring import Comparison, MeasureOptions
from pocketvision.tasks.task import Detail
from pocketvision.tasks.truth import Truth

MEASURED = Detail(min_score=0.001)
"""The answers that are measured: what a threshold leaves says nothing of how good the scores are."""

Records = dict[str, list[Any]]
"""By the tasks' names, one an image; None of an image without the task's truth, where there is truth at all."""


@dataclass(frozen=True, eq=False)
class Answered:
    """What stays of images that were answered, by task, one each: records, and confidences, None where it was sure of nothing."""

    records: Records
    confidences: dict[str, list[float | None]]

    @classmethod
    def nothing_of(cls, tasks: Iterable[str]) -> "Answered":
        """Of no image yet."""
        return cls({name: [] for name in tasks}, {name: [] for name in tasks})

    def add(
        self,
        tasks: Mapping[str, TaskManifest],
        outputs: Mapping[str, NDArray[np.float32]],
        answers: Answers,
        truth: Mapping[str, Truth],
        index: int,
    ) -> None:
        """Image `index`, to each task's figures; None where others have the task's truth and it has not.

        outputs: the graph's, by name, (inputs of the image, …). answers: as MEASURED. truth: by task, of all images, by the
        tasks' labels; none where nobody said anything.
        """
        for name, task in tasks.items():
            self.confidences[name].append(answers[name].confidence)
            own = truth[name].select(np.array([index])) if name in truth else None
            if own is not None and not own.present[0]:
                self.records[name].append(None)
                continue
            record = task_named(task.kind).measuring().record(task.tensors(outputs), answers[name], own, task)
            self.records[name].append(record)


def fitted_truth(tasks: Mapping[str, TaskManifest], truth: Mapping[str, Truth], where: str) -> dict[str, Truth]:
    """The truth of the tasks, by their labels; what is said for other tasks is left out. Raises UsageError, with `where` it comes
    from, for one that does not fit its task."""
    found = {}
    for name, own in _by_task(tasks, truth).items():
        task, wanted = tasks[name], task_named(tasks[name].kind).truth
        if not isinstance(own, wanted):
            held = f"{type(own).__name__}; a task of kind {task.kind} is measured by {wanted.__name__}"
            raise UsageError(f"{where}: what is said of its images for {name} is {held}.")
        for label, count in zip(own.class_names, own.class_counts().tolist(), strict=True):
            if count and label not in task.labels:
                raise unknown_name(f"class ({counted(count, 'image')} in {where})", label, task.labels)
        found[name] = own.in_classes(task.labels)
    return found


def _by_task(tasks: Mapping[str, TaskManifest], truth: Mapping[str, Truth]) -> dict[str, Truth]:
    """The truth of each task: that of its name, or else the only one of its kind, for the only task of its kind."""
    kinds = [task.kind for task in tasks.values()]
    found = {}
    for name, task in tasks.items():
        others = [own for other, own in truth.items() if other not in tasks and kind_of(other, own) == task.kind]
        if name in truth:
            found[name] = truth[name]
        elif len(others) == 1 and kinds.count(task.kind) == 1:
            found[name] = others[0]
    return found


def check_options(tasks: Mapping[str, TaskManifest], options: MeasureOptions) -> None:
    """Raises UsageError for options that do not fit one of the tasks."""
    for task in tasks.values():
        task_named(task.kind).measuring().check(task, options)


def compare_tasks(
    tasks: Mapping[str, TaskManifest],
    reference: Mapping[str, Sequence[Any]],
    candidate: Mapping[str, Sequence[Any]],
    *,
    weights: Mapping[str, float] | None = None,
) -> Comparison:
    """Of records by the tasks' names, of the same images in the same order: the task's own where it is alone. weights: of the
    points that tasks lose; 1 where nothing is said. Raises ValueError where no image has a record."""
    found: dict[str, Comparison] = {}
    for name, task in tasks.items():
        there = [row for row, record in enumerate(reference[name]) if record is not None]
        if there:
            one, other = ([records[name][row] for row in there] for records in (reference, candidate))
            found[name] = task_named(task.kind).measuring().compare(one, other)
    if not found:
        raise ValueError("There are no images to compare on.")
    return next(iter(found.values())) if len(found) == 1 and not weights else SeveralComparisons(found, weights or {})


@dataclass(frozen=True)
class SeveralComparisons:
    """Of several tasks, by name. What is asked of them has to hold for each; the figures are those of the worst.

    weights: by which a task's lost points are multiplied before they are judged, 1 where nothing is said: of weight 2 it may lose
    half as many, of weight 0 any.
    """

    tasks: Mapping[str, Comparison]
    weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def worst(self) -> Comparison:
        """The one that lost most by its weight; where no truth tells, the one that keeps least to the reference."""
        return self.tasks[max(self.tasks, key=self._badness)]

    def _badness(self, name: str) -> tuple[bool, float, tuple[float, ...]]:
        each = self.tasks[name]
        return each.drop is not None, self._weight(name) * (each.drop or 0.0), _reverse(each)

    def _weight(self, name: str) -> float:
        return self.weights.get(name, 1.0)

    def _judged(self, points: float) -> list[tuple[Comparison, float]]:
        """Each that counts, and how many points it may lose."""
        return [(each, points / self._weight(name)) for name, each in self.tasks.items() if self._weight(name)]

    @property
    def lost(self) -> float:
        """The worst one's points by its weight; 0 without truth."""
        return max(self._weight(name) * (each.drop or 0.0) for name, each in self.tasks.items())

    @property
    def images(self) -> int:
        """Of the task that has most."""
        return max(each.images for each in self.tasks.values())

    @property
    def headline(self) -> Headline | None:
        """The worst one's."""
        return self.worst.headline

    @property
    def reference_headline(self) -> Headline | None:
        """The worst one's."""
        return self.worst.reference_headline

    @property
    def drop(self) -> float | None:
        """The worst one's."""
        return self.worst.drop

    @property
    def drop_interval(self) -> Interval | None:
        """The worst one's."""
        return self.worst.drop_interval

    @property
    def kept(self) -> float:
        """The least of all."""
        return min(each.kept for each in self.tasks.values())

    @property
    def closeness(self) -> tuple[float, ...]:
        """The least of all."""
        return min(each.closeness for each in self.tasks.values())

    def within(self, points: float) -> bool:
        """Each of them."""
        return all(each.within(allowed) for each, allowed in self._judged(points))

    def is_sure(self, points: float) -> bool:
        """Each of them."""
        return all(each.is_sure(allowed) for each, allowed in self._judged(points))

    def can_be_sure(self, points: float) -> bool:
        """Each of them."""
        return all(each.can_be_sure(allowed) for each, allowed in self._judged(points))

    def explain(self, points: float) -> str:
        """Of those that are not within so many points, or else of the worst."""
        allowed = {name: points / (self._weight(name) or 1.0) for name in self.tasks}
        beyond = [name for name, each in self.tasks.items() if self._weight(name) and not each.within(allowed[name])]
        worst = [name for name, each in self.tasks.items() if each is self.worst]
        return " ".join(f"{name}: {self.tasks[name].explain(allowed[name])}" for name in beyond or worst)

    def figures(self) -> dict[str, float]:
        """By TASK.NAME."""
        return by_task({name: each.figures() for name, each in self.tasks.items()})

    def to_dict(self) -> dict[str, Any]:
        """By TASK.NAME."""
        return by_task({name: each.to_dict() for name, each in self.tasks.items()})


def lost_points(found: Comparison) -> float:
    """Percentage points that were lost, by the tasks' weights where there are several; 0 without truth."""
    return found.lost if isinstance(found, SeveralComparisons) else found.drop or 0.0


def _reverse(found: Comparison) -> tuple[float, ...]:
    return tuple(-each for each in found.closeness)
