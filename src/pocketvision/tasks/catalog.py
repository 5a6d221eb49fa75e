"""The table of tasks, and how a graph's outputs become the answers of them all.

A new task is a folder beside this file and a row here, or a row of an installed package (plugins.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import UsageError, unknown_name
from pocketvision.plugins import all_rows, row_named
from pocketvision.preprocessing import Placement
from pocketvision.tasks.classification.task import CLASSIFICATION
from pocketvision.tasks.detection.task import DETECTION
from pocketvision.tasks.manifest import CONFORMAL, NOVEL_FROM, TaskManifest, deciding
from pocketvision.tasks.number.task import NUMBER
from pocketvision.tasks.segmentation.task import SEGMENTATION
from pocketvision.tasks.tags.task import TAGS
from pocketvision.tasks.task import AnyTask, Detail, Task, ViewOptions, Views
from pocketvision.tasks.truth import Truth

TASKS: dict[str, AnyTask] = {row.kind: row for row in (CLASSIFICATION, TAGS, NUMBER, DETECTION, SEGMENTATION)}
"""From a kind's name to what the house does with its answers."""

GROUP = "pocketvision.tasks"
"""The entry points of kinds from outside."""

Answers = dict[str, Any]
"""An image's answers by the tasks' names, each as its kind has them."""


def task_named(kind: str) -> AnyTask:
    """The row called `kind`. Raises UsageError for a kind that neither the table nor an installed package has."""
    return TASKS[kind] if kind in TASKS else _outside(kind)


@cache  # entry points are files that would be read for every image
def _outside(kind: str) -> AnyTask:
    row = row_named(TASKS, kind, group=GROUP, what="kind of task")
    if not isinstance(row, Task):
        raise UsageError(f"The kind of task {kind} of an installed package is a {type(row).__name__}; expected a Task.")
    return row


def is_kind(name: str) -> bool:
    """Whether a kind of task is called so."""
    return name in TASKS or name in all_rows(TASKS, group=GROUP, what="kind of task")


def kind_of(name: str, truth: Truth) -> str:
    """The kind of the task `name` with this truth: its name where a kind is called so, else the one whose truth is of this type.
    The name itself where there is none: whoever asks for its row is told."""
    if name in TASKS:
        return name
    own = [kind for kind, row in TASKS.items() if type(truth) is row.truth]
    if own:
        return own[0]
    rows = all_rows(TASKS, group=GROUP, what="kind of task")
    return name if name in rows else next((kind for kind, row in rows.items() if type(truth) is row.truth), name)


def tell_unsure(tasks: Mapping[str, TaskManifest], detail: Detail) -> Detail:
    """`detail` for tables of a bundle's answers: with a word on unsure ones where a task decides by thresholds or abstains,
    sets of classes where one tells them, and none of these."""
    decided = [deciding(task) for task in tasks.values()]
    sets, novel = (any(name in each for each in decided) for name in (CONFORMAL, NOVEL_FROM))
    return replace(detail, unsure=any(decided), sets=sets, novel=novel)


def views_of(task: TaskManifest) -> Views[Any] | None:
    """How an image becomes several inputs for a task; None where it is one."""
    views = task_named(task.kind).views
    return views if views is not None and views.several(task) else None


def wanted(tasks: Mapping[str, TaskManifest], detail: Detail) -> dict[str, TaskManifest]:
    """The tasks whose answers are wanted."""
    return {name: task for name, task in tasks.items() if detail.wants(name)}


def check_detail(tasks: Mapping[str, TaskManifest], detail: Detail) -> Detail:
    """`detail`. Raises UsageError, with near matches, where it names a task that a bundle does not have, or wants none."""
    for name in (*(detail.tasks or ()), *detail.by_task):
        if name not in tasks:
            raise unknown_name("task", name, tasks)
    if detail.tasks is not None and not detail.tasks:
        raise UsageError(f"No task is wanted; expected one or more of {', '.join(tasks)}.")
    return detail


def several_inputs(tasks: Mapping[str, TaskManifest]) -> bool:
    """Whether an image may become several inputs of the network."""
    return any(views_of(task) is not None for task in tasks.values())


def viewed_as(tasks: Mapping[str, TaskManifest], options: ViewOptions) -> dict[str, TaskManifest]:
    """The tasks, looked at as a caller asks. Raises UsageError where none of them can be."""
    if not options:
        return dict(tasks)
    asked = {name: views.asked for name, task in tasks.items() if (views := task_named(task.kind).views) is not None}
    if not any(asked.values()):
        raise UsageError(f"Tiles and scales are for masks, and this bundle answers {', '.join(tasks)}. Leave them out.")
    return {name: task if (ask := asked.get(name)) is None else ask(task, options) for name, task in tasks.items()}


def decoded(
    tasks: Mapping[str, TaskManifest],
    outputs: Mapping[str, NDArray[np.float32]],
    placements: Sequence[Placement],
    detail: Detail,
) -> list[Answers]:
    """The wanted answers for each of N inputs, from a graph's outputs by name, (N, …) each."""
    columns = {
        name: task_named(task.kind).decode(task.tensors(outputs), placements, task, detail.of(name))
        for name, task in wanted(tasks, detail).items()
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
