"""Class names: their spelling, their order and what happens to an unknown one."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from pocketvision.data.natural_order import natural_sorted
from pocketvision.errors import UsageError, unknown_name
from pocketvision.printable import quoted

_JOINTS = re.compile(r"(?<=[^\W_])[\s_-]+(?=[^\W_])")


def spelled(name: str) -> str:
    """`name` without surrounding blanks, in Unicode's composed form (NFC).

    macOS hands out decomposed folder names: without this, a Hangul or accented class of a training set made there would
    be unknown in a test set made elsewhere.
    """
    name = name.strip()
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def similar_names(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Names that a person would take for one: those that differ in capitals, blanks, `_`, `-` or Unicode form alone."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(_skeleton(name), []).append(name)
    return [tuple(members) for members in alike.values() if len(members) > 1]


def _skeleton(name: str) -> str:
    text = "".join(letter for letter in unicodedata.normalize("NFKC", name) if unicodedata.category(letter) != "Cf")
    # Between letters and digits alone: +1 and -1 are two names.
    return _JOINTS.sub(" ", text.casefold().strip(" _"))


def ordered_class_names(found: Iterable[str], labels: Sequence[str] | None, where: str) -> tuple[str, ...]:
    """The classes in index order: `labels` if given, else the names `found` in natural order.

    Raises UsageError when `labels` is empty or repeats a name, or when `found` holds a name that `labels` lacks;
    `where` says in which data it was found.
    """
    names = {spelled(name) for name in found}
    if labels is None:
        return tuple(natural_sorted(names))
    expected = tuple(spelled(name) for name in labels)
    if not expected:
        raise UsageError("The list of labels is empty; give every class name once, in index order.")
    repeated = sorted(name for name, count in Counter(expected).items() if count > 1)
    if repeated:
        raise UsageError(f"The list of labels holds {', '.join(map(quoted, repeated[:4]))} more than once.")
    unknown = natural_sorted(names.difference(expected))
    if unknown:
        others = f" (and {len(unknown) - 1} more unknown)" if len(unknown) > 1 else ""
        raise UsageError(f"{where}: {unknown_name('class', unknown[0], expected)}{others}")
    return expected
