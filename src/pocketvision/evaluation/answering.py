"""A predictor asked about all images of some samples, once: what stays of each is its records."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.samples import Samples
from pocketvision.errors import PocketVisionError, UsageError
from pocketvision.evaluation.evaluation import Unreadable
from pocketvision.preprocessing import MAX_PIXELS
from pocketvision.printable import counted
from pocketvision.runtime.chained_predictor import Answering
from pocketvision.runtime.predictor import BATCH
from pocketvision.tasks.catalog import task_named
from pocketvision.tasks.comparing import Answered, fitted_truth
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.truth import Truth


@dataclass(frozen=True, eq=False)
class Pass:
    """What a predictor said of n >= 1 readable images.

    tasks, truth: those that the samples have the truth of, by name. places: (n) rows of the samples, ascending. answered: (n) by
    task. brightness: (n), None where it was not measured; sizes: (n, 2) width and height of the upright images in pixels, 0 where
    they were not told. unreadable: the images that are in none of this. seconds: wall time.
    """

    tasks: Mapping[str, TaskManifest]
    truth: Mapping[str, Truth]
    places: NDArray[np.int64]
    answered: Answered
    brightness: NDArray[np.float32] | None
    sizes: NDArray[np.int64]
    unreadable: tuple[Unreadable, ...]
    seconds: float

    def paths(self, samples: Samples) -> list[str]:
        """(n) as the samples name them."""
        return [samples.paths[place] for place in self.places.tolist()]


@dataclass(eq=False)
class _Kept:
    answered: Answered
    places: list[int] = field(default_factory=list)
    brightness: list[float | None] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def answer_all(
    predictor: Answering,
    samples: Samples,
    *,
    batch: int = BATCH,
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
    on_progress: Callable[[int, int], None] | None = None,
) -> Pass:
    """Ask `predictor`, which should answer in the detail MEASURED (tasks/comparing.py), about every image of `samples`.

    batch, workers, max_pixels: see `Predictor.stream`. on_progress: called with the images done and their total. Raises
    UsageError for truth that does not fit the predictor's tasks, such as a class that they do not know, PocketVisionError when no
    image is readable, and where an answer is not finite, with the images' names.
    """
    started = time.perf_counter()
    tasks, truth = _measurable(predictor, samples)
    kept = _Kept(Answered.nothing_of(tasks))
    files = (samples.file(index) for index in range(len(samples)))
    for index, row in enumerate(predictor.stream(files, batch=batch, workers=workers, max_pixels=max_pixels)):
        if row.error is not None:
            kept.unreadable.append(Unreadable(samples.paths[index], row.error))
        elif wrong := not_finite(tasks, row.outputs):
            kept.broken.append(f"{samples.paths[index]} ({wrong})")
        else:
            kept.answered.add(tasks, row.outputs, row.answers, truth, index)
            kept.places.append(index)
            kept.brightness.append(row.brightness)
            kept.sizes.append(row.size or (0, 0))
        if on_progress is not None:
            on_progress(index + 1, len(samples))
    _require_answers(kept, samples)
    return Pass(
        tasks,
        truth,
        np.array(kept.places, np.int64),
        kept.answered,
        None if None in kept.brightness else np.array(kept.brightness, np.float32),
        np.array(kept.sizes, np.int64),
        tuple(kept.unreadable),
        time.perf_counter() - started,
    )


def not_finite(tasks: Mapping[str, TaskManifest], outputs: Mapping[str, NDArray[np.floating]]) -> str:
    """What of an image's outputs, by the graph's names, are no numbers, in words; empty where all are. Where things are found,
    infinite edges of boxes are none of the things (decoding passes them over), and only NaN counts."""
    for task in tasks.values():
        finds = task_named(task.kind).places is not None
        for name in task.outputs.values():
            values = outputs.get(name, np.zeros(0))
            wrong = int(np.count_nonzero(np.isnan(values) if finds else ~np.isfinite(values)))
            if wrong:
                return f"{wrong:,} of {values.size:,} numbers of {name!r}"
    return ""


def _measurable(predictor: Answering, samples: Samples) -> tuple[dict[str, TaskManifest], dict[str, Truth]]:
    """The tasks that there is truth of, and that truth by the tasks' labels."""
    tasks = predictor.bundle.tasks
    truth = fitted_truth(tasks, samples.truth, str(samples.root))
    if not truth:
        raise UsageError(
            f"{samples.root} says nothing of its images for {', '.join(tasks)}; it is of {', '.join(samples.truth)}."
        )
    return {task: manifest for task, manifest in tasks.items() if task in truth}, truth


def _require_answers(kept: _Kept, samples: Samples) -> None:
    if kept.broken:
        raise PocketVisionError(
            f"{samples.root}: of {counted(len(kept.broken), 'image')} the model's answer is not finite, so that nothing "
            f"can be measured: {', '.join(kept.broken[:3])}{', …' if len(kept.broken) > 3 else ''}. "
            "`pocketvision verify` tells whether the bundle is as it was written; another --backend may answer."
        )
    if kept.places:
        return
    if not kept.unreadable:
        raise PocketVisionError(f"{samples.root}: there are no images to evaluate.")
    first = kept.unreadable[0]
    raise PocketVisionError(
        f"{samples.root}: of {counted(len(kept.unreadable), 'image')} none can be read; the first is {first.path} "
        f"({first.reason}). `pocketvision check` lists them all."
    )
