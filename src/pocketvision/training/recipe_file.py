"""A recipe as a file: TOML, with what is left out at its default; the settings of 0.1, flat and within run.json, are read too."""

import json
import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pocketvision.atomic_files import write_text
from pocketvision.errors import UsageError, unknown_name
from pocketvision.models.catalog import WHOLE
from pocketvision.printable import quoted
from pocketvision.training.presets import PRESETS
from pocketvision.training.recipe import EFFORTS, ModelSettings, Recipe
from pocketvision.training.setting import Setting, said, settings_of
from pocketvision.training.setting_aliases import ALIASES
from pocketvision.training.setting_values import Given, applied, changed, setting_at, values_of
from pocketvision.training.settings import Phase

VERSION = 1
"""Of recipe.toml."""

NAME = "recipe.toml"
RUN_OF_0_1 = "run.json"

_HEADER = re.compile(r"\s*(\[\[?)\s*([\w.]+)\s*\]")
_KEY = re.compile(r"\s*([\w.]+)\s*=")
_ESCAPED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}


def recipe_of(
    recipe: Recipe | str | Path | None, given: Iterable[Given], effort: str | None = None, preset: str | None = None
) -> Recipe:
    """The recipe (None: the default one; else a value, or a file that is read) with what was given in its place, for a model that
    there is. effort: of EFFORTS, in place of a recipe. preset: of PRESETS, what a file leaves out is as it has it."""
    if effort is not None and effort not in EFFORTS:
        raise unknown_name("effort", effort, EFFORTS)
    if effort is not None and recipe is not None:
        raise UsageError(
            f"--effort {effort} and --recipe contradict each other: both say which phases there are. Give one of them."
        )
    if preset is not None and preset not in PRESETS:
        raise unknown_name("preset", preset, PRESETS)
    if preset is not None and (effort is not None or isinstance(recipe, Recipe)):
        other = "a recipe" if effort is None else f"--effort {effort}"
        raise UsageError(
            f"--preset {preset} and {other} contradict each other: both say all settings. Give one of them."
        )
    start = EFFORTS[effort or "default"] if preset is None else PRESETS[preset].recipe
    if isinstance(recipe, str | Path):
        start = read_recipe(Path(recipe), start)
    asked = list(given)
    found = with_other_half(
        applied(recipe if isinstance(recipe, Recipe) else start, asked), {each.path for each in asked}
    )
    found = found.with_depths()
    found.require_model()
    return found


def with_other_half(recipe: Recipe, given: Collection[str]) -> Recipe:
    """Of a backbone and a head that belong together (catalog.WHOLE), who names one gets the other, and a random start. given: the
    paths that were."""
    name, head = recipe.model.name, recipe.model.head
    if head in WHOLE and name == ModelSettings.name and "model.name" not in given:
        name = head
    if name in WHOLE and head == ModelSettings.head:
        head = name
    weights = "none" if name in WHOLE and recipe.model.weights == ModelSettings.weights else recipe.model.weights
    return changed(recipe, {"model.name": name, "model.head": head, "model.weights": weights})


def recipe_text(recipe: Recipe, *, explained: bool = False) -> str:
    """The recipe as TOML, every setting but those that are unset. explained: with what each means and allows, the unset ones as
    comments."""
    lines = [f"version = {VERSION}"]
    section = ""
    for path, value in values_of(recipe).items():
        setting = setting_at(Recipe, path, path)
        own, _, name = path.rpartition(".")
        if own != section:
            section, head = own, own.partition(".")[0]
            lines += ["", f"[[{head}]]" if own != head else f"[{head}]"]
        if explained:
            lines.append(f"# {_explanation(setting)}")
        if value is not None:
            lines.append(f"{name} = {_toml(value)}")
        elif explained:
            lines.append(f"# {name} =")
    return "\n".join(lines) + "\n"


def write_recipe(path: Path, recipe: Recipe) -> None:
    """Write recipe_text, whole or not at all."""
    write_text(path, recipe_text(recipe))


