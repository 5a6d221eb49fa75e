"""threshold: from which score on a bundle's classes count, chosen by a wish on labelled images, and written into its manifest."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pocketvision.bundle import Bundle, resolve, rewrite_bundle
from pocketvision.data.sources.in_memory import PictureDataset, given_data
from pocketvision.data.table_rows import Columns
from pocketvision.errors import UsageError, unknown_name
from pocketvision.evaluation.evaluate import evaluate_predictor, redecided
from pocketvision.evaluation.evaluation import Evaluation
from pocketvision.preprocessing import MAX_PIXELS
from pocketvision.progress import OnEvent, silent
from pocketvision.runtime.predictor import BATCH, Predictor
from pocketvision.tasks.catalog import task_named
from pocketvision.tasks.comparing import MEASURED, check_options
from pocketvision.tasks.manifest import CHOSEN_FOR, abstaining_below, deciding, undecided
from pocketvision.tasks.measuring import Deciding, MeasureOptions
from pocketvision.tasks.thresholds import EXAMPLES, OperatingPoint, Wish
from pocketvision.workflows.evaluate import labelled_images, role_of, seen_before
from pocketvision.workflows.pretrained import open_bundle


@dataclass(frozen=True, eq=False)
class ThresholdResult:
    """The bundle with its new manifest, and the task that was changed. was: what decided before; now: what decides. before,
    after: the figures of the very images that chose, which flatter; None where no images were given."""

    bundle: Bundle
    task: str
    was: dict[str, Any]
    now: dict[str, Any]
    before: Evaluation | None
    after: Evaluation | None

    @property
    def chosen_for(self) -> dict[str, Any]:
        """The wishes, and the number of images that they were chosen on; empty where there are none."""
        found = self.bundle.tasks[self.task].postprocessing.get(CHOSEN_FOR, {})
        return dict(found)

    def points(self, evaluation: Evaluation) -> Mapping[str, OperatingPoint]:
        """By class, what the answers of `before` or `after` are."""
        each = evaluation.tasks[self.task]
        deciding = task_named(each.task.kind).measuring().deciding
        assert deciding is not None, "it was chosen by it"
        return deciding.points(each.records, each.task)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "bundle": str(self.bundle.folder),
            "task": self.task,
            "was": self.was,
            "now": self.now,
            **self.chosen_for,
            "before": self._told(self.before),
            "after": self._told(self.after),
        }

    def _told(self, evaluation: Evaluation | None) -> dict[str, Any] | None:
        if evaluation is None:
            return None
        points = {name: each.to_dict() for name, each in self.points(evaluation).items()}
        return {**evaluation.summary(self.task), "points": points}


def threshold(
    bundle: str | Path,
    data: str | Path | PictureDataset | None = None,
    wishes: Iterable[str | Wish] = (),
    *,
    positive: str | None = None,
    abstain_below: float | None = None,
    reset: bool = False,
    task: str | None = None,
    paths: Iterable[Any] | None = None,
    labels: Iterable[Any] | None = None,
    format: str | None = None,
    split: str | None = None,
    path_column: str = "path",
    label_column: str = "label",
    split_column: str = "split",
    group_column: str = "group",
    images: str | Path | None = None,
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
    on_progress: Callable[[int, int], None] | None = None,
    on_event: OnEvent = silent,
) -> ThresholdResult:
    """Choose the thresholds of `bundle` by `wishes` on the labelled images of `data`, and write them into its manifest: whole or
    not at all, and nothing else of the bundle changes.

    wishes: as in tasks/thresholds.py, "f1", "recall=0.9", "cat:precision=0.95", or a threshold itself, "0.3", for which no images
    are needed. positive: with two classes, the one that a wish is for which names none; None takes the one of the training.
    abstain_below: the score in [0, 1] below which an answer is unsure. reset: begin without thresholds and such a score.
    task: which of the bundle's tasks; None takes the one that classifies, else the first.
    data, paths, labels, format, split and the rest: as in evaluate; but without a split, the validation split is taken where
    there is one. Images that the bundle learned from are left out.

    Raises UsageError (nothing to do, a wish that is none or can not be met, no such data or class), BundleError.
    """
    if not resolve(bundle).is_dir():
        raise UsageError(f"{bundle} is no bundle's folder, so there is no manifest to write thresholds into.")
    read = open_bundle(bundle)
    name, row = _deciding_task(read, task)
    own = read.tasks[name]
    asked = [each if isinstance(each, Wish) else Wish.parse(each, own.labels) for each in wishes]
    _require_something(asked, abstain_below, reset, given=data is not None or paths is not None)
    base = undecided(own) if reset else own
    base = base if abstain_below is None else abstaining_below(base, abstain_below)
    options = MeasureOptions(positive=read.positive if positive is None else positive)
    check_options({name: own}, options)
    before = None
    if data is not None or paths is not None:
        columns = Columns(path_column, label_column, split_column, group_column)
        given = given_data(data, paths, labels)
        samples, split, _ = labelled_images(
            read, given, columns, format=format, images=images, split=split, usual="val", on_event=on_event
        )
        matches = seen_before(read, samples, workers, max_pixels, on_event)
        before = evaluate_predictor(
            Predictor(read, detail=MEASURED),
            samples,
            name=split or "data",
            role=role_of(split, matches),
            matches=matches,
            positive=options.positive,
            batch=BATCH,
            workers=workers,
            max_pixels=max_pixels,
            on_progress=on_progress,
        )
    changed = row.choose(_records(before, name), base, asked, options.positive) if asked else base
    tasks = {**read.tasks, name: changed}
    written = rewrite_bundle(read, replace(read.manifest, tasks=tasks))
    after = None if before is None else redecided(before, tasks, options)
    return ThresholdResult(written, name, deciding(own), deciding(changed), before, after)


def _deciding_task(bundle: Bundle, task: str | None) -> tuple[str, Deciding[Any]]:
    """The task that is meant. Raises UsageError for an unknown one, and for one whose answers no threshold decides on."""
    name = bundle.task_name if task is None else task
    if name not in bundle.tasks:
        raise unknown_name("task", name, bundle.tasks)
    row = task_named(bundle.tasks[name].kind).measuring().deciding
    if row is None:
        kind = bundle.tasks[name].kind
        raise UsageError(
            f"{bundle.folder}: no threshold decides on answers of the kind {kind}, which the task {name} has."
        )
    return name, row


def _require_something(wishes: list[Wish], below: float | None, reset: bool, *, given: bool) -> None:
    if not wishes and below is None and not reset:
        raise UsageError(f"Nothing is wished for. Wish for one of {EXAMPLES}; or --abstain-below 0.6, or --reset.")
    without = [wish.text for wish in wishes if wish.name != "at"]
    if without and not given:
        raise UsageError(
            f"{', '.join(without)} is chosen on labelled images, and there are none: give DATA, such as a run's RUN/split.csv."
        )


def _records(evaluation: Evaluation | None, task: str) -> list[Any]:
    if evaluation is None:
        return []
    if task not in evaluation.tasks:
        raise UsageError(
            f"None of the images has the truth of the task {task}; they are of {', '.join(evaluation.tasks)}."
        )
    return list(evaluation.tasks[task].records)
