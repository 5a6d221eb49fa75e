"""A setting: one field of a frozen dataclass, with all that help, checks, files and tables need to know of it.

The dataclasses may be nested, and a tuple of them is a numbered list: `data.val_share`, `phases.2.lr`. Neither this file nor
those of the dataclasses load torch or numpy: the command line's help is made from them.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

EACH = "*"
"""In the place of a number: every one of a list."""


def setting(
    default: Any,
    help: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[Any, ...] = (),
    unset: str = "",
    alias: str | tuple[str, ...] = "",
) -> Any:
    """A field of a settings dataclass. Its type is bool, int, float, str, a tuple of floats, weights by name, or one of these or
    None.

    help: a sentence without its full stop. low, high: inclusive; of every number of a tuple. choices: the values that are
    allowed. unset: what None means. alias: the option's flat name; in a list, those of the first, second …, or one for all;
    elsewhere several are one option and what it was called before.
    """
    values = {"help": help, "unit": unit, "low": low, "high": high}
    return field(default=default, metadata={**values, "choices": choices, "unset": unset, "alias": alias})


@dataclass(frozen=True)
class Setting:
    """What is known of a setting. path: `data.val_share`; of a list `phases.*.lr`. The rest is as in `setting`."""

    path: str
    kind: Any
    default: Any
    help: str
    unit: str
    low: float | None
    high: float | None
    choices: tuple[Any, ...]
    unset: str
    alias: str | tuple[str, ...]

    @property
    def kinds(self) -> tuple[Any, ...]:
        """The types that a value may have; of `tuple[float, ...]` tuple."""
        union = get_origin(self.kind) in (UnionType, Union)
        return tuple(get_origin(kind) or kind for kind in (get_args(self.kind) if union else (self.kind,)))

    @property
    def optional(self) -> bool:
        return NoneType in self.kinds

    @property
    def plain(self) -> type:
        """The type that a shell knows it by."""
        return next((kind for kind in (bool, int, float) if kind in self.kinds), str)

    @property
    def allowed(self) -> str:
        """The values that are, in words: `from 0.01 to 0.8`; empty where its type says all."""
        if self.choices:
            return ", ".join(map(str, self.choices))
        if self.low is None:
            return ""
        return f"of at least {self.low:.10g}" if self.high is None else f"from {self.low:.10g} to {self.high:.10g}"


def said(value: Any) -> str:
    """A value as people write it on a command line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return ",".join(f"{name}={said(each)}" for name, each in value.items())
    if isinstance(value, tuple):
        return ",".join(map(said, value))
    return f"{value:.10g}" if isinstance(value, float) else str(value).lower() if value is None else str(value)


def settings_of(kind: Any) -> tuple[Setting, ...]:
    """The settings of a dataclass and of those in it, in their order."""
    return _settings_by_kind(kind)


@cache
def _settings_by_kind(kind: Any) -> tuple[Setting, ...]:
    return tuple(_settings_of(kind, ""))


def _settings_of(kind: Any, prefix: str) -> Iterator[Setting]:
    types = get_type_hints(kind)
    for each in dataclasses.fields(kind):
        path, own = f"{prefix}{each.name}", types[each.name]
        row = row_kind(own)
        if dataclasses.is_dataclass(own):
            yield from _settings_of(own, f"{path}.")
        elif row is not None:
            yield from _settings_of(row, f"{path}.{EACH}.")
        else:
            yield Setting(path, own, each.default, **each.metadata)


def row_kind(kind: Any) -> type | None:
    """The dataclass that a tuple of a list of settings holds; None for everything else."""
    inner = get_args(kind)[0] if get_origin(kind) is tuple else None
    return inner if dataclasses.is_dataclass(inner) else None  # type: ignore[return-value]
