"""Cells that hold several labels: distinguished from names with blanks and signs by the labels of the other rows."""

import ast
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pocketvision.errors import UsageError
from pocketvision.printable import counted, quoted

# Signs that stand between labels and seldom in a name; then those that names hold as well.
_PLAIN = ("|", ";")
_SHARED = (",", "/", "+", "&", " and ", None)  # None is any run of blanks

SIGNS = (";", "|", ",")
"""What may stand between tags, the first that is found in a column."""


class LabelUse(NamedTuple):
    """How many rows hold a label, and where the first of them is."""

    rows: int
    where: str


_ONE_CLASS = (
    "A classifier learns one class an image. To learn all labels of an image, say --task tags; else leave these rows out, "
    "or keep one label of each."
)


def refuse_several_labels(
    table: Path, uses: Mapping[str, LabelUse], known: Collection[str], way_out: str = _ONE_CLASS
) -> None:
    """Raise UsageError when cells hold several labels: how many rows, and an example.

    uses: every text of the label column. known: names that are one class for certain, whatever they hold (--labels).
    A list such as ['a', 'b'] is always several. `a|b` and `a;b` are when one of the parts is the label of other rows, or
    stands at another place of other such cells (`a|b`, `b|c`; not `plant|leaf`, `plant|root`); with a comma, a slash, a plus or
    blanks between them, when all are: a name such as "sea lion" stays one.
    """
    names = {text.strip() for text in uses}
    between = [sign for sign in _PLAIN if _changes_places(sign, names - set(known))]
    found = {
        text: parts
        for text in uses
        if text.strip() not in known and (parts := _parts(text.strip(), names, between)) and len(parts) != 1
    }
    if not found:
        return
    rows = sum(uses[text].rows for text in found)
    example, parts = next(iter(found.items()))
    total = sum(use.rows for use in uses.values())
    raise UsageError(
        f"{table}: several labels in one cell in {rows:,} of {counted(total, 'row')}, such as {uses[example].where}: "
        f"{quoted(example)} ({', '.join(map(quoted, parts[:4]))}). {way_out} If such a text is a class of its "
        "own, list all classes with --labels."
    )


def _changes_places(sign: str, texts: Collection[str]) -> bool:
    """Whether a part between such signs is the first in one text and a later one in another, as of a set of labels."""
    place_of: dict[str, int] = {}
    parts = (each for text in texts if sign in text for each in enumerate(text.split(sign)))
    return any(place_of.setdefault(part.strip(), place) != place for place, part in parts if part.strip())


def _parts(text: str, names: Collection[str], between: Collection[str | None]) -> Sequence[str]:
    """The labels in a cell; none when it is one name. between: signs that stand between labels for certain."""
    if (members := listed(text)) is not None:
        return members if len(members) > 1 else ()
    for sign in (*_PLAIN, *_SHARED):
        parts = [part.strip() for part in (text.split(sign) if sign is not None else text.split())]
        if len(parts) < 2 or not all(parts):
            continue
        seen = [part in names and part != text for part in parts]
        if all(seen) or sign in between or (sign in _PLAIN and any(seen)):
            return parts
    return ()


def unusual_sign(tags: Collection[str]) -> tuple[str, str] | None:
    """A sign that seems to stand between tags although it is none of SIGNS, in words, and a text that holds it; None where
    there is none. tags: all of a column, split already. It seems so where all parts of a text are tags of their own."""
    known = set(tags)
    for sign in _SHARED:
        for text in known if sign not in SIGNS else ():
            parts = [part.strip() for part in (text.split(sign) if sign is not None else text.split())]
            if len(parts) > 1 and all(part in known for part in parts):
                return ("a blank" if sign is None else quoted(sign.strip())), text
    return None


def listed(text: str) -> list[str] | None:
    """The members of a list that is written out as Python, JSON or numpy write it; None for other text."""
    text = text.strip()
    if not re.fullmatch(r"[\[({].*[\])}]", text, re.DOTALL):
        return None
    # numpy has no commas, ['scab' 'rust'], and Python would join such texts to one.
    members = [one or other for one, other in re.findall(r"'([^']*)'|\"([^\"]*)\"", text)]
    if members:
        return members
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return [str(each) for each in value] if isinstance(value, list | tuple | set) else None
