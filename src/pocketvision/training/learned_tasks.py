"""What is learned from truth: for each of its tasks a head, a learner, and what the bundle says of it.

A task is of the kind that it is called by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pocketvision.data.augment import Augmentation, augmentation_named
from pocketvision.errors import UsageError
from pocketvision.export.shipping import Calibrate, Learned
from pocketvision.models.heads.catalog import HEADS, head_named
from pocketvision.models.heads.head import HeadSpec
from pocketvision.plugins import all_rows
from pocketvision.preprocessing import Placement, Preprocessing
from pocketvision.tasks.catalog import task_named
from pocketvision.tasks.classification.truth import CLASSIFICATION
from pocketvision.tasks.manifest import TaskManifest, output_names
from pocketvision.tasks.truth import Truth
from pocketvision.training.learner import LearnerOptions, LearnerRow
from pocketvision.training.learners import GROUP, LEARNERS, learner_named
from pocketvision.training.objective import Objective
from pocketvision.training.settings import StepSize

ByTask = Mapping[str, Truth]


def learned_of(truth: ByTask, task: str | None = None) -> dict[str, Truth]:
    """The truth that is learned: of `task`, or of every kind that something learns. Raises UsageError where that is none."""
    known = all_rows(LEARNERS, group=GROUP, what="learner")
    asked = truth if task is None else {task: truth[task]}
    found = {name: each for name, each in asked.items() if name in known}
    if not found:
        learner_named(next(iter(asked)))
    return found


def closed_form(truth: ByTask) -> bool:
    """Whether the heads of all these tasks can be solved in one pass (solving.py)."""
    return all(learner_named(task).solved_head for task in truth)


def head_specs(
    truth: ByTask, dropout: float | None = None, *, head: str = "auto", solved: bool = False
) -> dict[str, HeadSpec]:
    """A network's heads. dropout: its probability; None takes the architecture's. head: of HEADS, for the tasks of its kind;
    "auto" is what the learners take, solved in closed form or not. Raises UsageError for an unknown kind or head, and for a head
    of another kind."""
    names = {task: _head_of(learner_named(task), solved) for task in truth}
    if head != "auto":
        kind = head_named(head).kind
        if kind not in truth:
            own = [row.name for row in HEADS.values() if row.kind in truth]
            raise UsageError(
                f"The head {head} is for {kind}; what is learned here is {', '.join(truth)}. Heads for that: {', '.join(own)}."
            )
        names[kind] = head
    return {task: HeadSpec(names[task], len(each.class_names), dropout) for task, each in truth.items()}


def _head_of(row: LearnerRow, solved: bool) -> str:
    return row.solved_head or row.head if solved else row.head


def manifests(truth: ByTask) -> dict[str, TaskManifest]:
    """What a bundle says of the tasks, with nothing measured yet. Raises UsageError for an unknown kind."""
    alone = [*truth] == [CLASSIFICATION]
    return {
        task: TaskManifest(
            task,
            each.class_names,
            output_names(task, task_named(task).role_names, alone=alone),
            learner_named(task).head,
        )
        for task, each in truth.items()
    }


def fitted(preprocessing: Preprocessing, truth: ByTask) -> Preprocessing:
    """The preprocessing for these tasks: the fit of the first that wants another than a crop, which keeps all of the image."""
    fits = (learner_named(task).fit for task in truth)
    fit = next((each for each in fits if each != "crop"), None)
    return preprocessing if fit is None else replace(preprocessing, fit=fit, crop_share=1.0)


def input_size(truth: ByTask, sizes: NDArray[np.integer]) -> tuple[int, str] | None:
    """The largest side of the input that one of the tasks asks for, and why; None where none does. sizes: (n, 2) width and height
    of the images."""
    rows = [(learner_named(task).input_size, each) for task, each in truth.items()]
    return max((choose(each, sizes) for choose, each in rows if choose is not None), default=None)


def step_size(truth: ByTask) -> StepSize:
    """The smallest that one of the tasks asks for."""
    return min((learner_named(task).step_size for task in truth), key=lambda each: each.batch)


def constant_answers(
    truth: ByTask, sizes: NDArray[np.integer], learned: NDArray[np.int64], measured: NDArray[np.int64]
) -> list[str]:
    """What answers that never look would reach, a sentence a task that tells it. sizes: (n, 2) width and height of the images.
    learned, measured: which of them are learned from, and which are measured on."""
    rows = [(learner_named(task).constant, each) for task, each in truth.items()]
    return [
        said(each.select(learned), sizes[learned], each.select(measured), sizes[measured])
        for said, each in rows
        if said is not None
    ]


def augmentation_of(name: str, truth: ByTask) -> Augmentation:
    """The row of AUGMENTATIONS of that name, without turns where one of the tasks does not allow them."""
    ranges = augmentation_named(name)
    return ranges if all(learner_named(task).turns for task in truth) else replace(ranges, rotation=0)


def objective_of(
    truth: ByTask, training: NDArray[np.int64] | None = None, options: LearnerOptions | None = None
) -> Objective:
    """What is minimised for the truth of all images. training: those that are learned from, which classes are weighed by; None is
    all of them. Raises UsageError for an unknown kind, and for options that do not fit the classes."""
    learners = {}
    for task, each in truth.items():
        learned = each if training is None else each.select(training)
        learners[task] = learner_named(task).make(options or LearnerOptions(), learned)
    return Objective(learners, truth)


def calibrated_on(truth: ByTask) -> Calibrate:
    """The postprocessing that a bundle ships with, found by the tasks' learners on the truth of all its images."""
    objective = objective_of(truth)

    def calibrate(
        learned: Learned, chosen: Sequence[int], placements: Sequence[Placement]
    ) -> dict[str, dict[str, Any]]:
        outputs = {
            task: {role: torch.from_numpy(values) for role, values in roles.items()} for task, roles in learned.items()
        }
        return objective.calibrated(outputs, np.array(chosen, np.int64), placements)

    return calibrate
