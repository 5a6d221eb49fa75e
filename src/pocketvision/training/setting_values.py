"""Values of settings by path: read from text and from files, checked, and put into nested dataclasses.

A path names one setting: `data.val_share`, `phases.2.lr` (numbered from 1; the number after the last adds one), or with
`phases.*.lr` that of all.
"""

import dataclasses
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from numbers import Integral, Real
from typing import Any, TypeVar, get_type_hints

from pocketvision.errors import UsageError, unknown_name
from pocketvision.printable import quoted
from pocketvision.training.setting import EACH, Setting, row_kind, said, settings_of

Settings = TypeVar("Settings")

_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_EXPECTED = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


@dataclass(frozen=True)
class Given:
    """A value that somebody gave for a path. spelt: how, for messages: `--lr1`, `mine.toml, line 7: phases.1.lr`. is_text: the
    value stands as it was typed."""

    path: str
    value: Any
    spelt: str
    is_text: bool = False


def given_settings(settings: Mapping[str, Any] | Iterable[str]) -> list[Given]:
    """What `--set` was given: `PATH=VALUE` each, or in Python values by path; a text stands as it was typed."""
    pairs = list(settings.items()) if isinstance(settings, Mapping) else [_pair(text) for text in settings]
    return [Given(path, value, f"--set {path}", is_text=isinstance(value, str)) for path, value in pairs]


def _pair(text: str) -> tuple[str, str]:
    path, sign, value = text.partition("=")
    if not sign or not path.strip():
        raise UsageError(f"--set {quoted(text)}: expected PATH=VALUE, such as optimizer.lr=3e-4.")
    return path.strip(), value


