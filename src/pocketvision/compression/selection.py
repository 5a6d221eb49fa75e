"""Which of the 8-bit candidates is taken, and why: accurate enough first, then what every installation runs, then speed."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from pocketvision.compression.candidate import Candidate
from pocketvision.tasks.measuring import Comparison

LEAST_GAIN = 0.2
"""By which share of the time a file that needs an extra has to be faster than ONNX Runtime's, which every installation has."""


@dataclass(frozen=True)
class Selection:
    """The candidate that is taken; `reason` says why in a sentence."""

    candidate: Candidate
    reason: str


def good_enough(found: Comparison, max_drop: float) -> bool:
    """Whether the search may stop at this: the drop is surely within what is allowed, or nothing was lost, or with so few images
    no candidate could be surely within, and this one is as measured."""
    if found.is_sure(max_drop):
        return True
    return found.within(max_drop) and (found.within(0) or not found.can_be_sure(max_drop))


def select(timed: Sequence[Candidate], max_drop: float, *, untried: int = 0) -> Selection:
    """The best of the candidates (one or more, all within the drop and timed). untried: how many were left out.

    Those that are surely within the drop come first. Of them the fastest is taken; but one that needs an extra only where it
    takes at least LEAST_GAIN less time than ONNX Runtime's fastest, and no longer in either measure. One image alone
    counts as much as batches.
    """
    sure = [each for each in timed if each.comparison.is_sure(max_drop)]
    pool = sure or list(timed)
    fastest = min(pool, key=relative_time)
    portable = min((each for each in pool if each.settings.is_portable), key=relative_time, default=None)
    within = f"{'surely' if sure else 'as measured'} within {max_drop:g} points"
    if portable is None:
        return Selection(fastest, f"the fastest of {len(pool)} {within}")
    gain = 1 - relative_time(fastest) / relative_time(portable)
    if fastest is not portable and gain >= LEAST_GAIN and not _is_slower_in_one(fastest, portable):
        return Selection(
            fastest, f"{within}, and {gain:.0%} less time than ONNX Runtime's fastest ({portable.settings.title})"
        )
    if untried:
        return Selection(
            portable, f"the first that is {within}; {untried} more were not tried (--method all tries every one)"
        )
    reason = f"the fastest of {sum(each.settings.is_portable for each in pool)} in ONNX Runtime that are {within}"
    if fastest is not portable:
        slower = _is_slower_in_one(fastest, portable)
        why = "but is slower at one of single images and batches" if slower else f"and below {LEAST_GAIN:.0%}"
        reason += (
            f"; {fastest.settings.title} takes {gain:.0%} less time, {why}: what every installation runs is preferred "
            "(--method openvino takes it)"
        )
    return Selection(portable, reason)


def _is_slower_in_one(candidate: Candidate, other: Candidate) -> bool:
    """Whether it takes longer for an image alone, or for one in batches."""
    assert candidate.latency is not None and other.latency is not None, "only what was timed can be selected"
    one, two = candidate.latency, other.latency
    return one.latency_ms > two.latency_ms or one.images_per_second < two.images_per_second


def relative_time(candidate: Candidate) -> float:
    """The geometric mean of an image's milliseconds alone and in batches."""
    assert candidate.latency is not None, "only what was timed can be selected"
    return sqrt(candidate.latency.latency_ms * 1e3 / candidate.latency.images_per_second)
