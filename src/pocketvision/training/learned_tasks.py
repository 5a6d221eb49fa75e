"""What is learned from truth: for each of its tasks a head, a learner, and what the bundle says of it.

A task is of the kind that it is called by, or else of the one whose truth it has (tasks/catalog.py).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
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
from pocketvision.tasks.catalog import kind_of, task_named
from pocketvision.tasks.classification.truth import CLASSIFICATION
from pocketvision.tasks.manifest import TaskManifest, output_names
from pocketvision.tasks.segmentation.truth import SEGMENTATION
from pocketvision.tasks.truth import Truth
from pocketvision.training.augment_settings import AugmentSettings
from pocketvision.training.balance import balance_of, fixed_weights
from pocketvision.training.learner import LearnerOptions, LearnerRow
from pocketvision.training.learners import GROUP, LEARNERS, learner_named
from pocketvision.training.objective import Objective
from pocketvision.training.settings import AUGMENTATION, Phase, StepSize

ByTask = Mapping[str, Truth]


def learned_of(truth: ByTask, task: str | None = None, answered: Collection[str] = ()) -> dict[str, Truth]:
    """The truth that is learned: of `task`, or of every kind that something learns. answered: tasks that the network has a head
    for already. Raises UsageError where that is none."""
    known = all_rows(LEARNERS, group=GROUP, what="learner")
    asked = {
        name: each for name, each in truth.items() if name not in answered and task in (None, name, kind_of(name, each))
    }
    if not asked:
        raise UsageError(
            f"The bundle answers {', '.join(answered)} already, and the data is of {task or ', '.join(truth)}. Give the new task "
            "another name: --tasks NAME=SOURCE."
        )
    found = {name: each for name, each in asked.items() if kind_of(name, each) in known}
    if not found:
        rows_of(asked)
    return found


def rows_of(truth: ByTask) -> dict[str, LearnerRow]:
    """What learns each task. Raises UsageError for a kind that nothing learns."""
    return {task: learner_named(kind_of(task, each)) for task, each in truth.items()}


def closed_form(truth: ByTask) -> bool:
    """Whether the heads of all these tasks can be solved in one pass (solving.py)."""
    return all(row.solved_head for row in rows_of(truth).values())


def head_specs(
    truth: ByTask, dropout: float | None = None, *, head: str = "auto", solved: bool = False
) -> dict[str, HeadSpec]:
    """A network's heads. dropout: its probability; None takes the architecture's. head: of HEADS, for the tasks of its kind;
    "auto" is what the learners take, solved in closed form or not. Raises UsageError for an unknown kind or head, and for a head
    of another kind."""
    rows = rows_of(truth)
    names = {task: _head_of(row, solved) for task, row in rows.items()}
    if head != "auto":
        wanted = head_named(head)
        kinds, kind = {row.kind for row in rows.values()}, wanted.kind
        if kind not in kinds:
            own = [row.name for row in HEADS.values() if row.kind in kinds and not row.untrained]
            raise UsageError(
                f"The head {head} is for {kind}; what is learned here is {', '.join(truth)}. Heads for that: {', '.join(own)}."
            )
        if wanted.untrained:
            raise UsageError(f"The head {head} can not be trained here: {wanted.untrained}.")
        names |= {task: head for task, row in rows.items() if row.kind == kind}
    return {task: HeadSpec(names[task], len(each.class_names), dropout) for task, each in truth.items()}


def _head_of(row: LearnerRow, solved: bool) -> str:
    return row.solved_head or row.head if solved else row.head


def manifests(truth: ByTask) -> dict[str, TaskManifest]:
    """What a bundle says of the tasks, with nothing measured yet. Raises UsageError for an unknown kind."""
    rows = rows_of(truth)
    alone = [row.kind for row in rows.values()] == [CLASSIFICATION]
    return {
        task: TaskManifest(
            row.kind,
            truth[task].class_names,
            output_names(task, task_named(row.kind).role_names, alone=alone),
            row.head,
        )
        for task, row in rows.items()
    }


def fitted(preprocessing: Preprocessing, truth: ByTask) -> Preprocessing:
    """The preprocessing for these tasks: the fit of the first that wants another than a crop, which keeps all of the image."""
    fits = (row.fit for row in rows_of(truth).values())
    fit = next((each for each in fits if each != "crop"), None)
    return preprocessing if fit is None else replace(preprocessing, fit=fit, crop_share=1.0)


def input_size(truth: ByTask, sizes: NDArray[np.integer]) -> tuple[int, str] | None:
    """The largest side of the input that one of the tasks asks for, and why; None where none does. sizes: (n, 2) width and height
    of the images."""
    rows = [(row.input_size, truth[task]) for task, row in rows_of(truth).items()]
    return max((choose(each, sizes) for choose, each in rows if choose is not None), default=None)


def step_size(truth: ByTask, head: str = "auto") -> StepSize:
    """The smallest that one of the tasks asks for, at the rate of the head where that has one. head: as in `head_specs`."""
    found = min((row.step_size for row in rows_of(truth).values()), key=lambda each: each.batch)
    lr = None if head == "auto" else head_named(head).lr
    return found if lr is None else replace(found, lr=lr)


def augmentation(truth: ByTask) -> str:
    """The name of what one of the tasks asks for instead of the usual."""
    return next((row.augmentation for row in rows_of(truth).values() if row.augmentation != AUGMENTATION), AUGMENTATION)


def other_phase(truth: ByTask, pictures: int) -> Phase | None:
    """A phase of another model that a task asks for, where it is the only one. pictures: that are learned from."""
    rows = [*rows_of(truth).values()]
    return rows[0].other(pictures) if len(rows) == 1 and rows[0].other is not None else None


def constant_answers(
    truth: ByTask, sizes: NDArray[np.integer], learned: NDArray[np.int64], measured: NDArray[np.int64]
) -> list[str]:
    """What answers that never look would reach, a sentence a task that tells it. sizes: (n, 2) width and height of the images.
    learned, measured: which of them are learned from, and which are measured on."""
    rows = [(row.constant, truth[task]) for task, row in rows_of(truth).items()]
    return [
        said(each.select(learned), sizes[learned], each.select(measured), sizes[measured])
        for said, each in rows
        if said is not None
    ]


def augmentation_of(name: str, truth: ByTask, settings: AugmentSettings | None = None) -> Augmentation:
    """The row of AUGMENTATIONS of that name, auto for what the tasks ask for, with the settings in its place; without turns where
    one of the tasks does not allow them."""
    ranges, rows = augmentation_named(augmentation(truth) if name == "auto" else name), rows_of(truth).values()
    turns = all(row.turns for row in rows)
    moves = "straight" if not turns else "placed" if any(row.placed for row in rows) else "all"
    ranges = augmentation_with(ranges, settings or AugmentSettings(), moves)
    return ranges if turns else replace(ranges, rotation=0)


def augmentation_with(row: Augmentation, settings: AugmentSettings, moves: str) -> Augmentation:
    """The row with what the settings say in its place. moves: as in policies.Moves."""
    given = {each.name: value for each in fields(settings) if (value := getattr(settings, each.name)) is not None}
    policy = "" if settings.policy == "none" else settings.policy
    return replace(row, **{**given, "policy": policy, "moves": moves})


def objective_of(
    truth: ByTask,
    training: NDArray[np.int64] | None = None,
    options: LearnerOptions | None = None,
    weights: str | Mapping[str, float] | None = None,
) -> Objective:
    """What is minimised for the truth of all images. training: those that are learned from, which classes are weighed by; None is
    all of them. options: of several tasks, those take them that can. weights: of the tasks' losses (balance.py); None where
    nothing is balanced while they learn.
    Raises UsageError for an unknown kind, for options that fit no task, and for weights of other tasks."""
    rows = rows_of(truth)
    learned = truth if training is None else {task: each.select(training) for task, each in truth.items()}
    own = _options_of(rows, learned, options or LearnerOptions())
    learners = {task: row.make(own[task], learned[task]) for task, row in rows.items()}
    if weights is None:
        return Objective(learners, truth)
    return Objective(learners, truth, fixed_weights(weights, truth), balance_of(weights, truth))


def _options_of(rows: Mapping[str, LearnerRow], learned: ByTask, options: LearnerOptions) -> dict[str, LearnerOptions]:
    """For each task those of the options that it takes. Raises UsageError for one that none takes."""
    plain = replace(options, loss=LearnerOptions.loss, class_weights="none", regions=None, border=None)
    given = {name: getattr(options, name) for name in ("loss", "class_weights")}
    masks = [task for task, row in rows.items() if row.kind == SEGMENTATION]
    for name in ("regions", "border"):
        if not masks and getattr(options, name) is not None:
            raise UsageError(f"loss.{name} is of losses of masks, and no task here has any. Leave it out.")
    found = dict.fromkeys(rows, plain)
    for name, value in given.items():
        if value == getattr(plain, name):
            continue
        refused = list[UsageError]()
        for task, row in rows.items():
            try:
                row.make(replace(plain, **{name: value}), learned[task])
                found[task] = replace(found[task], **{name: value})
            except UsageError as error:
                refused.append(error)
        if len(refused) == len(rows):
            raise refused[0]
    return found | {task: replace(found[task], regions=options.regions, border=options.border) for task in masks}


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
