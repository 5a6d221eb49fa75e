"""Two models on the same images with truth: who is better, whether that is sure, and on which images they differ.

Whatever answers can be compared (runtime/chained_predictor.Answering): a bundle in any backend, an int8 one, an ensemble, a
server.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.learned_from import Matches
from pocketvision.data.samples import Samples
from pocketvision.errors import UsageError
from pocketvision.evaluation.answering import Pass
from pocketvision.evaluation.evaluate import measured_task
from pocketvision.evaluation.overlap import without_seen
from pocketvision.printable import counted, shortened
from pocketvision.statistics import Interval, PairedBootstrap, mcnemar
from pocketvision.tasks.catalog import task_named
from pocketvision.tasks.classification.mistakes import Mistake
from pocketvision.tasks.classification.record import ClassRecord, stacked
from pocketvision.tasks.figure_comparison import FigureComparison
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.measuring import Comparison, MeasureOptions, TaskEvaluation

Winner = Literal["A", "B"]

SURE = 0.05
"""A p-value below this is called significant."""

DIFFERENCES_IN_JSON = 1000


@dataclass(frozen=True)
class Pairs:
    """Images by who was right: both, A alone, B alone, neither. p: McNemar's exact test of the middle two."""

    both: int
    only_a: int
    only_b: int
    neither: int
    p: float


@dataclass(frozen=True)
class Difference:
    """An image on which one model does better. a, b: what was wrong in each answer, in words, empty where nothing was. gap: how
    much worse A is than B, by what the task sorts mistakes by (TaskMistake.badness); below 0 where B is."""

    path: str
    a: str
    b: str
    gap: float

    @property
    def better(self) -> Winner:
        """Whose answer is the better one."""
        return "B" if self.gap > 0 else "A"


@dataclass(frozen=True, eq=False)
class Duel:
    """Two models in one task, on the same n images. drop: A's headline less B's in points of a hundred (figure_comparison.py).
    pairs: of classifications. differences: the largest first."""

    a: TaskEvaluation
    b: TaskEvaluation
    found: Comparison
    pairs: Pairs | None
    differences: tuple[Difference, ...]

    @property
    def test(self) -> PairedBootstrap | None:
        """Of all but classes, where there are resamples enough; of A's headline less B's, in points."""
        return self.found.test if isinstance(self.found, FigureComparison) else None

    @property
    def interval(self) -> Interval | None:
        """Of B's headline less A's, in points."""
        drop = self.found.drop_interval if self.test is None else self.test.interval
        return None if drop is None else Interval(-drop.high, -drop.low)

    @property
    def gain(self) -> float:
        """B's headline less A's, in points."""
        return -(self.found.drop or 0.0) + 0.0

    @property
    def significant(self) -> bool:
        """Of classes by McNemar's test, of everything else by the paired bootstrap; without resamples, where the interval is
        beside 0."""
        if self.p is not None:
            return self.p < SURE
        return self.interval is not None and (self.interval.low > 0 or self.interval.high < 0)

    @property
    def p(self) -> float | None:
        """That the two are as good, two-sided; None where nothing tells."""
        return self.pairs.p if self.pairs is not None else self.test.p if self.test is not None else None

    @property
    def winner(self) -> Winner | None:
        """Who is better, as far as these images tell; None where they do not."""
        return None if not self.significant or not self.gain else "B" if self.gain > 0 else "A"

    @property
    def better_on(self) -> dict[Winner, int]:
        """On how many images each does better."""
        of_b = sum(each.better == "B" for each in self.differences)
        return {"A": len(self.differences) - of_b, "B": of_b}

    @property
    def verdict(self) -> str:
        """In a sentence."""
        said = "No difference is shown" if self.winner is None else f"{self.winner} is better"
        return f"{said}: {self.told}"

    @property
    def told(self) -> str:
        """The figures of the verdict."""
        name, interval = self.a.metrics.headline.name, self.interval
        figures = f"{name} {self.a.metrics.headline.value:.1%} of A and {self.b.metrics.headline.value:.1%} of B"
        bounds = "" if interval is None else f" (95 %: {interval.low:+.2f} to {interval.high:+.2f})"
        named = "McNemar" if self.pairs is not None else "paired bootstrap"
        test = "" if self.p is None else f", {named} p = {self.p:.2g}"
        images = counted(self.found.images, "image")
        gained = f"B − A {self.gain:+.2f} points{bounds}{test}"
        return f"{figures}, {gained}, on {images}; they differ on {len(self.differences):,}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        interval = self.interval
        return {
            "winner": self.winner,
            "significant": self.significant,
            "verdict": self.verdict,
            "gain": self.gain,
            "interval": None if interval is None else [interval.low, interval.high],
            "p": self.p,
            "mcnemar": None if self.pairs is None else vars(self.pairs),
            "paired_bootstrap": None
            if self.test is None or self.pairs is not None
            else {"p": self.test.p, "resamples": self.test.resamples},
            "better_on": dict(self.better_on),
            "a": self.a.metrics.to_dict(),
            "b": self.b.metrics.to_dict(),
            "differences": [{**vars(each), "better": each.better} for each in self.differences[:DIFFERENCES_IN_JSON]],
        }


