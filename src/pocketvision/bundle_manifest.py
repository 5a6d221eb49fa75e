"""What a bundle says about itself: `manifest.json` as frozen dataclasses, written and strictly read."""

import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from pocketvision.baseline import Distribution
from pocketvision.bundle_figures import SELECTION
from pocketvision.errors import BundleError
from pocketvision.preprocessing import Preprocessing
from pocketvision.tasks.manifest import TaskManifest

FORMAT_VERSION = 2
"""The format this code writes, and the newest it reads. Raised when old code would misread a new manifest.

2: a task's metrics are by set of images (`selection`, `test`); in 1 they were those of the selection, flat. Its outputs are by
role; in 1, and in the first bundles of 2, they were listed.
"""


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a graph. A size that is free at run time is a name, as in ("batch", 3, 224, 224)."""

    name: str
    type: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class MapManifest:
    """An output of a graph that says where each class of a task is seen (models/class_map.py).

    output: the graph's name for it. shape: for one image (maps, h, w): a map a class, or where there are fewer maps than classes
    one for each of the classes with the highest logits, highest first. feature: whose map it is. leaves_out: what the head reads
    besides, which the map does not show.
    """

    output: str
    shape: tuple[int, ...]
    feature: str
    leaves_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class GraphManifest:
    """One computation graph and the files that hold it, one file or several a target (`model.onnx` …). outputs: those that
    answers are read off. maps: by task, of a graph that says where it looked too."""

    name: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    files: tuple[str, ...]
    maps: dict[str, MapManifest] = field(default_factory=dict)


@dataclass(frozen=True)
class FileManifest:
    """Size in bytes and SHA-256 (hexadecimal) of one of the bundle's files."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Everything needed to run a bundle and to trust it.

    architecture: its name and rows, as `models` writes them. agreement: for each exported file, how far its answers are
    from the trained network's on real images (export/agreement.py, evaluation/comparison.py), its size and its speed.
    compression: what was done to the network to make it smaller, and what that cost; empty when nothing was. commands: how
    other tools take the files on. backend: the runtime that it was fitted to, which opens it by default where it is installed;
    empty for the first that is. baseline: the images it was measured on, by feature (baseline.py); empty when none were.
    origin: whose weights they are, where they were taken as somebody published them (`name`, `weights`, `trained_on`, `licence`,
    `sha256`); empty where they were trained here.
    files and versions are filled in by `write_bundle`.
    """

    architecture: dict[str, Any]
    preprocessing: Preprocessing
    tasks: dict[str, TaskManifest]
    graphs: tuple[GraphManifest, ...]
    agreement: dict[str, dict[str, float]] = field(default_factory=dict)
    compression: dict[str, Any] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)
    backend: str = ""
    baseline: dict[str, Distribution] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    files: dict[str, FileManifest] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION


def manifest_to_dict(manifest: Manifest) -> dict[str, Any]:
    """Plain values for JSON, the format version first; `manifest_from_dict` is the way back."""
    values = _to_plain(manifest)
    return {"format_version": values.pop("format_version"), **values}


def manifest_from_dict(values: object, where: str) -> Manifest:
    """Read a manifest. `where` names its file in errors.

    Fields that this version does not know are passed over: what would change an answer raises the format version.
    Raises BundleError: a newer format (upgrade), or the path of the field that is missing or of another type.
    """
    if not isinstance(values, dict) or type(values.get("format_version")) is not int:
        raise BundleError(f"{where}: it holds no whole number format_version, so it is not a bundle's manifest")
    version = values["format_version"]
    if version > FORMAT_VERSION:
        raise BundleError(
            f"{where}: the bundle is of format {version}, and this PocketVision reads formats up to {FORMAT_VERSION}. "
            f"Upgrade it with: {_upgrade_to(values.get('versions'))}"
        )
    try:
        manifest: Manifest = _read(Manifest, _upgraded(values, version), "")
    except BundleError as error:
        raise BundleError(f"{where}: {error}") from error
    return manifest


def _upgrade_to(versions: object) -> str:
    """The line that installs what reads a bundle of these versions: at least the one that wrote it, where that is a version."""
    wrote = versions.get("pocketvision") if isinstance(versions, dict) else None
    if isinstance(wrote, str) and re.fullmatch(r"\d+(\.\d+)*\w*", wrote):
        return f'pip install --upgrade "pocketvision>={wrote}"'
    return "pip install --upgrade pocketvision"


def _upgraded(values: dict[str, Any], version: int) -> dict[str, Any]:
    """A manifest of an older form as it is written now. What is not as that form has it is left for the reader to name."""
    tasks = values.get("tasks")
    if not isinstance(tasks, dict):
        return values
    tasks = {name: _upgraded_task(task, version) if isinstance(task, dict) else task for name, task in tasks.items()}
    return {**values, "format_version": FORMAT_VERSION, "tasks": tasks}


def _upgraded_task(task: dict[str, Any], version: int) -> dict[str, Any]:
    """The flat metrics of format 1 were those of the selection; outputs were listed, each named like its role."""
    outputs, metrics = task.get("outputs"), task.get("metrics")
    if isinstance(outputs, list) and all(isinstance(name, str) for name in outputs):
        task = {**task, "outputs": {name: name for name in outputs}}
    if task.get("kind") == "classification" and not task.get("head"):
        task = {**task, "head": "linear"}
    if version < 2 and metrics and isinstance(metrics, dict):
        task = {**task, "metrics": {SELECTION: metrics}}
    return task


def _to_plain(value: Any) -> Any:
    if isinstance(value, Preprocessing):
        return value.to_dict()
    if is_dataclass(value):
        return {each.name: _to_plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {name: _to_plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_plain(item) for item in value]
    return value


def _read(expected: Any, value: Any, where: str) -> Any:
    """`value`, parsed JSON, as the type `expected`; raises BundleError that names the place and what was expected."""
    origin, arguments = get_origin(expected), get_args(expected)
    if expected is Any:
        return value
    if expected is Preprocessing:
        return Preprocessing.from_dict(_read(dict[str, Any], value, where))
    if is_dataclass(expected):
        return _read_dataclass(expected, _read(dict[str, Any], value, where), where)
    if origin is dict:
        if not isinstance(value, dict):
            raise _wrong(where, value, "an object")
        return {name: _read(arguments[1], item, f"{where}.{name}") for name, item in value.items()}
    if origin is tuple:
        if not isinstance(value, list):
            raise _wrong(where, value, "a list")
        return tuple(_read(arguments[0], item, f"{where}[{place}]") for place, item in enumerate(value))
    choices = arguments if origin in (Union, types.UnionType) else (expected,)
    if float in choices and type(value) is int:
        return float(value)
    if type(value) not in choices:
        raise _wrong(where, value, " or ".join(choice.__name__ for choice in choices))
    return value


def _read_dataclass(expected: Any, values: dict[str, Any], where: str) -> Any:
    hints = get_type_hints(expected)
    arguments = {}
    for each in fields(expected):
        place = f"{where}.{each.name}"
        if each.name in values:
            arguments[each.name] = _read(hints[each.name], values[each.name], place)
        elif each.default is MISSING and each.default_factory is MISSING:
            raise BundleError(f"the field {place.lstrip('.')!r} is missing")
    try:
        return expected(**arguments)
    except ValueError as error:
        raise BundleError(f"the field {where.lstrip('.')!r} is wrong: {error}") from error


def _wrong(where: str, value: object, expected: str) -> BundleError:
    shown = repr(value)
    return BundleError(f"the field {where.lstrip('.')!r} is {shown[:80]}; expected {expected}")
