"""What export, prune, quantize and fit share: a variant of a bundle is judged by its answers, and its figures are kept when it
may not be shipped."""

import math
from typing import Any

from pocketvision.printable import counted
from pocketvision.tasks.classification.comparison import ClassComparison as Comparison


def json_safe(value: Any) -> Any:
    """The value for JSON, which has no infinity: what is not finite is put in words."""
    if isinstance(value, dict):
        return {name: json_safe(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def describe_drop(found: Comparison, points: float) -> str:
    """In words: by how much a candidate is above the limit."""
    if found.drop is None or found.drop_interval is None:
        return (
            f"{100 * (1 - found.top1_agreement):.2f} % of {counted(found.images, 'answer')} changed, and {points:g} are allowed "
            "(--max-accuracy-drop); with labelled images (--data) the accuracy itself could be judged."
        )
    return (
        f"the accuracy drops by {found.drop:.2f} points (95 %: {found.drop_interval.low:.2f} to "
        f"{found.drop_interval.high:.2f}) on {counted(found.images, 'image')}, and {points:g} are allowed (--max-accuracy-drop)."
    )
