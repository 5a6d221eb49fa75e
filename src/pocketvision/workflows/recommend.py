"""models recommend: what to begin with, from what is wished, and from the data itself where there is some."""

from dataclasses import replace
from pathlib import Path

from pocketvision.data.at_a_glance import at_a_glance
from pocketvision.models.choosing import Choice, choose
from pocketvision.models.wishes import Wishes


def recommend(wishes: Wishes, *, data: str | Path | None = None, most: int = 3) -> tuple[Choice, ...]:
    """The networks to begin with, the best first. data: a folder or table as `train` takes it; its pictures, classes and their
    size are counted where the wishes leave them out. Raises UsageError for data that can not be read, and budgets that leave
    none."""
    if data is not None:
        seen = at_a_glance(Path(data))
        pictures, classes = wishes.pictures or seen.pictures, wishes.classes or seen.classes
        side = wishes.picture_size or seen.longer_side
        wishes = replace(wishes, pictures=pictures, classes=classes, picture_size=side)
    return choose(wishes, most=most)
