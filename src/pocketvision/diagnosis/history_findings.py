"""What the epochs of a run tell: whether it ended too early or diverged, and how long it waited for data."""

import math
from collections.abc import Sequence

from pocketvision.diagnosis.finding import Finding
from pocketvision.printable import counted
from pocketvision.progress import EpochRecord

WAITING = 0.2
"""The share of a training pass spent waiting for batches from which it is worth a look."""

RUN_AWAY, STILL_FALLING = 3.0, 0.02
"""A training loss so many times its lowest before; and a validation loss that fell by that share over its last three epochs."""


def too_short(history: Sequence[EpochRecord]) -> Finding:
    """Underfitting by too few epochs: the validation loss was still falling when the training ended."""
    about = "too few epochs"
    last = history[-1].stage
    own = [each for each in history if each.stage == last]
    losses = [each.val_loss for each in own]
    if len(own) < 3:
        return Finding(
            about,
            "unknown",
            f"Phase {last} had {counted(len(own), 'epoch')}; at least three are needed to see a trend.",
        )
    fell = 1 - losses[-1] / losses[-3] if losses[-3] > 0 else 0.0
    figures = {"fell": fell, "epochs": len(own)}
    text = f"The validation loss fell by {fell:.1%} over the last three of {len(own)} epochs of phase {last}"
    if fell > STILL_FALLING and losses[-1] <= min(losses):
        step = f"Train longer: --set phases.{last}.epochs={2 * len(own)}, or --resume RUN with it."
        return Finding(about, "look", f"{text}, and the last one was the best.", step, figures)
    return Finding(about, "fine", f"{text}; more epochs would bring little.", figures=figures)


def ran_away(history: Sequence[EpochRecord]) -> Finding:
    """Exploding by the loss: an epoch whose training loss was far above the lowest before it."""
    about, worst, where = "loss running away", 1.0, history[0]
    for stage in dict.fromkeys(each.stage for each in history):
        lowest = math.inf
        for each in (one for one in history if one.stage == stage):
            if lowest > 0 and each.train_loss / lowest > worst and math.isfinite(lowest):
                worst, where = each.train_loss / lowest, each
            lowest = min(lowest, each.train_loss)
    figures = {"times": worst}
    if worst >= RUN_AWAY:
        text = (
            f"In phase {where.stage}, epoch {where.epoch}, the training loss was {worst:.1f} times its lowest before."
        )
        step = f"Lower the rate: --set phases.{where.stage}.lr={where.lr / 3:.2g} (pocketvision tune lr DATA looks for one)."
        return Finding(about, "problem", text, step, figures)
    return Finding(
        about, "fine", f"No epoch's training loss was above {worst:.2f} times its lowest before.", figures=figures
    )


def waits_for_data(history: Sequence[EpochRecord]) -> Finding:
    """How much of the training passes was spent waiting for batches."""
    about = "waiting for data"
    seconds = sum(each.seconds for each in history)
    if not any(each.waiting for each in history):
        return Finding(about, "fine", "No epoch waited for its batches, or the run was made before that was recorded.")
    share = sum(each.waiting * each.seconds for each in history) / max(seconds, 1e-9)
    text = f"{share:.0%} of {seconds:.0f} s of epochs were spent waiting for batches"
    if share > WAITING:
        step = "Let more threads read pictures (--workers), store smaller copies of large ones, and keep the cache on."
        return Finding(about, "look", f"{text}.", step, {"share": share})
    return Finding(about, "fine", f"{text}.", figures={"share": share})