@dataclass(frozen=True, eq=False)
class Versus:
    """names: of A and B, as they were given. duels: by task, at least one. left_out: images that one of the two has learned from.
    learned: whether all of them are such, so that none was left out and the figures flatter. seconds: of reading and answering,
    each model's own."""

    names: tuple[str, str]
    duels: Mapping[str, Duel]
    images: int
    left_out: int
    unreadable: int
    seconds: tuple[float, float]
    learned: bool = False

    @property
    def first(self) -> Duel:
        """The first task's."""
        return next(iter(self.duels.values()))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "a": self.names[0],
            "b": self.names[1],
            "images": self.images,
            "left_out": self.left_out,
            "learned": self.learned,
            "unreadable": self.unreadable,
            "seconds": {"a": self.seconds[0], "b": self.seconds[1]},
            "tasks": {name: duel.to_dict() for name, duel in self.duels.items()},
        }


def require_comparable(
    names: tuple[str, str], tasks: tuple[Mapping[str, TaskManifest], Mapping[str, TaskManifest]]
) -> None:
    """Raise UsageError for models with no task in common, or with other classes in one of them."""
    shared = [_same_task(names, name, task, tasks[1]) for name, task in tasks[0].items()]
    if all(each is None for each in shared):
        told = [", ".join(f"{name} ({task.kind})" for name, task in each.items()) for each in tasks]
        raise UsageError(f"{names[0]} answers {told[0]}, {names[1]} {told[1]}: they have no task in common.")


def compare_passes(
    names: tuple[str, str],
    passes: tuple[Pass, Pass],
    samples: Samples,
    *,
    seen: Sequence[Matches | None] = (),
    options: MeasureOptions = MeasureOptions(),  # noqa: B008 (frozen)
) -> Versus:
    """What two models said of the same samples. seen: of each, which samples it has seen in its training; those of either are
    left out, unless no others are there (Versus.learned). Raises UsageError as require_comparable does, and where no image has
    the truth of a task of both."""
    a, b = passes
    require_comparable(names, (a.tasks, b.tasks))
    places = np.intersect1d(a.places, b.places)
    kept, learned = _unseen(places, seen, samples)
    duels = {}
    for name, task in a.tasks.items():
        other = _same_task(names, name, task, b.tasks)
        if other is not None:
            duel = _duel((a, b), (name, other), places[kept], samples, options)
            if duel is not None:
                duels[name] = duel
    if not duels:
        raise UsageError(f"{samples.root} has no truth of what both {names[0]} and {names[1]} answer.")
    unreadable = len(samples) - len(places)
    return Versus(names, duels, int(kept.sum()), int((~kept).sum()), unreadable, (a.seconds, b.seconds), learned)


