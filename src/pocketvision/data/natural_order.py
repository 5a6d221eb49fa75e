"""Natural order: names sorted as a person would, 1, 2, 10 and not 1, 10, 2."""

import re
from collections.abc import Iterable

_DIGITS = re.compile(r"(\d+)")

NaturalKey = tuple[tuple[str | tuple[int, str], ...], str]


def natural_key(text: str) -> NaturalKey:
    """The sort key of `text`: runs of digits by value, the rest without regard to case, ties by the text itself."""
    parts = _DIGITS.split(text.casefold())
    # Every odd part is a run of digits. By (length, digits) and not int(): Python refuses to parse very long runs.
    return tuple(_number(part) if place % 2 else part for place, part in enumerate(parts)), text


def natural_sorted(texts: Iterable[str]) -> list[str]:
    """`texts` in natural order."""
    return sorted(texts, key=natural_key)


def words_of(text: str) -> frozenset[str]:
    """The words of a text with blanks between them: a table of names that fits the screen."""
    return frozenset(text.split())


def _number(digits: str) -> tuple[int, str]:
    significant = digits.lstrip("0")
    return len(significant), significant
