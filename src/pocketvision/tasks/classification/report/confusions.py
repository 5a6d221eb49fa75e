"""The mistakes of an evaluation, grouped by confusion: which class was taken for which, and the pictures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pocketvision.tasks.classification.metrics import ClassFigures, ClassificationMetrics
from pocketvision.tasks.classification.mistakes import Mistake


@dataclass(frozen=True)
class Confusion:
    """Images of the class `true` that were answered `predicted`, the most confident first.

    id: the group's anchor in the page. images: of the true class. count: how many of those. share: count / images.
    """

    id: str
    true: str
    predicted: str
    images: int
    count: int
    share: float
    mistakes: tuple[Mistake, ...]


def anchor(true: int, predicted: int, prefix: str = "") -> str:
    """The id of the group of a cell of the confusion matrix, by the indices of its classes."""
    return f"{prefix}mistakes-{true}-{predicted}"


def confusions(metrics: ClassificationMetrics, mistakes: Sequence[Mistake], prefix: str = "") -> tuple[Confusion, ...]:
    """Every pair of classes that was confused, the most frequent first; equals in the matrix's order."""
    grouped: dict[tuple[str, str], list[Mistake]] = {}
    for mistake in mistakes:
        grouped.setdefault((mistake.true, mistake.predicted), []).append(mistake)
    return tuple(sorted(_groups(metrics, grouped, prefix), key=lambda group: -group.count))


def _groups(
    metrics: ClassificationMetrics, grouped: dict[tuple[str, str], list[Mistake]], prefix: str
) -> Iterator[Confusion]:
    places = {name: place for place, name in enumerate(metrics.class_names)}
    for true, predicted in sorted(grouped, key=lambda pair: (places[pair[0]], places[pair[1]])):
        of_pair = grouped[true, predicted]
        row, column = places[true], places[predicted]
        images, count = metrics.per_class[row].support, len(of_pair)
        yield Confusion(anchor(row, column, prefix), true, predicted, images, count, count / images, tuple(of_pair))


def worst_first(metrics: ClassificationMetrics) -> list[ClassFigures]:
    """The classes with the lowest F1 first; those without images last."""
    return sorted(metrics.per_class, key=lambda each: (each.f1 is None, each.f1 or 0.0, each.recall or 0.0))