def _unseen(
    places: NDArray[np.int64], seen: Sequence[Matches | None], samples: Samples
) -> tuple[NDArray[np.bool_], bool]:
    """Which images neither has learned from, and whether there are none such: then all are kept."""
    kept, learned = np.ones(len(places), np.bool_), False
    for matches in seen:
        if matches is not None:
            paths = [samples.paths[each] for each in places.tolist()]
            role, own, _ = without_seen("given", matches.of(places), paths)
            kept, learned = kept & own, learned or role == "learned"
    return (kept, learned) if kept.any() else (~kept, True)


def _same_task(names: tuple[str, str], name: str, task: TaskManifest, others: Mapping[str, TaskManifest]) -> str | None:
    """The other model's name for the task: the same, or that of the only one of its kind."""
    of_kind = [each for each, other in others.items() if other.kind == task.kind]
    found = name if name in of_kind else of_kind[0] if len(of_kind) == 1 else None
    if found is not None and others[found].labels != task.labels:
        one, other = task.labels, others[found].labels
        apart = [each for each in (*one, *other) if (each in one) != (each in other)]
        told = f"only one of them knows {', '.join(map(shortened, apart[:3]))}" if apart else "their order is another"
        raise UsageError(
            f"{names[0]} and {names[1]} have other classes ({told}), so their answers can not be compared."
        )
    return found


def _duel(
    passes: tuple[Pass, Pass],
    tasks: tuple[str, str],
    places: NDArray[np.int64],
    samples: Samples,
    options: MeasureOptions,
) -> Duel | None:
    """None where no image has the task's truth."""
    rows = [dict(zip(each.places.tolist(), range(len(each.places)), strict=True)) for each in passes]
    records = [
        [each.answered.records[task][row[place]] for place in places.tolist()]
        for each, task, row in zip(passes, tasks, rows, strict=True)
    ]
    there = [place for place, record in enumerate(records[0]) if record is not None]
    if not there:
        return None
    paths = tuple(samples.paths[places[place]] for place in there)
    own = [[each[place] for place in there] for each in records]
    manifests = [each.tasks[task] for each, task in zip(passes, tasks, strict=True)]
    a, b = (measured_task(task, each, paths, options) for task, each in zip(manifests, own, strict=True))
    found = task_named(manifests[0].kind).measuring().compare(own[0], own[1])
    return Duel(a, b, found, _pairs(own[0], own[1]), _differences(a, b))


def _pairs(a: Sequence[Any], b: Sequence[Any]) -> Pairs | None:
    if not all(isinstance(each, ClassRecord) for each in (a[0], b[0])):
        return None
    one, other = stacked(a), stacked(b)
    right, right_too = one.answers == one.labels, other.answers == one.labels
    only_a, only_b = int((right & ~right_too).sum()), int((~right & right_too).sum())
    return Pairs(
        int((right & right_too).sum()), only_a, only_b, int((~right & ~right_too).sum()), mcnemar(only_a, only_b)
    )


def _differences(a: TaskEvaluation, b: TaskEvaluation) -> tuple[Difference, ...]:
    """Images of which one answer is wrong in another way than the other, or more so."""
    one, other = ({each.path: each for each in found.mistakes} for found in (a, b))
    found = []
    for path in dict.fromkeys((*one, *other)):
        mistakes = [each.get(path) for each in (one, other)]
        texts = ["" if each is None else each.text for each in mistakes]
        gap = (0.0 if mistakes[0] is None else mistakes[0].badness) - (
            0.0 if mistakes[1] is None else mistakes[1].badness
        )
        answered = [
            each.predicted for each in mistakes if isinstance(each, Mistake)
        ]  # surer of the same class is no other
        if gap and texts[0] != texts[1] and (len(answered) < 2 or answered[0] != answered[1]):
            found.append(Difference(path, texts[0], texts[1], gap))
    return tuple(sorted(found, key=lambda each: (bool(each.a) == bool(each.b), -abs(each.gap))))
