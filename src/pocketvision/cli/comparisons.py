"""How a smaller or translated model compares with the one it was made from, in words."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pocketvision.printable import counted

if TYPE_CHECKING:
    from pocketvision.statistics import Headline
    from pocketvision.tasks.measuring import Comparison


def format_drop(found: "Comparison") -> str:
    """The drop with its paired interval; empty without truth."""
    interval = found.drop_interval
    if found.drop is None or interval is None:
        return ""
    return f"{found.drop:.2f} points (95 %: {interval.low:.2f} to {interval.high:.2f})"


def format_headline(headline: "Headline | None") -> str:
    """A task's own figure in percent; empty where it is not known."""
    return "" if headline is None else f"{headline.value:.2%}"


def headline_column(found: "Iterable[Comparison]") -> str:
    """What a column of them is called."""
    names = dict.fromkeys(each.headline.name for each in found if each.headline is not None)
    names = {name.capitalize() if name.islower() else name: None for name in names}  # mAP stays mAP
    return " / ".join(names) or "Accuracy"


def format_figure(found: "Comparison", name: str, form: str) -> str:
    """One of a comparison's further figures; empty where its task has none of this name."""
    value = found.figures().get(name)
    return "" if value is None else format(value, form)


def too_few_images(found: "Comparison", points: float) -> str:
    """The note when the measured drop is allowed and its interval is not."""
    images = counted(found.images, "image")
    name = "accuracy" if found.headline is None else found.headline.name
    return f"Too few images to be sure: with {images} the {name} may have dropped by more than {points:g} points."
