"""Over- and underfitting: the shipped model on pictures it learned from and on others, by the task's own figure."""

from collections.abc import Mapping, Sequence
from typing import Any

from pocketvision.diagnosis.finding import Finding
from pocketvision.statistics import Headline
from pocketvision.tasks.catalog import task_named
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.measuring import MeasureOptions, Metrics

GAP, LOW = 0.05, 0.7
"""A difference of the figure that is worth a look, where the intervals lie apart; and a figure on training pictures below which
not even those were learned."""

Records = Mapping[str, Sequence[Any]]
"""By task."""


def measured(tasks: Mapping[str, TaskManifest], records: Records) -> dict[str, Metrics]:
    """The figures of each task that has records."""
    found = {}
    for name, task in tasks.items():
        own = [each for each in records.get(name, ()) if each is not None]
        if own:
            found[name] = task_named(task.kind).measuring().measure(own, task, MeasureOptions())
    return found


def gap(task: str, training: Metrics, other: Metrics) -> Finding:
    """other: of the validation pictures."""
    about, learned, held = f"over- and underfitting of {task}", training.headline, other.headline
    better = learned.value - held.value
    figures = {"training": learned.value, "validation": held.value, "gap": better}
    text = (
        f"{learned.name} is {learned.text} on {training.images} pictures it learned from and {held.text} on "
        f"{other.images} validation pictures"
    )
    if better > GAP and not _overlap(learned, held):
        step = (
            "More pictures help most (see the learning curve); else stronger augmentation (--preset), fewer stages that learn "
            "(phases.2.unfreeze) or a smaller network."
        )
        return Finding(about, "problem", f"{text}: it overfits.", step, figures)
    if learned.value < LOW:
        step = "Let it learn more: more epochs, one more stage (phases.2.unfreeze), a larger network or input (models recommend)."
        return Finding(about, "look", f"{text}: it has not learned even the training pictures.", step, figures)
    if better > GAP:
        text += ", but the intervals overlap: too few pictures to call it overfitting"
    return Finding(about, "fine", f"{text}.", figures=figures)


def _overlap(first: Headline, second: Headline) -> bool:
    one, other = first.interval, second.interval
    return one is not None and other is not None and one.low <= other.high and other.low <= one.high
