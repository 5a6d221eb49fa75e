"""Objects and masks that people drew, judged by the answers of models that have not learned from them. No torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.learned_from import UNSEEN, Matches
from pocketvision.data.samples import Samples
from pocketvision.errors import PocketVisionError, UsageError
from pocketvision.evaluation.answering import not_finite
from pocketvision.preprocessing import MAX_PIXELS
from pocketvision.printable import counted
from pocketvision.runtime.chained_predictor import Answering
from pocketvision.tasks.catalog import task_named
from pocketvision.tasks.comparing import fitted_truth
from pocketvision.tasks.doubting import Doubt, Doubting
from pocketvision.tasks.manifest import TaskManifest


@dataclass(frozen=True, eq=False)
class Doubted:
    """What is doubted of one task. places: rows of the samples that were judged, which doubts' `image` are places of; doubts: the
    likely errors first. known: how many of these images every model has learned from, None where nobody knows of some."""

    task: str
    doubting: Doubting[Any, Any]
    samples: Samples
    places: tuple[int, ...]
    doubts: Sequence[Doubt]
    evidence: Sequence[Any]
    known: int | None

    @property
    def likely(self) -> int:
        """How many are worth a look."""
        return sum(each.likely for each in self.doubts)

    @property
    def lines(self) -> tuple[str, ...]:
        """What was found, in sentences, and what takes from it."""
        found = self.doubting.lines(self.doubts, self.evidence)
        if self.known:
            found += (
                f"Of {self.known:,} of {counted(len(self.places), 'image')} the model has learned what is judged here, errors "
                "included, and finds fewer. Judge them by one that has learned from others.",
            )
        if self.known is None:
            found += (
                "Whether the model has learned from these images is not known; it finds fewer errors in those that it has.",
            )
        return found


def require_judges(judges: Sequence[Answering], samples: Samples) -> dict[str, TaskManifest]:
    """The tasks that are judged, by name. Raises UsageError, before the work, where there is none, and where the judges have
    other tasks or classes."""
    first = judges[0].bundle.tasks
    tasks = {name: each for name, each in first.items() if task_named(each.kind).doubting is not None}
    truth = fitted_truth(tasks, samples.truth, str(samples.root))
    if not truth:
        raise UsageError(
            f"{samples.root}: it has {', '.join(samples.truth)}, and the bundle answers {', '.join(first)}. A bundle judges "
            "objects and masks, where it finds them; leave --bundle out to judge classes."
        )
    for other in judges[1:]:
        own = other.bundle.tasks
        apart = [name for name in truth if name not in own or own[name].labels != tasks[name].labels]
        if apart:
            raise UsageError(f"The bundles have other classes for {apart[0]}, so that they can not judge together.")
    return {name: tasks[name] for name in truth}


def doubts_of(
    judges: Sequence[Answering],
    seen: Sequence[Matches | None],
    samples: Samples,
    *,
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Doubted]:
    """What is doubted of each task that require_judges finds. seen: of each judge, which of the samples it has learned from; each
    image is judged by the first judge that has not, else by the first one. Unreadable images are left out.

    Judges answer in the detail MEASURED. on_progress: called with the images done and their total. Raises UsageError as
    require_judges does, and PocketVisionError where no image can be judged and where an answer is not finite.
    """
    tasks = require_judges(judges, samples)
    truth = fitted_truth(tasks, samples.truth, str(samples.root))
    judge_of, known = shared_out(seen, len(samples))
    held: dict[str, dict[int, Any]] = {name: {} for name in tasks}
    done = 0
    for number, judge in enumerate(judges):
        rows = np.flatnonzero(judge_of == number).tolist()
        files = (samples.file(row) for row in rows)
        for row, result in zip(rows, judge.stream(files, workers=workers, max_pixels=max_pixels), strict=True):
            done += 1
            if on_progress is not None:
                on_progress(done, len(samples))
            if result.error is not None:
                continue
            _require_finite(tasks, result.outputs, samples.paths[row])
            for name in tasks:
                own, task = truth[name].select(np.array([row])), judge.bundle.tasks[name]
                if own.present[0]:
                    looked = task_named(task.kind).doubting
                    assert looked is not None, "require_judges took those alone"
                    held[name][row] = looked().look(task.tensors(result.outputs), result.answers[name], own, task)
    return [_judged(name, task, samples, held[name], known) for name, task in tasks.items()]


def shared_out(seen: Sequence[Matches | None], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(count) the judge of each image, and (count) whether it has learned from it: 1, 0, or -1 where nobody knows."""
    judge, known = np.zeros(count, np.int64), np.full(count, 2, np.int64)
    for number, matches in enumerate(seen):
        own = np.full(count, -1) if matches is None else ((matches.kinds != UNSEEN) & (matches.splits == 0)).astype(int)
        better = (known != 0) & ((own == 0) | (known == 2))
        judge[better], known[better] = number, own[better]
    return judge, known


def _require_finite(tasks: Mapping[str, TaskManifest], outputs: Mapping[str, NDArray[np.float32]], path: str) -> None:
    wrong = not_finite(tasks, outputs)
    if wrong:
        raise PocketVisionError(
            f"{path}: the model's answer is not finite ({wrong}), so that nothing can be judged by it. `pocketvision verify` "
            "tells whether the bundle is as it was written; another --backend may answer."
        )


def _judged(
    name: str, task: TaskManifest, samples: Samples, held: Mapping[int, Any], known: NDArray[np.int64]
) -> Doubted:
    if not held:
        raise PocketVisionError(f"{samples.root}: there are no readable images whose {name} could be judged.")
    doubting = task_named(task.kind).doubting
    assert doubting is not None, "require_judges took those alone"
    places = tuple(sorted(held))
    evidence = [held[place] for place in places]
    own = known[list(places)]
    learned = None if (own < 0).any() else int(own.sum())
    return Doubted(name, doubting(), samples, places, doubting().judge(evidence, task), evidence, learned)
