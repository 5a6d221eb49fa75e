"""A predictor asked about images with truth, in one pass: what stays of an image is its records."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.learned_from import Matches
from pocketvision.data.samples import Samples
from pocketvision.errors import PocketVisionError
from pocketvision.evaluation.answering import Pass, answer_all
from pocketvision.evaluation.evaluation import Evaluation
from pocketvision.evaluation.overlap import Role, without_seen
from pocketvision.preprocessing import MAX_PIXELS
from pocketvision.printable import counted
from pocketvision.runtime.chained_predictor import Answering
from pocketvision.runtime.predictor import BATCH
from pocketvision.tasks.catalog import task_named
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.measuring import MeasureOptions, TaskEvaluation


def evaluate_predictor(
    predictor: Answering,
    samples: Samples,
    *,
    name: str = "test",
    role: Role = "given",
    matches: Matches | None = None,
    positive: str | None = None,
    batch: int = BATCH,
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Ask `predictor` about every image of `samples` and measure the answers, task by task.

    predictor: should answer in the detail MEASURED (tasks/comparing.py). Classes are matched by name, so a class that `samples`
    lacks shifts no other. Unreadable images are listed and left out; an image without the truth of a task is in no figure of that
    task. role: see Evaluation; images that took part in the training fitted the postprocessing too, which is measured
    accordingly. matches: which of them the model has seen before, row by row; None where nobody knows. They are
    answered, and left out of the figures. positive, seed: see MeasureOptions. batch, workers, max_pixels: see `Predictor.stream`.
    on_progress: called with the images done and their total. Raises UsageError for truth that does not fit the predictor's tasks,
    such as a class that they do not know, PocketVisionError when no image is readable, and where an
    answer is not finite, with the images' names.
    """
    found = answer_all(predictor, samples, batch=batch, workers=workers, max_pixels=max_pixels, on_progress=on_progress)
    return evaluate_pass(
        found, samples, name=name, role=role, matches=matches, options=MeasureOptions(positive=positive, seed=seed)
    )


def evaluate_pass(
    found: Pass,
    samples: Samples,
    *,
    name: str = "test",
    role: Role = "given",
    matches: Matches | None = None,
    options: MeasureOptions = MeasureOptions(),  # noqa: B008 (frozen)
) -> Evaluation:
    """The figures of what a predictor said of `samples`; the rest as in `evaluate_predictor`."""
    measured = evaluate_records(
        found.tasks,
        found.answered.records,
        root=samples.root,
        paths=found.paths(samples),
        name=name,
        role=role,
        matches=None if matches is None else matches.of(found.places),
        options=options,
        brightness=found.brightness,
        confidences=found.answered.confidences,
    )
    return replace(measured, unreadable=found.unreadable, seconds=found.seconds)


def evaluate_records(
    tasks: Mapping[str, TaskManifest],
    records: Mapping[str, Sequence[Any]],
    *,
    root: Path,
    paths: Sequence[str],
    name: str = "test",
    role: Role = "given",
    matches: Matches | None = None,
    options: MeasureOptions = MeasureOptions(),  # noqa: B008 (frozen)
    brightness: NDArray[np.float32] | None = None,
    confidences: Mapping[str, Sequence[float | None]] | None = None,
) -> Evaluation:
    """Measure answers that are at hand already; everything as in `evaluate_predictor` and Evaluation.

    records: by task, (n), n >= 1; None of an image without the task's truth. options: whether the images fitted the
    postprocessing is clear from the role.
    """
    overlap = None
    kept: NDArray[np.bool_] = np.ones(len(paths), np.bool_)
    if matches is not None:
        role, kept, overlap = without_seen(role, matches, paths)
        if overlap.left_out:
            first = next(iter(_measured(tasks, records, paths, np.ones(len(paths), np.bool_), options).values()))
            overlap = replace(overlap, with_them=first.metrics)
    options = replace(options, fitted=role in ("learned", "selection"))
    places = np.flatnonzero(kept).tolist()
    return Evaluation(
        name=name,
        role=role,
        root=root,
        paths=tuple(paths[place] for place in places),
        tasks=_measured(tasks, records, paths, kept, options),
        unreadable=(),
        seconds=0.0,
        brightness=None if brightness is None else brightness[kept],
        confidences=confidences and {task: [own[place] for place in places] for task, own in confidences.items()},
        overlap=overlap,
    )


def measured_task(
    task: TaskManifest, records: Sequence[Any], paths: tuple[str, ...], options: MeasureOptions
) -> TaskEvaluation:
    measuring = task_named(task.kind).measuring()
    return TaskEvaluation(
        task, paths, records, measuring.measure(records, task, options), measuring.mistakes(records, paths, task)
    )


def _measured(
    tasks: Mapping[str, TaskManifest],
    records: Mapping[str, Sequence[Any]],
    paths: Sequence[str],
    kept: NDArray[np.bool_],
    options: MeasureOptions,
) -> dict[str, TaskEvaluation]:
    """Each task that `kept` images have the truth of."""
    found = {}
    for name, task in tasks.items():
        places = [place for place in np.flatnonzero(kept).tolist() if records[name][place] is not None]
        if not places:
            continue
        own = [records[name][place] for place in places]
        found[name] = measured_task(task, own, tuple(paths[place] for place in places), options)
    if not found:
        raise PocketVisionError(f"None of {counted(len(paths), 'image')} has the truth of {', '.join(tasks)}.")
    return found
