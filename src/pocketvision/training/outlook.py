"""When to go on: what a phase has reached, and what the next one costs and adds, judged by a tenth of it."""

import math
from collections.abc import Sequence

from pocketvision.printable import counted
from pocketvision.progress import EpochRecord
from pocketvision.training.best_epoch import best_of

JUDGED_SHARE = 0.1


def outlook(before: Sequence[EpochRecord], phase: Sequence[EpochRecord], epochs: int) -> str | None:
    """A sentence or two at the end of the epoch that completes a tenth of a phase of `epochs` epochs; else None.

    before: the epochs of the phases before it, in their order; without any there is nothing to compare. phase: its own so far.
    The rest is taken to go on at this pace. It goes faster once all views are cached.
    """
    done = len(phase)
    if not before or not phase or done != math.ceil(JUDGED_SHARE * epochs) or done >= epochs:
        return None
    best = best_of(before)
    seconds, rest = sum(record.seconds for record in phase), epochs - done
    return (
        f"Phase {best.stage} reached {_said(best)} in {_time(sum(record.seconds for record in before))}. Phase {phase[-1].stage} "
        f"after {counted(done, 'epoch')} of {epochs}, {_time(seconds)}: {_said(phase[-1])}. The rest takes about "
        f"{_time(seconds / done * rest)} more; Ctrl-C ends it now and keeps the best so far."
    )


def _said(record: EpochRecord) -> str:
    if record.tasks:
        return ", ".join(f"{name} {value:.3f}" for name, value in record.validated.items())
    return f"{record.val_accuracy:.1%} of the validation images (loss {record.val_loss:.3f})"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