def read_recipe(path: Path, before: Recipe = EFFORTS["default"]) -> Recipe:
    """The recipe of a TOML file, of a run's folder, or of the run.json that 0.1 wrote. before: what a TOML file leaves out; its
    phases are all of them.

    Files of an architecture and of weights are looked for beside the recipe first. Raises UsageError that names file, line and
    setting.
    """
    if path.is_dir():
        path = next((path / name for name in (NAME, RUN_OF_0_1) if (path / name).is_file()), path / NAME)
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise UsageError(f"The recipe {path} can not be read: {error.strerror or error}.") from error
    if path.suffix.lower() == ".json":
        return _beside(_of_run_json(text, path), path.parent)
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"The recipe {path} is no TOML: {error}.") from error
    version = content.pop("version", VERSION)
    if type(version) is not int or not 1 <= version <= VERSION:
        raise UsageError(
            f"{path} is a recipe of version {quoted(str(version))}, and this PocketVision reads versions up to {VERSION}. "
            "Upgrade it with: pip install --upgrade pocketvision"
        )
    places = _lines(text)

    def spelt(at: str) -> str:
        return f"{path}, line {places[at]}, {at}" if at in places else f"{path}, {at}"

    rows = content.get("phases")
    given = [Given(at, value, spelt(at)) for at, value in _flat(content, "")]
    try:
        start = replace(before, phases=tuple(Phase() for _ in rows)) if isinstance(rows, list) else before
        return _beside(applied(start, given), path.parent)
    except UsageError as error:
        raise UsageError(str(error) if str(path) in str(error) else f"{path}: {error}") from error


def flat_recipe(values: Mapping[str, Any], where: Path) -> Recipe:
    """The recipe of 0.1's flat settings; the file `where` they are from is named in errors."""
    unknown = sorted(set(values) - set(ALIASES))
    if unknown:
        raise UsageError(f"{where} has settings this version does not know: {', '.join(unknown)}.")
    today = {"schedule": "plateau", **values, "cache_limit": values.get("cache_limit", 20_000_000_000) / 1e9}
    given = [Given(ALIASES[name].path, value, f"{where}, {name}") for name, value in today.items()]
    return applied(Recipe(), given)


def _of_run_json(text: str, path: Path) -> Recipe:
    try:
        content = json.loads(text)
        values = {**content["recipe"], "min_per_class": content.get("min_per_class", 1)}
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} holds no recipe. Expected a {NAME}, or a run's folder.") from error
    rows = path.parent / "architecture.json"  # the run may have been moved since
    return flat_recipe(values | {"model": str(rows.resolve())} if rows.is_file() else values, path)


def _beside(recipe: Recipe, folder: Path) -> Recipe:
    """With the absolute paths of the files that lie in `folder`."""
    named = {"model.name": recipe.model.name, "model.weights": recipe.model.weights}
    there = {at: folder / name for at, name in named.items() if Path(name).suffix and (folder / name).is_file()}
    return changed(recipe, {at: str(file.resolve()) for at, file in there.items()})


def _flat(content: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Path and value of everything in a TOML document; a table that is a setting's value stays whole."""
    whole = {each.path for each in settings_of(Recipe) if Mapping in each.kinds}
    for name, value in content.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict) and path not in whole:
            yield from _flat(value, f"{path}.")
        elif isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            for number, row in enumerate(value, start=1):
                yield from _flat(row, f"{path}.{number}.")
        elif value != [] or path != "phases":
            yield path, value


def _lines(text: str) -> dict[str, int]:
    """The line that each path stands in, from 1."""
    found: dict[str, int] = {}
    counts: dict[str, int] = {}
    prefix = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            prefix = header[2]
            if header[1] == "[[":
                counts[prefix] = counts.get(prefix, 0) + 1
                prefix = f"{prefix}.{counts[prefix]}"
            found.setdefault(prefix, number)
            prefix += "."
        elif key := _KEY.match(line):
            found.setdefault(prefix + key[1], number)
    return found


def _explanation(setting: Setting) -> str:
    allowed = f" ({setting.allowed})" if setting.allowed and Mapping not in setting.kinds else ""
    unit = f" [{setting.unit}]" if setting.unit else ""
    unset = f"; unset: {setting.unset}" if setting.unset else ""
    return f"{setting.help}{unit}{allowed}{unset}"


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return '"' + "".join(map(_escape, value)) + '"'
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_toml(name)} = {_toml(each)}" for name, each in value.items()) + " }"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return repr(value) if isinstance(value, float) else said(value)


def _escape(char: str) -> str:
    control = ord(char) < 0x20 or ord(char) == 0x7F
    return _ESCAPED.get(char) or (f"\\u{ord(char):04x}" if control else char)
