"""Flat names: the settings that are options of their own on the command line and keyword arguments in Python."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from pocketvision.errors import unknown_name
from pocketvision.training.recipe import Recipe
from pocketvision.training.setting import EACH, Setting, settings_of
from pocketvision.training.setting_values import Given, names_of, values_of

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Alias:
    """name: `lr2`. path: `phases.2.lr`, or with `*` those of all. default: that of the recipe."""

    name: str
    path: str
    setting: Setting
    default: Any

    @property
    def option(self) -> str:
        """As the command line spells it."""
        return "--" + self.name.replace("_", "-")


def _aliases(recipe: Recipe) -> Iterator[Alias]:
    values = values_of(recipe)
    for setting in settings_of(type(recipe)):
        for number, name in enumerate(names_of(setting), start=1):
            path = setting.path if isinstance(setting.alias, str) else setting.path.replace(EACH, str(number))
            if name:
                yield Alias(name, path, setting, values[path.replace(EACH, "1")])


ALIASES = {alias.name: alias for alias in _aliases(Recipe())}


def given_flat(values: Mapping[str, Any]) -> list[Given]:
    """What was given by flat names; None was not given. UsageError with near matches for an unknown one."""
    for name in values:
        if name not in ALIASES:
            raise unknown_name("option", name, ALIASES)
    given = [(ALIASES[name], value) for name, value in values.items() if value is not None]
    return [Given(alias.path, value, alias.option, is_text=isinstance(value, str)) for alias, value in given]


def with_aliases(
    shown: Callable[[Alias], tuple[Any, Any]],
) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """In the place of a function's `**flat`, its signature has every alias by name, for help and for the command line.

    shown: the annotation and the default of one.
    """

    def named(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        signature = inspect.signature(function)
        own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        further = []
        for alias in ALIASES.values():
            annotation, default = shown(alias)
            further.append(
                inspect.Parameter(alias.name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
            )
        function.__signature__ = signature.replace(parameters=[*own, *further])  # type: ignore[attr-defined]
        return function

    return named
