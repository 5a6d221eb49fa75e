"""Thresholds of a bundle's task, chosen on an evaluation: what decides on its answers before and after, and its figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pocketvision.bundle import Bundle, rewrite_bundle
from pocketvision.errors import UsageError, unknown_name
from pocketvision.evaluation.evaluate import measured_task
from pocketvision.evaluation.evaluation import Evaluation
from pocketvision.runtime.novelty import FILE as NOVELTY_FILE
from pocketvision.runtime.novelty import Novelty
from pocketvision.tasks.catalog import task_named
from pocketvision.tasks.manifest import CHOSEN_FOR, NOVEL_FROM, TaskManifest, abstaining_below, deciding, undecided
from pocketvision.tasks.measuring import Deciding, MeasureOptions
from pocketvision.tasks.thresholds import EXAMPLES, OperatingPoint, Wish


@dataclass(frozen=True)
class Wanted:
    """What is wished for, of which class where a wish of two classes names none (None: the task's choice), below which score
    answers are unsure (None: as it was), and whether what was set before is taken away first. coverage: the share of images whose
    set of classes is to hold the true one (None: as it was). none_of_these: the share of
    ordinary images that may be said to be of no class (None: as it was)."""

    wishes: Sequence[Wish] = ()
    positive: str | None = None
    abstain_below: float | None = None
    reset: bool = False
    coverage: float | None = None
    none_of_these: float | None = None

    def require(self, *, given: bool, fitted: bool = False) -> None:
        """Raise UsageError where there is nothing to do, or images are needed and none are given. fitted: whether the bundle
        keeps what tells novelty, which needs none."""
        alone = (self.abstain_below, self.coverage, self.none_of_these)
        if not self.wishes and not self.reset and all(each is None for each in alone):
            raise UsageError(
                f"Nothing is wished for. Wish for one of {EXAMPLES}; or --abstain-below 0.6, --coverage 0.9, "
                "--none-of-these 0.05, or --reset."
            )
        without = [wish.text for wish in self.wishes if wish.name != "at"]
        without += [] if self.coverage is None else [f"coverage={self.coverage:g}"]
        without += [] if self.none_of_these is None or fitted else [f"none-of-these={self.none_of_these:g}"]
        for name, share in (("--coverage", self.coverage), ("--none-of-these", self.none_of_these)):
            if share is not None and not 0 < share < 1:
                raise UsageError(f"{name} is {share:g}; expected a share between 0 and 1, such as 0.9 or 0.05.")
        if without and not given:
            told = ", ".join(without)
            raise UsageError(
                f"{told} is chosen on labelled images, and there are none: give DATA, such as a run's RUN/split.csv."
            )

    def require_fitting(self, kind: str, row: Deciding[Any]) -> None:
        """Raise UsageError for answers that are never unsure, or not one of classes."""
        if self.none_of_these is not None and row.sets is None:
            raise UsageError(
                "--none-of-these is told by what tells an image's one class from the others; answers of the kind "
                f"{kind} are not one of classes. Leave it out."
            )
        if self.coverage is not None and row.sets is None:
            raise UsageError(
                f"--coverage makes sets of classes that an image may be of; answers of the kind {kind} are not one of classes. "
                "Leave it out."
            )
        if self.abstain_below is not None and not row.abstains:
            raise UsageError(
                f"--abstain-below says when an image's one answer is unsure; answers of the kind {kind} are many, each with a "
                "threshold of its own. Leave it out, and wish for precision=0.95, for example."
            )

    def before_choosing(self, task: TaskManifest) -> TaskManifest:
        """The task without thresholds where they are taken away, unsure below the score. UsageError for one outside [0, 1]."""
        base = undecided(task) if self.reset else task
        return base if self.abstain_below is None else abstaining_below(base, self.abstain_below)


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

    @property
    def unset(self) -> str:
        """What is answered where nothing decides, in words."""
        return deciding_row(self.bundle, self.task).unset

    def points(self, evaluation: Evaluation) -> Mapping[str, OperatingPoint]:
        """By class, what the answers of `before` or `after` are."""
        each = evaluation.tasks[self.task]
        return deciding_row(self.bundle, self.task).points(each.records, each.task)

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


def choose_on(
    bundle: Bundle, name: str, wanted: Wanted, before: Evaluation | None, novelty: Novelty | None = None
) -> ThresholdResult:
    """The bundle with thresholds of its task `name` as wanted, written whole or not at all; the network and all that was measured
    of it stay. before: of the labelled images that choose; None where none are needed. novelty: what tells none of these, where
    that is wanted. Raises UsageError for wishes that do not
    fit, UnmetWishError for those that the images do not allow; the bundle is as it was then."""
    task, row = bundle.tasks[name], deciding_row(bundle, name)
    if before is not None and name not in before.tasks:
        raise UsageError(f"None of the images has the truth of the task {name}; they are of {', '.join(before.tasks)}.")
    wanted.require_fitting(task.kind, row)
    records = [] if before is None else list(before.tasks[name].records)
    changed = wanted.before_choosing(task)
    changed = row.choose(records, changed, wanted.wishes, wanted.positive) if wanted.wishes else changed
    if wanted.coverage is not None and row.sets is not None:
        changed = row.sets(records, changed, wanted.coverage)
    files = {}
    if wanted.none_of_these is not None:
        changed = replace(changed, postprocessing={**changed.postprocessing, NOVEL_FROM: 1 - wanted.none_of_these})
        files = {} if novelty is None else {NOVELTY_FILE: novelty.content()}
    tasks = {**bundle.tasks, name: changed}
    written = rewrite_bundle(bundle, replace(bundle.manifest, tasks=tasks), files)
    after = None if before is None else redecided(before, tasks, MeasureOptions(positive=wanted.positive))
    return ThresholdResult(written, name, deciding(task), deciding(changed), before, after)


def deciding_row(bundle: Bundle, name: str) -> Deciding[Any]:
    """How thresholds of the task `name` are chosen. Raises UsageError for a task that the bundle has not, and for one whose
    answers no threshold decides on."""
    if name not in bundle.tasks:
        raise unknown_name("task", name, bundle.tasks)
    return _row(bundle.tasks[name])


def wanted_after_training(
    task: TaskManifest, wishes: str | None, positive: str | None, abstain_below: float | None
) -> Wanted | None:
    """What a training is to decide in the end; None where that is nothing. wishes: texts with commas between them.

    Raises UsageError, before the training, for what is no wish of this task, or contradicts another.
    """
    if not wishes and abstain_below is None:
        return None
    texts = [each.strip() for each in (wishes or "").split(",") if each.strip()]
    asked = [Wish.parse(text, task.labels) for text in texts]
    # Whether they fit the task and one another shows without an image, for thresholds in their place.
    alike = [each if each.name == "at" else Wish("at", 0.5, each.of) for each in asked]
    row = _row(task)
    if alike := [
        each for each, wish in zip(alike, asked, strict=True) if each.of or wish.name == "at" or len(asked) > 1
    ]:
        row.choose([], task, alike, positive)
    wanted = Wanted(asked, positive, abstain_below)
    wanted.require_fitting(task.kind, row)
    return wanted


def decided_by_validation(bundle: Bundle, name: str, wanted: Wanted, validation: Evaluation) -> tuple[Bundle, str]:
    """The bundle with its task `name` as the training wants it, and what is to be said where its images do not allow a wish: it
    is as good as before then, and the training is not lost."""
    try:
        return choose_on(bundle, name, wanted, validation).bundle, ""
    except UsageError as error:
        note = f"No threshold was chosen. {error} `pocketvision threshold` can choose another."
    if wanted.abstain_below is not None:
        bundle = choose_on(bundle, name, replace(wanted, wishes=()), None).bundle
    return bundle, note


def _row(task: TaskManifest) -> Deciding[Any]:
    row = task_named(task.kind).measuring().deciding
    if row is None:
        raise UsageError(f"No threshold decides on answers of the kind {task.kind}.")
    return row


def redecided(evaluation: Evaluation, tasks: Mapping[str, TaskManifest], options: MeasureOptions) -> Evaluation:
    """The same images with the same scores, as the bundle's tasks decide on them now. options: as in evaluate_records."""
    options = replace(options, fitted=evaluation.role in ("learned", "selection"))
    found = dict(evaluation.tasks)
    for name, each in evaluation.tasks.items():
        row = task_named(each.task.kind).measuring().deciding
        if row is not None:
            found[name] = measured_task(tasks[name], row.decide(each.records, tasks[name]), each.paths, options)
    return replace(evaluation, tasks=found)
