"""What next: what the figures of a run suggest to do, the most useful first."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pocketvision.evaluation.report.confusions import Confusion, worst_first
from pocketvision.evaluation.report.formats import percent
from pocketvision.evaluation.report.record import ClassCounts, RunRecord

SURE = 0.95
"""A wrong answer of at least this probability is as often a wrong label as a wrong model."""
SMALL = 0.5
"""A class with less than this share of the largest class's images is small."""
WEAK_LEARNING = 0.9
"""Below this accuracy on its own training images a network has not learned enough."""
OVERFITTED = 0.1
"""So much more accuracy on training than on validation images: it learned them by heart."""


@dataclass(frozen=True)
class Advice:
    """key: of the text "next.<key>", with `values` filled in. link: an anchor of the page to look at, if there is one."""

    key: str
    values: Mapping[str, str] = field(default_factory=dict)
    link: str | None = None


def what_next(record: RunRecord, confused: tuple[Confusion, ...]) -> tuple[Advice, ...]:
    """Advice for `record`, whose main evaluation has these confusions, the most frequent first."""
    advice = [*_suspects(record, confused), *_weakest(record, confused), *_option(record, confused)]
    if confused:
        first = confused[0]
        advice.append(Advice("pictures", {"true": first.true, "predicted": first.predicted}, first.id))
    if record.recipe is not None and all(each.selection for each in record.evaluations):
        advice.append(Advice("test", link="split" if record.classes else None))
    return tuple(advice)


def _suspects(record: RunRecord, confused: tuple[Confusion, ...]) -> Iterator[Advice]:
    suspects = record.audit.suspects if record.audit is not None else None
    if suspects is not None and suspects.count:
        yield Advice("suspects", {"count": f"{suspects.count:,}"}, "suspects")
    sure = [mistake for mistake in record.main.mistakes if mistake.probability >= SURE]
    if sure:
        groups = [group for group in confused if sure[0] in group.mistakes]
        yield Advice("sure", {"count": f"{len(sure):,}", "share": percent(SURE)}, groups[0].id)


def _weakest(record: RunRecord, confused: tuple[Confusion, ...]) -> Iterator[Advice]:
    if not confused:
        low = record.main.metrics.intervals["accuracy"]
        values = {"images": f"{record.main.metrics.images:,}", "share": percent(None if low is None else 1 - low.low)}
        yield Advice("flawless", values)
        return
    weakest = worst_first(record.main.metrics)[0]
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
        )
        return
    taken = next(group for group in confused if group.predicted == weakest.name)
    yield Advice("overcalled", {"name": weakest.name, "other": taken.true, "count": f"{taken.count:,}"}, taken.id)


def _option(record: RunRecord, confused: tuple[Confusion, ...]) -> Iterator[Advice]:
    """The options of a further training that may help."""
    if record.recipe is None or not confused:
        return
    weakest = worst_first(record.main.metrics)[0].name
    if (counts := _small_class(record, weakest)) is not None:
        largest = max(counts, key=lambda each: each.train)
        own = next(each for each in counts if each.name == weakest)
        values = {"name": weakest, "images": f"{own.train:,}", "largest": largest.name, "most": f"{largest.train:,}"}
        yield Advice("balance", {**values, "to": f"{largest.train}"}, "split")
    if (epochs := _cut_short(record)) is not None:
        yield Advice("epochs", epochs, "learning")
    elif record.chosen is not None:
        unfreeze, stages = record.recipe.get("unfreeze"), record.stages
        gap = record.chosen.train_accuracy - record.chosen.val_accuracy
        accuracy = percent(record.chosen.train_accuracy)
        if gap >= OVERFITTED:
            yield Advice("overfitted", {"train": accuracy, "val": percent(record.chosen.val_accuracy)}, "learning")
        elif record.chosen.train_accuracy < WEAK_LEARNING and isinstance(unfreeze, int) and unfreeze < (stages or 0):
            more = min(unfreeze + 2, stages or 0)
            yield Advice("unfreeze", {"accuracy": accuracy, "stages": str(unfreeze), "more": str(more)}, "learning")


def _small_class(record: RunRecord, name: str) -> tuple[ClassCounts, ...] | None:
    """The classes' counts, when `name` is a small one and nothing makes up for that yet."""
    recipe = record.recipe or {}
    if recipe.get("class_weights") not in (None, "none") or recipe.get("balance_to") is not None:
        return None
    own = next((each for each in record.classes if each.name == name), None)
    if own is None or own.train > SMALL * max(each.train for each in record.classes):
        return None
    return record.classes


def _cut_short(record: RunRecord) -> dict[str, str] | None:
    """The values for the advice to train longer, when the last epoch allowed was the best."""
    last = record.history[-1] if record.history else None
    if last is None or record.chosen is None or record.recipe is None:
        return None
    option = f"epochs{last.stage}"
    allowed = record.recipe.get(option)
    if (record.chosen.stage, record.chosen.epoch) != (last.stage, last.epoch) or last.epoch != allowed:
        return None
    return {"option": f"--{option}", "epochs": str(last.epoch), "more": str(2 * last.epoch + 2)}
