"""Class names and their weights as a person writes them: in a line with quotes, as JSON, or in a file."""

import json
import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pocketvision.data.class_names import spelled
from pocketvision.data.delimited_text import is_utf8, not_utf8, split_cells, text_lines
from pocketvision.errors import UsageError
from pocketvision.printable import quoted

Entry = TypeVar("Entry")
_FILE_SUFFIXES = (".txt", ".json", ".csv")
# Parts of a line between commas; a comma in quotes parts nothing.
_PART = re.compile(r'(?:"(?:[^"]|"")*"|[^,"])+')


def parse_class_names(value: str, option: str = "--labels") -> list[str]:
    """Every class name in index order: names with commas between them (those that hold one in quotes), a JSON array, or a
    file with one name a line or with JSON (an array, or an object of numbers and names).

    Raises UsageError, naming `option`, for a file that is not there, broken quotes or JSON, and fewer than two different
    names.
    """
    names = _read(
        value, option, _one_name, lambda text: split_cells(text, ",", f"{option} {quoted(value)}"), _listed_names
    )
    names = [spelled(name) for name in names if spelled(name)]
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated or len(names) < 2:
        what = f"{quoted(repeated[0])} stands there more than once" if repeated else f"{len(names)} name found"
        hint = " In a file, names go one a line." if names and "," in names[0] and os.path.isfile(value) else ""  # noqa: PTH113
        raise UsageError(f"{option} {quoted(value)}: {what}; expected two or more different class names.{hint}")
    return names


def parse_class_weights(value: str, option: str = "--class-weights") -> dict[str, float]:
    """Weights by class name: NAME=NUMBER with commas between them (names that hold one in quotes), a JSON object, or a file
    with NAME=NUMBER a line or with JSON. Raises UsageError, naming `option`."""
    example = f"Example: {option} 'cat=2.0,\"Pepper, bell\"=1', or a file with such a pair a line."

    def pair(text: str, where: str) -> tuple[str, Any]:
        name, sign, number = text.rpartition("=")
        if not sign or not name.strip():
            raise UsageError(f"{where}: {quoted(text)} is neither none, balanced nor NAME=NUMBER. {example}")
        return _one_name(name.strip(), where), number

    pairs = _read(
        value,
        option,
        pair,
        lambda text: [pair(part, f"{option} {quoted(value)}") for part in _PART.findall(text)],
        _listed_pairs,
    )
    weights: dict[str, float] = {}
    for name, number in pairs:
        if spelled(name) in weights:
            raise UsageError(f"{option} {quoted(value)}: {quoted(name)} has more than one weight; expected one each.")
        try:
            weights[spelled(name)] = float(number)
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"{option} {quoted(value)}: the weight of {quoted(name)} is {quoted(number)}, which is no number. {example}"
            ) from error
    if not weights:
        raise UsageError(f"{option} {quoted(value)}: there is no weight. {example}")
    return weights


def _read(
    value: str,
    option: str,
    one: Callable[[str, str], Entry],
    inline: Callable[[str], list[Entry]],
    from_json: Callable[[Any], list[Entry]],
) -> list[Entry]:
    """The entries of an option's value, which is a file's name, JSON, or entries in a line."""
    if os.path.isfile(value):  # noqa: PTH113 (a long list is no name of a file, and Path would raise)
        lines = list(text_lines(Path(value)))
        if not all(is_utf8(line) for _, line in lines):
            raise not_utf8(Path(value))
        text = "\n".join(line for _, line in lines)
        if text.lstrip().startswith(("[", "{")) or value.lower().endswith(".json"):
            return from_json(_json(text, f"{option} {quoted(value)}"))
        return [one(line.strip(), f"{value}, line {number}") for number, line in lines]
    if value.lower().endswith(_FILE_SUFFIXES) and "," not in value:
        raise UsageError(f"{option} {quoted(value)}: there is no such file.")
    if re.match(r'\s*[\[{].*[\]}]\s*$|\s*[\[{]\s*"', value, re.DOTALL):
        return from_json(_json(value, f"{option} {quoted(value)}"))
    return inline(value)


def _one_name(text: str, where: str) -> str:
    """A name that may stand in quotes, with quotes in it doubled."""
    if not text.startswith('"'):
        return text
    cells = split_cells(text, "\x1f", where)  # a sign that stands in no name
    return cells[0] if cells else ""


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: not readable as JSON ({error}).") from error


def _listed_names(value: Any) -> list[str]:
    """Names of a JSON array, of {"0": name} or of {name: 0}."""
    if isinstance(value, dict):
        by_index = {str(key): each for key, each in value.items()}
        if sorted(by_index) != sorted(map(str, range(len(value)))):
            by_index = {str(each): key for key, each in value.items()}
        if sorted(by_index) != sorted(map(str, range(len(value)))):
            raise UsageError(
                f"Class names as a JSON object need the numbers 0 to {len(value) - 1}, each once: {quoted(value)}."
            )
        value = [by_index[str(index)] for index in range(len(value))]
    if not isinstance(value, list) or not all(isinstance(each, str | int | float) for each in value):
        raise UsageError(f"Class names as JSON are an array of texts, not {quoted(value)}.")
    return [str(each) for each in value]


def _listed_pairs(value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise UsageError(f'Class weights as JSON are an object such as {{"cat": 2.0}}, not {quoted(value)}.')
    return list(value.items())
