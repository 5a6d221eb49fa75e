"""The teachers of a run: bundles that answer the views that the student learns from, each view once, kept on disk."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from pocketvision.atomic_files import write_json
from pocketvision.bundle import Bundle
from pocketvision.errors import UsageError
from pocketvision.preprocessing import Preprocessing
from pocketvision.printable import quoted
from pocketvision.runtime.backends import BACKENDS, Backend, default_backend, only, open_backend
from pocketvision.tasks.catalog import kind_of, task_named
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.truth import Truth
from pocketvision.training.distillation import Taught
from pocketvision.training.inputs import CachedInputs, ImageViews, OnImages, Row
from pocketvision.training.learners import learner_named
from pocketvision.training.objective import ByTask, Objective
from pocketvision.training.processes import current
from pocketvision.training.recipe import Recipe
from pocketvision.training.shared_inputs import fill_shared
from pocketvision.training.trunk_cache import FeatureLayout, TrunkCache
from pocketvision.training.trunk_runtime import RUNTIME_BATCH

FILE = "teachers.json"
"""In a run's folder: the hash of each teacher."""

_NAMED = 20


@dataclass(frozen=True, eq=False)
class Answered:
    """A task of the student's that a teacher answers: the teacher's task, by name, and the places of the student's classes among
    the teacher's, (classes)."""

    name: str
    task: TaskManifest
    places: torch.Tensor


@dataclass(frozen=True, eq=False)
class Teacher:
    """A bundle, and what it answers of the student's tasks, by these."""

    bundle: Bundle
    answered: Mapping[str, Answered]

    @property
    def fingerprint(self) -> str:
        """All that its answers to a view depend on."""
        file = BACKENDS[default_backend(self.bundle)].file(self.bundle) or ""
        content = self.bundle.manifest.files[file].sha256
        return f"{content}|{self.bundle.preprocessing.to_dict()}|{onnxruntime.__version__}"


def teachers_of(bundles: Iterable[Bundle], truth: Mapping[str, Truth]) -> list[Teacher]:
    """What each bundle can teach of what is learned, by task. A task is matched by its name, else by its kind where that is
    unique on both sides; classes by name.

    Raises UsageError for a bundle with no such task, for one without one of the classes (with both lists), and for several
    teachers of a kind whose answers have no mean.
    """
    found = [Teacher(bundle, _answered(bundle, truth)) for bundle in bundles]
    for task, each in truth.items():
        kind = kind_of(task, each)
        count = sum(task in teacher.answered for teacher in found)
        if count > 1 and not learner_named(kind).mean:
            raise UsageError(
                f"{count} teachers answer {task}, and answers of {kind} have no mean: give one teacher (--teacher)."
            )
    return found


def _answered(bundle: Bundle, truth: Mapping[str, Truth]) -> dict[str, Answered]:
    kinds = {task: kind_of(task, each) for task, each in truth.items()}
    found = {}
    for task, kind in kinds.items():
        same = [name for name, own in bundle.tasks.items() if own.kind == kind]
        alone = len(same) == 1 and [*kinds.values()].count(kind) == 1
        name = task if task in same else same[0] if alone else None
        if name is not None and learner_named(kind).taught is not None:
            own = bundle.tasks[name]
            found[task] = Answered(name, own, _places(bundle, own, truth[task].class_names))
    if not found:
        raise UsageError(
            f"The teacher {bundle.folder} answers {_told(bundle.tasks)}; what is learned here is {', '.join(kinds)}. Expected a "
            "bundle with one of these tasks."
        )
    return found


def _told(tasks: Mapping[str, TaskManifest]) -> str:
    return ", ".join(name if name == task.kind else f"{name} ({task.kind})" for name, task in tasks.items())


def _places(bundle: Bundle, task: TaskManifest, names: Sequence[str]) -> torch.Tensor:
    if not task_named(task.kind).has_classes:
        return torch.zeros(0, dtype=torch.int64)
    missing = [name for name in names if name not in task.labels]
    if missing:
        raise UsageError(
            f"The teacher {bundle.folder} does not know {_listed(missing)}. It knows {_listed(task.labels)}; what is learned "
            f"here is {_listed(names)}. Expected a teacher with all of these classes, by the same names, in any order."
        )
    return torch.tensor([task.labels.index(name) for name in names])


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(quoted, names[:_NAMED])) + more


