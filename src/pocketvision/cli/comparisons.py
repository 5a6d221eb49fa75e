"""How a smaller or translated model compares with the one it was made from, in words."""

from typing import TYPE_CHECKING

from pocketvision.printable import counted

if TYPE_CHECKING:
    from pocketvision.tasks.classification.comparison import ClassComparison as Comparison


def format_drop(found: "Comparison") -> str:
    """The drop of accuracy with its paired interval; empty without labels."""
    interval = found.drop_interval
    if found.drop is None or interval is None:
        return ""
    return f"{found.drop:.2f} points (95 %: {interval.low:.2f} to {interval.high:.2f})"


def format_share(share: float | None) -> str:
    """An accuracy in percent; empty where it is not known."""
    return "" if share is None else f"{share:.2%}"


def too_few_images(found: "Comparison", points: float) -> str:
    """The note when the measured drop is allowed and its interval is not."""
    images = counted(found.images, "image")
    return f"Too few images to be sure: with {images} the accuracy may have dropped by more than {points:g} points."