def values_of(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Every value of nested settings by path, in their order."""
    found: dict[str, Any] = {}
    types = get_type_hints(type(settings))
    for each in dataclasses.fields(settings):
        path, value = f"{prefix}{each.name}", getattr(settings, each.name)
        if dataclasses.is_dataclass(value):
            found |= values_of(value, f"{path}.")
        elif row_kind(types[each.name]):
            for number, row in enumerate(value, start=1):
                found |= values_of(row, f"{path}.{number}.")
        else:
            found[path] = value
    return found


def setting_at(kind: Any, path: str, spelt: str) -> Setting:
    """The setting of a path. UsageError with near matches when there is none."""
    known = _by_path(kind)
    general = ".".join(EACH if part.isdecimal() else part for part in path.split("."))
    if general not in known:
        flat = {name: each.path for each in known.values() for name in names_of(each)}
        if path in flat:
            raise UsageError(f"{spelt}: {quoted(path)} is an option of its own; its setting is {flat[path]}.")
        raise UsageError(f"{spelt}: {unknown_name('setting', path, [each.replace(EACH, '1') for each in known])}")
    return known[general]


@cache
def _by_path(kind: Any) -> dict[str, Setting]:
    return {each.path: each for each in settings_of(kind)}


def names_of(setting: Setting) -> tuple[str, ...]:
    """The flat names of a setting; "" in the place of one that a row of a list lacks."""
    return (setting.alias,) if isinstance(setting.alias, str) else setting.alias


def require_allowed(settings: Any) -> None:
    """Raise UsageError, naming the path, for a value of another type or out of its range."""
    for path, value in values_of(settings).items():
        _allowed(setting_at(type(settings), path, path), value, path)


def applied(settings: Settings, given: Iterable[Given]) -> Settings:
    """The settings with what was given in their place. UsageError for an unknown path, for a value that is not allowed, and for
    two of one path that differ."""
    taken: dict[str, Given] = {}
    kind = type(settings)
    for each in given:
        setting = setting_at(kind, each.path, each.spelt)
        value = _from_text(setting, each.value, each.spelt) if each.is_text else each.value
        typed = replace(each, value=_allowed(setting, value, each.spelt))
        for path in _numbered(settings, each.path):
            before = taken.setdefault(path, typed)
            if before.value != typed.value:
                raise UsageError(
                    f"{before.spelt} {said(before.value)} and {each.spelt} {said(typed.value)} contradict each other: both are "
                    f"{path}. Give one of them."
                )
    fields = {name: getattr(settings, name) for name in get_type_hints(kind)}
    for path in sorted(taken, key=lambda path: [int(part) if part.isdecimal() else 0 for part in path.split(".")]):
        first, *rest = path.split(".")
        fields[first] = _put(fields[first], rest, taken[path], row_kind(get_type_hints(kind)[first]))
    return replace(settings, **fields)  # type: ignore[type-var]


def changed(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """The settings with other values, by path."""
    return applied(settings, [Given(path, value, path) for path, value in values.items()])


def _numbered(settings: Any, path: str) -> list[str]:
    """The paths that one stands for: with `*` those of all rows of the list."""
    first, _, rest = path.partition(f".{EACH}.")
    return [f"{first}.{number}.{rest}" for number in range(1, len(getattr(settings, first)) + 1)] if rest else [path]


def _put(holder: Any, rest: list[str], given: Given, rows: type | None) -> Any:
    if not rest:
        return given.value
    name, *further = rest
    if rows is None:
        return replace(holder, **{name: _put(getattr(holder, name), further, given, None)})
    number = int(name)
    if not 1 <= number <= len(holder) + 1:
        last = len(holder)
        raise UsageError(
            f"{given.spelt}: there are {last} so far; expected a number from 1 to {last + 1}, which adds one."
        )
    row = holder[number - 1] if number <= len(holder) else rows()
    return (*holder[: number - 1], _put(row, further, given, None), *holder[number:])


def _allowed(setting: Setting, value: Any, spelt: str) -> Any:
    """The value in the setting's type. UsageError when it has another, or is out of range."""
    try:
        found = _typed(setting, value)
    except (TypeError, ValueError):
        raise _wrong(setting, value, spelt) from None
    if setting.choices and isinstance(found, str) and found not in setting.choices and Mapping not in setting.kinds:
        section, _, name = setting.path.rpartition(".")
        raise UsageError(f"{spelt}: {unknown_name(section if name == 'name' else name, found, setting.choices)}")
    low = -math.inf if setting.low is None else setting.low
    high = math.inf if setting.high is None else setting.high
    numbers = found if isinstance(found, tuple) else [found] if isinstance(found, int | float) else []
    in_choices = found is None or isinstance(found, Mapping) or not setting.choices or found in setting.choices
    if not in_choices or not all(low <= number <= high for number in numbers):
        raise _wrong(setting, value, spelt)
    return found


def _typed(setting: Setting, value: Any) -> Any:
    """TypeError or ValueError for a value of another type, or for a number that is not finite."""
    if value is None and setting.optional:
        return None
    if Mapping in setting.kinds and isinstance(value, Mapping):
        return {str(name): float(number) for name, number in value.items()}
    if tuple in setting.kinds:
        return tuple(_number(float, each) for each in value)
    if setting.plain is bool:
        if isinstance(value, bool):
            return value
    elif setting.plain is not str:
        return _number(setting.plain, value)
    elif isinstance(value, str | os.PathLike):
        return os.fspath(value)
    raise TypeError


def _number(kind: type, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise TypeError
    if kind is int and not isinstance(value, Integral) and not float(value).is_integer():
        raise TypeError
    return kind(value)


def _from_text(setting: Setting, text: str, spelt: str) -> Any:
    """What a person typed. UsageError that says what was expected."""
    word = text.strip()
    if setting.optional and word.lower() == "none":
        return None
    if Mapping in setting.kinds and word not in setting.choices:
        from pocketvision.data.class_lists import parse_class_weights

        return parse_class_weights(text)
    try:
        if tuple in setting.kinds:
            return tuple(float(part) for part in word.split(","))
        if setting.plain is bool:
            return _WORDS[word.lower()]
        return text if setting.plain is str else setting.plain(word)
    except (ValueError, KeyError):
        raise _wrong(setting, text, spelt) from None


def _wrong(setting: Setting, value: Any, spelt: str) -> UsageError:
    expected = "numbers with commas between them" if tuple in setting.kinds else _EXPECTED[setting.plain]
    if Mapping in setting.kinds:
        expected = f"{', '.join(setting.choices)}, or weights by name such as cat=2,dog=1"
    elif setting.choices:
        expected = setting.allowed
    elif setting.allowed:
        expected = f"{expected} {setting.allowed}"
    shown = quoted(value) if isinstance(value, str) else said(value)
    return UsageError(f"{spelt} is {shown}; expected {expected}.")