class _Runtime:
    """A teacher in the trunk's place: images to its graph's outputs, in batches that are always of the same size."""

    same: tuple[str, ...] = ()

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def trunk(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        count = len(images)
        if count < RUNTIME_BATCH:
            images = np.concatenate([images, np.zeros((RUNTIME_BATCH - count, *images.shape[1:]), np.float32)])
        return {name: np.asarray(values)[:count] for name, values in self._backend.run(images).items()}

    def tail(self, activations: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        raise ValueError(f"a teacher has no tail for activations {activations.shape}")


@dataclass(frozen=True, eq=False)
class Teaching:
    """What is minimised with teachers, and their answers to views. inputs: of each teacher."""

    taught: Taught
    teachers: Sequence[Teacher]
    inputs: Sequence[CachedInputs]

    def batches(self, batches: Sequence[Sequence[Row]]) -> Iterator[ByTask]:
        """For each batch of rows what is taught of them, the mean of all teachers'; views that are new are answered first."""
        for teacher, inputs in zip(self.teachers, self.inputs, strict=True):
            fill_shared(inputs, _outputs(teacher), [row for batch in batches for row in batch], current())
        streams = [
            inputs.batches(_outputs(teacher), batches)
            for teacher, inputs in zip(self.teachers, self.inputs, strict=True)
        ]
        for said in zip(*streams, strict=True):
            yield self._mean([self._learnable(*each) for each in zip(self.teachers, said, strict=True)])

    def _learnable(self, teacher: Teacher, said: Mapping[str, torch.Tensor]) -> ByTask:
        """In the terms of the student's learners."""
        found = {}
        for task, own in teacher.answered.items():
            taught = learner_named(own.task.kind).taught
            assert taught is not None
            roles = {role: said[name] for role, name in own.task.outputs.items()}
            found[task] = taught(roles, own.task, own.places, self.taught.objective.learners[task])
        return found

    def _mean(self, said: Sequence[ByTask]) -> ByTask:
        found = {}
        for task in {task: None for each in said for task in each}:
            own = [each[task] for each in said if task in each]
            found[task] = {role: _mean_of([each[role] for each in own]) for role in own[0]}
        return found


def _mean_of(values: Sequence[torch.Tensor]) -> torch.Tensor:
    """Of logits the geometric mean of probabilities. Maps of several sizes come to the first one's."""
    size = values[0].shape[2:]
    same = [
        each
        if each.shape[2:] == size
        else torch.nn.functional.interpolate(each, size=size, mode="bilinear", align_corners=False)
        for each in values
    ]
    return same[0] if len(same) == 1 else torch.stack(same).mean(dim=0)


def row_bytes(teachers: Sequence[Teacher]) -> int:
    """What is kept of a view's answers."""
    return sum(each.row_bytes for teacher in teachers for each in _layouts(teacher))


def _layouts(teacher: Teacher) -> list[FeatureLayout]:
    """Maps in half precision."""
    bundle = teacher.bundle
    shapes = bundle.output_shapes(BACKENDS[default_backend(bundle)].file(bundle) or "")
    return [
        FeatureLayout(name, shapes[name], "float16" if len(shapes[name]) > 2 else "float32")
        for name in _outputs(teacher)
    ]


def _outputs(teacher: Teacher) -> list[str]:
    """The names of what is read of its graph."""
    return [name for own in teacher.answered.values() for name in own.task.outputs.values()]


def teaching(
    recipe: Recipe,
    teachers: Sequence[Teacher],
    objective: Objective,
    images: ImageViews,
    folder: Path,
    on_images: OnImages,
) -> Teaching:
    """Ready to answer views of `images` in each teacher's own preprocessing, kept in `folder`. Raises UsageError where a place of
    the image is answered and teacher and student see it otherwise, and where no phase learns from gradients."""
    if all(phase.solver == "ridge" for phase in recipe.phase_settings()):
        raise UsageError(
            "A teacher is learned from step by step, and all phases here are solved in closed form. Take --effort default, or "
            "phases.1.solver=gradient."
        )
    inputs = []
    for teacher in teachers:
        _require_same_view(teacher, images.preprocessing)
        wanted = [own.name for own in teacher.answered.values()]
        backend = only(open_backend(teacher.bundle), teacher.bundle.tasks, wanted)
        cache = TrunkCache(folder, fingerprint=teacher.fingerprint, layouts=_layouts(teacher))
        none = TrunkCache(folder, fingerprint=teacher.fingerprint, layouts=())
        own_views = replace(images, preprocessing=teacher.bundle.preprocessing)
        views = recipe.cache.views
        inputs.append(CachedInputs(own_views, cache, none, _Runtime(backend), views=views, on_images=on_images))
    settings = recipe.distillation
    kinds = {task: kind_of(task, each) for task, each in objective.truth.items()}
    return Teaching(Taught(objective, kinds, settings.alpha, settings.temperature), teachers, inputs)


def _require_same_view(teacher: Teacher, own: Preprocessing) -> None:
    other = teacher.bundle.preprocessing
    for task, each in teacher.answered.items():
        if task_named(each.task.kind).in_pixels and other.fit != own.fit:
            raise UsageError(
                f"The teacher {teacher.bundle.folder} sees pictures in another way ({other.fit}) than the student ({own.fit}), "
                f"so its answers for {task} lie elsewhere. Train it with the same head and data."
            )


def kept(run: Path, teachers: Sequence[Teacher]) -> Sequence[Teacher]:
    """The same, written down in the run's folder. Raises UsageError where a run that goes on had others."""
    path = run / FILE
    now = {
        str(teacher.bundle.folder): hashlib.sha256(teacher.fingerprint.encode(errors="surrogateescape")).hexdigest()
        for teacher in teachers
    }
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    if before is None and now:
        write_json(path, now)
    elif before is not None and sorted(before.values()) != sorted(now.values()):
        changed = [name for name, value in now.items() if value not in before.values()]
        raise UsageError(
            f"The teacher {', '.join(changed)} is not what it was when {run} began: the run would go on as another one. Bring "
            "the bundle back, or train anew."
        )
    return teachers
