"""Which epoch is the best: of the lowest validation loss, or, of several tasks, of the best mean rank of their figures.

Losses of several tasks have no common unit. So each task ranks the epochs by its own headline, and the ranks are averaged.
"""

from collections.abc import Sequence

from pocketvision.progress import EpochRecord


def is_better(record: EpochRecord, best: EpochRecord, among: Sequence[EpochRecord]) -> bool:
    """Whether `record` takes the place of the best so far. among: all epochs until now, these two included, which tasks rank."""
    if len(record.figures) < 2:
        return record.val_loss < best.val_loss
    new, old = mean_rank(record, among), mean_rank(best, among)
    return new < old or (new == old and record.val_loss < best.val_loss)


def is_finished(history: Sequence[EpochRecord], epochs: int, patience: int, least: float = 0.0) -> bool:
    """Whether a phase ends after the epochs of its history: it has had all of them, or `patience` without a gain.

    least: how much lower a validation loss must be to count as a gain, as a share of the lowest that counted; of several tasks
    that of one of them, besides a better rank.
    """
    done, gained = len(history), 0
    for place in range(1, done + 1):
        own = history[:place]
        if not gained or _gains(own[-1], history[gained - 1], own, least):
            gained = place
    return done >= epochs or done - gained >= patience


def _gains(record: EpochRecord, best: EpochRecord, among: Sequence[EpochRecord], least: float) -> bool:
    if not is_better(record, best, among):
        return False
    new, old = ({"": each.val_loss} if len(each.figures) < 2 else each.losses for each in (record, best))
    return not least or any(new[task] < old[task] - least * abs(old[task]) for task in new.keys() & old.keys())


def kept_epochs(history: Sequence[EpochRecord], count: int) -> list[int]:
    """The numbers of the `count` best epochs of a phase, the best first."""
    several = len(history) > 0 and len(history[0].figures) > 1
    ranked = sorted(history, key=lambda each: (mean_rank(each, history) if several else 0.0, each.val_loss))
    return [each.epoch for each in ranked[:count]]


def best_of(history: Sequence[EpochRecord]) -> EpochRecord:
    """Of at least one epoch: the best of each phase, and of those the best, in the order in which they were trained."""
    best: EpochRecord | None = None
    for stage in dict.fromkeys(record.stage for record in history):
        own = [record for record in history if record.stage == stage]
        before = [record for record in history if record.stage < stage]
        found = own[0]
        for place, record in enumerate(own[1:], start=2):
            if is_better(record, found, own[:place]):
                found = record
        if best is None or is_better(found, best, [*before, *own]):
            best = found
    assert best is not None, "at least one epoch"
    return best


def mean_rank(record: EpochRecord, among: Sequence[EpochRecord]) -> float:
    """The mean over the tasks of how many of `among` are better than `record`, equal ones as half, from 0: by the task's figure,
    and where that is equal by its loss."""
    ranks = []
    for task in record.figures:
        own = _judged(record, task)
        others = [_judged(each, task) for each in among if each is not record]
        ranks.append(sum(other > own for other in others) + 0.5 * sum(other == own for other in others))
    return sum(ranks) / len(ranks)


def _judged(record: EpochRecord, task: str) -> tuple[float, float]:
    """To compare by, the greater the better."""
    return record.figures.get(task, float("-inf")), -record.tasks.get(f"{task}.loss", float("inf"))
