"""What a bundle says about one of its tasks."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import UsageError

Tensors = Mapping[str, NDArray[np.float32]]
"""A task's outputs by role, batch first."""

THRESHOLDS, ABSTAIN_BELOW, CONFORMAL = "thresholds", "abstain_below", "conformal"
"""In postprocessing: from which score on classes count, below which one an answer is unsure, and which classes an image may be
of (classification/conformal.py)."""

NOVELTY, NOVEL_FROM = "novelty", "novel_from"
"""What a runtime tells beside a graph's outputs, (N) in [0, 1] (runtime/novelty.py); and in postprocessing, from which one on a
picture is none of the classes."""

SCALING = ("temperature", "scales", "offsets")
"""In postprocessing: what probabilities are made honest by, inside the graph; found anew all at once."""

DECIDING = (THRESHOLDS, ABSTAIN_BELOW, CONFORMAL, NOVEL_FROM)

TILE, SCALES = "tile", "scales"
"""In postprocessing: into which parts large pictures are cut, and in which scales they are looked at (segmentation/tiles.py)."""

VIEWED = (TILE, SCALES)

MIRROR = "mirror"
"""In postprocessing: False where a mirrored picture may be of another class, so that the training mirrored none."""

DECIDED_BY = "decided_by"
"""Among what was measured: DECIDING and VIEWED as they were then, where there were some."""

CHOSEN_FOR = "thresholds_for"
"""Beside them: {wishes: texts, images: how many the thresholds were chosen on}."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class TaskManifest:
    """What the bundle answers for one task.

    kind: a row of TASKS, such as "classification". labels: class names in index order. outputs: the graph's output for each
    role of the kind. head: a row of HEADS, which made them. postprocessing: the task's numbers, such as classification's
    temperature (already inside the graph's probabilities) and what decides on its answers (DECIDING). metrics: what was
    measured, by set of images (bundle_figures.py), each with the `fingerprint` of its images; read them by Bundle.figures.
    data_fingerprint: of all images of the training, whatever their split. Both empty when nothing was measured. features: of the
    backbone, by name, that a head of several reads; empty where its row says which.
    """

    kind: str
    labels: tuple[str, ...]
    outputs: dict[str, str]
    head: str = ""
    postprocessing: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    data_fingerprint: str = ""
    features: tuple[str, ...] = ()

    def tensors(self, outputs: Mapping[str, NDArray[np.float32]]) -> Tensors:
        """The task's own of a graph's outputs, by role, and the novelty where it decides by that and it is told."""
        own = {role: outputs[name] for role, name in self.outputs.items()}
        return {**own, NOVELTY: outputs[NOVELTY]} if NOVELTY in outputs and NOVEL_FROM in self.postprocessing else own


def deciding(task: TaskManifest) -> dict[str, Any]:
    """What decides on a task's answers, of its postprocessing; empty where nothing does."""
    return {name: task.postprocessing[name] for name in DECIDING if name in task.postprocessing}


def decided_by(task: TaskManifest) -> dict[str, Any]:
    """What its answers depend on besides the network; empty where they do not."""
    return {name: task.postprocessing[name] for name in (*DECIDING, *VIEWED) if name in task.postprocessing}


def abstaining_below(task: TaskManifest, below: float) -> TaskManifest:
    """The task, unsure of answers with a lower score. UsageError for one outside [0, 1]."""
    if not 0 <= below <= 1:
        raise UsageError(f"--abstain-below is {below:g}; expected a score from 0 to 1.")
    return replace(task, postprocessing={**task.postprocessing, ABSTAIN_BELOW: below})


def undecided(task: TaskManifest) -> TaskManifest:
    """The task as it is without thresholds, and never unsure: what is left may be in the graph."""
    kept = {name: value for name, value in task.postprocessing.items() if name not in (*DECIDING, CHOSEN_FOR)}
    return replace(task, postprocessing=kept)


def without_novelty(tasks: Mapping[str, TaskManifest]) -> dict[str, TaskManifest]:
    """The same tasks of a bundle that keeps nothing to tell novelty by."""
    return {
        name: replace(
            task, postprocessing={key: each for key, each in task.postprocessing.items() if key != NOVEL_FROM}
        )
        for name, task in tasks.items()
    }


def is_task_name(name: str) -> bool:
    """Whether a bundle may call a task so: lower-case letters, digits and underscores, a letter first."""
    return _NAME.fullmatch(name) is not None


def output_names(task: str, roles: tuple[str, ...], *, alone: bool) -> dict[str, str]:
    """A graph's output for each role: `TASK.ROLE`, or the bare role where the task is alone."""
    return {role: role if alone else f"{task}.{role}" for role in roles}


def unmeasured(tasks: Mapping[str, TaskManifest]) -> dict[str, TaskManifest]:
    """The same tasks of a network that is another one now: what was measured is gone."""
    return {name: replace(task, metrics={}, data_fingerprint="") for name, task in tasks.items()}


def by_task(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Figures of each task under one name each: their own where a task is alone, else `TASK.NAME`."""
    if len(figures) == 1:
        return dict(next(iter(figures.values())))
    return {f"{task}.{name}": value for task, own in figures.items() for name, value in own.items()}
