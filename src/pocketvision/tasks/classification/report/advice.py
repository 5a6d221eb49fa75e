"""What the figures of a classifier suggest to do."""

from collections.abc import Iterator, Sequence

from pocketvision.tasks.classification.metrics import ClassificationMetrics
from pocketvision.tasks.classification.mistakes import Mistake, own_mistakes
from pocketvision.tasks.classification.report.confusions import Confusion, confusions, worst_first
from pocketvision.tasks.reporting.formats import percent
from pocketvision.tasks.reporting.parts import ANSWERS, DATA, PICTURES, WEAKEST, Advice, ClassCounts, Run, Subject

SURE = 0.95
"""A wrong answer of at least this probability is as often a wrong label as a wrong model."""
SMALL = 0.5
"""A class with less than this share of the largest class's images is small."""


def advice(subject: Subject, run: Run) -> Sequence[Advice]:
    """On mistakes, the weakest class, too few images of it, and which pictures to look at."""
    metrics, mistakes = subject.evaluation.metrics, own_mistakes(subject.evaluation.mistakes)
    assert isinstance(metrics, ClassificationMetrics), "the row's own"
    confused = confusions(metrics, mistakes, subject.prefix)
    found = [*_sure(mistakes, confused), *_weakest(metrics, confused)]
    if confused:
        found += _small_class(run, worst_first(metrics)[0].name)
        first = confused[0]
        found.append(Advice("pictures", {"true": first.true, "predicted": first.predicted}, first.id, PICTURES))
    return found


def _sure(mistakes: Sequence[Mistake], confused: tuple[Confusion, ...]) -> Iterator[Advice]:
    sure = [mistake for mistake in mistakes if mistake.probability >= SURE]
    if sure:
        groups = [group for group in confused if sure[0] in group.mistakes]
        yield Advice("sure", {"count": f"{len(sure):,}", "share": percent(SURE)}, groups[0].id, ANSWERS)


def _weakest(metrics: ClassificationMetrics, confused: tuple[Confusion, ...]) -> Iterator[Advice]:
    if not confused:
        low = metrics.headline.interval
        values = {"images": f"{metrics.images:,}", "share": percent(None if low is None else 1 - low.low)}
        yield Advice("flawless", values, rank=WEAKEST)
        return
    weakest = worst_first(metrics)[0]
    missed = next((group for group in confused if group.true == weakest.name), None)
    if missed is not None:
        yield Advice(
            "weakest",
            {
                "name": weakest.name,
                "found": f"{weakest.support - sum(each.count for each in confused if each.true == weakest.name):,}",
                "images": f"{weakest.support:,}",
                "other": missed.predicted,
                "count": f"{missed.count:,}",
            },
            missed.id,
            WEAKEST,
        )
        return
    taken = next(group for group in confused if group.predicted == weakest.name)
    values = {"name": weakest.name, "other": taken.true, "count": f"{taken.count:,}"}
    yield Advice("overcalled", values, taken.id, WEAKEST)


def _small_class(run: Run, name: str) -> Iterator[Advice]:
    """When `name` is a small class and nothing makes up for that yet."""
    recipe = run.recipe
    if (
        recipe is None
        or recipe.get("loss.class_weights") not in (None, "none")
        or recipe.get("data.balance_to") is not None
    ):
        return
    own = next((each for each in run.classes if each.name == name), None)
    if own is None:
        return
    largest: ClassCounts = max(run.classes, key=lambda each: each.train)
    if own.train <= SMALL * largest.train:
        values = {"name": name, "images": f"{own.train:,}", "largest": largest.name, "most": f"{largest.train:,}"}
        yield Advice("balance", {**values, "to": f"{largest.train}"}, "split", DATA)
