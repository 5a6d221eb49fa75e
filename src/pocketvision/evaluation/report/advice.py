"""What next: what the figures of a run suggest to do, the most useful first."""

from collections.abc import Iterator

from pocketvision.evaluation.report.record import RunRecord
from pocketvision.tasks.reporting.formats import percent
from pocketvision.tasks.reporting.parts import SUSPECTS, TRAINING, Advice

WEAK_LEARNING = 0.9
"""Below this accuracy on its own training images a network has not learned enough."""
OVERFITTED = 0.1
"""So much more accuracy on training than on validation images: it learned them by heart."""


def what_next(record: RunRecord) -> tuple[Advice, ...]:
    """Advice for `record`, of its tasks and of the training."""
    parts = [report.advice(subject, record) for subject, report in record.parts]
    found = [*_suspects(record), *(item for part in parts for item in part), *_training(record)]
    if record.recipe is not None and all(each.selection for each in record.evaluations):
        found.append(Advice("test", link="split" if record.classes else None))
    return tuple(sorted(found, key=lambda item: item.rank))


def _suspects(record: RunRecord) -> Iterator[Advice]:
    suspects = record.audit.suspects if record.audit is not None else None
    if suspects is not None and suspects.count:
        yield Advice("suspects", {"count": f"{suspects.count:,}"}, "suspects", SUSPECTS)


def _training(record: RunRecord) -> Iterator[Advice]:
    """The options of a further training that may help where there are mistakes."""
    if record.recipe is None or not any(each.mistakes for each in record.main.tasks.values()):
        return
    if (epochs := _cut_short(record)) is not None:
        yield Advice("epochs", epochs, "learning", TRAINING)
    elif record.chosen is not None and record.watched.watched:
        unfreeze, stages = record.recipe.get("phases.2.unfreeze"), record.stages
        gap = record.chosen.train_accuracy - record.chosen.val_accuracy
        train = percent(record.chosen.train_accuracy)
        if gap >= OVERFITTED:
            values = {"train": train, "val": percent(record.chosen.val_accuracy)}
            yield Advice("overfitted", values, "learning", TRAINING)
        elif record.chosen.train_accuracy < WEAK_LEARNING and isinstance(unfreeze, int) and unfreeze < (stages or 0):
            more = min(unfreeze + 2, stages or 0)
            values = {"accuracy": train, "stages": str(unfreeze), "more": str(more)}
            yield Advice("unfreeze", values, "learning", TRAINING)


def _cut_short(record: RunRecord) -> dict[str, str] | None:
    """The values for the advice to train longer, when the last epoch allowed was the best."""
    last = record.history[-1] if record.history else None
    if last is None or record.chosen is None or record.recipe is None:
        return None
    option = f"phases.{last.stage}.epochs"
    allowed = record.recipe.get(option)
    if (record.chosen.stage, record.chosen.epoch) != (last.stage, last.epoch) or last.epoch != allowed:
        return None
    return {"option": option, "epochs": str(last.epoch), "more": str(2 * last.epoch + 2)}
