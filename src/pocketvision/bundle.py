"""The bundle: a model folder that ships, is versioned and can be verified. Written whole or not at all; no torch."""

import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from pocketvision.bundle_figures import SELECTION, Figure, figures_of
from pocketvision.bundle_manifest import (
    FORMAT_VERSION,
    FileManifest,
    GraphManifest,
    Manifest,
    MapManifest,
    TensorInfo,
    manifest_from_dict,
    manifest_to_dict,
)
from pocketvision.errors import BundleError, UsageError
from pocketvision.json_text import json_text
from pocketvision.preprocessing import Preprocessing
from pocketvision.tasks.catalog import task_named
from pocketvision.tasks.manifest import TaskManifest, decided_by, is_task_name
from pocketvision.utf8_path import utf8_path

__all__ = [
    "FORMAT_VERSION",
    "Bundle",
    "Figure",
    "FileManifest",
    "GraphManifest",
    "Manifest",
    "MapManifest",
    "TaskManifest",
    "TensorInfo",
    "read_bundle",
    "require_place",
    "resolve",
    "rewrite_bundle",
    "write_bundle",
]

MANIFEST = "manifest.json"
GOLDEN = "golden.safetensors"
RUN = "run.json"
"""What a run's folder holds; its bundle is the folder BUNDLE_OF_A_RUN in it."""
BUNDLE_OF_A_RUN = "bundle"
CLASSIFICATION = "classification"
EXPECTED = f"a bundle is the folder with a {MANIFEST} that `pocketvision train` or `pocketvision import` writes"


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose manifest has been read. Make one with `read_bundle` or `write_bundle`."""

    folder: Path
    manifest: Manifest

    @property
    def tasks(self) -> Mapping[str, TaskManifest]:
        """What it answers, by the tasks' names; at least one."""
        return self.manifest.tasks

    @property
    def task_name(self) -> str:
        """The task that is meant where one is: the first one of classification, else the first."""
        of_kind = (name for name, task in self.tasks.items() if task.kind == CLASSIFICATION)
        return next(of_kind, next(iter(self.tasks)))

    @property
    def task(self) -> TaskManifest:
        """What it says of the task called `task_name`."""
        return self.tasks[self.task_name]

    @property
    def only_kind(self) -> str | None:
        """Of its task, whose truth data has to have; None where there are several, each of which some data may lack."""
        return self.task.kind if len(self.tasks) == 1 else None

    @property
    def asked_labels(self) -> tuple[str, ...] | None:
        """The classes that data is read by; None where there are none, and of several tasks, each of which data may be of."""
        return self.labels or None if len(self.tasks) == 1 else None

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names of that task in index order."""
        return self.task.labels

    def output_shapes(self, file: str) -> dict[str, tuple[int, ...]]:
        """The shape of each output for one image, by name and in order, of the graph in `file` (of the first graph where the
        file holds weights alone)."""
        graph = next((each for each in self.manifest.graphs if file in each.files), self.manifest.graphs[0])
        return {each.name: tuple(int(side) for side in each.shape[1:]) for each in graph.outputs}

    @property
    def preprocessing(self) -> Preprocessing:
        """How an image becomes the network's input."""
        return self.manifest.preprocessing

    @property
    def credit(self) -> str:
        """Whose weights it has and under which licence, in a sentence; empty where they were trained here."""
        told = self.manifest.origin
        if not told:
            return ""
        return (
            f"{told.get('name', '')}: weights of {told.get('weights', '')}, trained on {told.get('trained_on', '')}. "
            f"Licence: {told.get('licence', 'not told')}."
        )

    @property
    def figures(self) -> tuple[Figure, ...]:
        """What was measured of it, a figure for each set of images: test first, then selection; empty where nothing was."""
        headline_of = task_named(self.task.kind).measuring().headline_of
        return figures_of(
            self.task.metrics, headline_of, compressed=bool(self.manifest.compression), decided_by=decided_by(self.task)
        )

    @property
    def measured(self) -> Mapping[str, Any]:
        """All that was measured of it on the images of its first figure; empty where nothing was."""
        return self.task.metrics[self.figures[0].word] if self.figures else {}

    @property
    def headline(self) -> str:
        """How good it is, as in "Accuracy 93.5 % (90.6 to 95.6), test, 372 images"; empty where nothing was measured."""
        return self.figures[0].text if self.figures else ""

    @property
    def positive(self) -> str | None:
        """With two classes: the one that precision, recall and F1 were measured of, where that is known."""
        found = self.task.metrics.get(SELECTION, {}).get("positive")
        return found if isinstance(found, str) else None

    def path(self, name: str) -> Path:
        """The path of one of the bundle's files. Raises BundleError when the manifest does not list it."""
        if name not in self.manifest.files:
            raise BundleError(
                f"{self.folder}: the bundle has no file {name!r}; it has {', '.join(self.manifest.files)}"
            )
        return self.folder / name

    def golden(self) -> dict[str, NDArray[np.float32]]:
        """The golden inputs `images` (n, 3, H, W) and the outputs measured for them, by the graph's names."""
        try:
            with utf8_path(self.path(GOLDEN)) as path:
                return safetensors.numpy.load_file(path)
        except (OSError, SafetensorError) as error:
            raise BundleError(f"{self.folder / GOLDEN}: it can not be read ({error})") from error


def require_place(folder: Path) -> None:
    """Raise before the work what `write_bundle` would raise after it: UsageError where `folder` holds something else, OSError
    where nothing can be written beside it."""
    _require_replaceable(folder)
    place = folder.parent
    while not place.exists() and place != place.parent:
        place = place.parent
    with tempfile.TemporaryDirectory(dir=place, prefix=f".{folder.name[:40]}.", suffix=".part"):
        pass


def _require_replaceable(folder: Path) -> None:
    if folder.exists() and not (folder / MANIFEST).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(
            f"{folder} exists and is not a bundle, so it is not replaced; choose another place or remove it"
        )


def write_bundle(
    folder: Path,
    manifest: Manifest,
    files: Mapping[str, Path | bytes],
    golden_inputs: NDArray[np.float32],
    golden_outputs: Mapping[str, NDArray[np.float32]],
) -> Bundle:
    """Write a bundle whole or not at all: into a temporary folder beside `folder`, flushed, then renamed.

    files: contents, or files to copy, by their names in the bundle. golden_inputs: (n, 3, H, W) network inputs.
    golden_outputs: what the trained network gives for them, by the graph's output names, (n, …) each. The
    manifest's `files` and `versions` are filled in. An older bundle at `folder` is replaced; any other folder that is
    not empty raises UsageError.
    """
    _require_replaceable(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name[:40]}.", suffix=".part"))
    try:
        _fill(building, manifest, files, {"images": golden_inputs, **golden_outputs})
        bundle = read_bundle(building)  # what is written must be readable, or nothing is left
        _check_golden(bundle)
        _take_place(building, folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return replace(bundle, folder=folder)


def rewrite_bundle(
    bundle: Bundle, manifest: Manifest, files: Mapping[str, Path | bytes] | None = None, *, folder: Path | None = None
) -> Bundle:
    """The bundle with another manifest and more files (those of the same name are replaced), in its place or in `folder`."""
    kept: dict[str, Path | bytes] = {name: bundle.path(name) for name in bundle.manifest.files if name != GOLDEN}
    golden = bundle.golden()
    blank = replace(manifest, files={}, versions={})
    return write_bundle(folder or bundle.folder, blank, {**kept, **(files or {})}, golden.pop("images"), golden)


def resolve(folder: str | Path) -> Path:
    """The bundle's folder: `folder` itself, or, where that is a run, the bundle in it. The one rule of every verb.

    A path that is neither is given back, for its reader to say so. Raises BundleError for a run that has no bundle yet.
    """
    path = Path(folder)
    if (path / MANIFEST).is_file():
        return path
    inside = path / BUNDLE_OF_A_RUN
    if (inside / MANIFEST).is_file():
        return inside
    if (path / RUN).is_file():
        raise BundleError(
            f"{path}: it is a run that has no bundle yet, for its training ended before its first epoch; "
            f"go on with it: pocketvision train --resume {path}"
        )
    return path


def read_bundle(folder: Path, *, check_hashes: bool = True) -> Bundle:
    """Read a bundle's manifest and check its files' presence, sizes and SHA-256. A run's folder stands for the bundle in it.

    Raises BundleError: no bundle there, a newer format, a field that is missing or wrong, a file that is missing or
    differs.
    """
    folder = resolve(folder)
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        what = f"it holds no {MANIFEST}" if folder.exists() else "there is no such folder"
        raise BundleError(f"{folder}: {what}; {EXPECTED}") from error
    except NotADirectoryError as error:
        raise BundleError(f"{folder}: it is a file, not a folder; {EXPECTED}") from error
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: it can not be read ({error})") from error
    manifest = manifest_from_dict(content, str(path))
    _check_consistency(manifest, str(path))
    for name, recorded in manifest.files.items():
        _check_file(folder / name, recorded, check_hashes)
    return Bundle(folder, manifest)


def _fill(
    building: Path, manifest: Manifest, files: Mapping[str, Path | bytes], golden: Mapping[str, NDArray[np.float32]]
) -> None:
    """Write every file of the bundle into `building`, the manifest last."""
    building.chmod(0o755)  # mkdtemp makes folders that only their owner may enter
    tensors = {name: np.ascontiguousarray(values, dtype=np.float32) for name, values in golden.items()}
    contents = {**files, GOLDEN: safetensors.numpy.save(tensors)}
    recorded = {}
    for name, content in contents.items():
        target = building / name
        target.parent.mkdir(parents=True, exist_ok=True)  # Core ML's package is a folder
        if isinstance(content, bytes):
            target.write_bytes(content)
        else:
            shutil.copyfile(content, target)
        _flush(target)
        recorded[name] = FileManifest(size=target.stat().st_size, sha256=_sha256(target))
    complete = replace(manifest, files=recorded, versions={**versions(), **manifest.versions})
    _check_consistency(complete, MANIFEST)
    text = json_text(manifest_to_dict(complete), indent=2)
    (building / MANIFEST).write_text(text + "\n", encoding="utf-8", newline="\n")
    _flush(building / MANIFEST)


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _take_place(building: Path, folder: Path) -> None:
    """Rename `building` to `folder`; a bundle that is there already steps aside first and comes back if that fails."""
    if not folder.exists():
        building.rename(folder)
        return
    aside = building.with_suffix(".old")
    try:
        folder.rename(aside)
        building.rename(folder)
    except BaseException:  # Ctrl-C between the two as well
        if aside.exists() and not folder.exists():
            aside.rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def versions() -> dict[str, str]:
    """Versions of what makes a bundle, for whoever has to find out why two of them differ. Nothing is imported."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
    for name in ("pocketvision", "torch", "torchvision", "onnx", "onnxscript", "onnxruntime", "numpy", "pillow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_file(path: Path, recorded: FileManifest, check_hash: bool) -> None:
    try:
        size = path.stat().st_size
        if size != recorded.size:
            raise BundleError(f"{path}: the file is damaged: it has {size} bytes; the manifest says {recorded.size}")
        found = _sha256(path) if check_hash else recorded.sha256
    except FileNotFoundError as error:
        raise BundleError(f"{path}: the file is missing from the bundle") from error
    except OSError as error:
        raise BundleError(f"{path}: it can not be read ({error})") from error
    if found != recorded.sha256:
        raise BundleError(f"{path}: the file is damaged: its SHA-256 is {found}; the manifest says {recorded.sha256}")


def _check_consistency(manifest: Manifest, where: str) -> None:
    """Raise BundleError when parts of the manifest contradict one another."""
    for name in manifest.files:
        path = PurePosixPath(name)
        outside = path.is_absolute() or ".." in path.parts or str(path) != name or "\\" in name or ":" in name
        if outside or path.parts[:1] in ((), (MANIFEST,)):
            raise BundleError(f"{where}: {name!r} is not the name of a file in the bundle's folder")
    for graph in manifest.graphs:
        for name in graph.files:
            if name not in manifest.files:
                raise BundleError(f"{where}: the graph {graph.name!r} names the file {name!r}, which is not in `files`")
    for name, task in manifest.tasks.items():
        _check_task(name, task, manifest, where)
    if not manifest.tasks or not manifest.graphs:
        raise BundleError(
            f"{where}: it names {len(manifest.tasks)} tasks and {len(manifest.graphs)} graphs; expected one"
        )


def _check_task(name: str, task: TaskManifest, manifest: Manifest, where: str) -> None:
    """Raise BundleError for a task that this version does not know, or that the graphs do not answer."""
    if not is_task_name(name):
        raise BundleError(f"{where}: {name!r} is no task's name; expected lower-case letters, digits and underscores")
    try:
        kind = task_named(task.kind)
    except UsageError as error:
        raise BundleError(
            f"{where}: the task {name!r} is of a kind that this PocketVision does not know. {error} A newer version may "
            "know it (pip install --upgrade pocketvision), or the package that it comes from."
        ) from error
    if bool(task.labels) != kind.has_classes or len(set(task.labels)) != len(task.labels):
        expected = "distinct names" if kind.has_classes else "none"
        raise BundleError(f"{where}: the labels of task {name!r} are {list(task.labels)}; expected {expected}")
    try:
        if kind.check is not None:
            kind.check(task)
    except ValueError as error:
        raise BundleError(f"{where}: the task {name!r} is wrong: {error}") from error
    missing = [role for role in kind.role_names if role not in task.outputs]
    if missing:
        raise BundleError(f"{where}: the task {name!r} names no output for {', '.join(missing)}; it is {task.kind}")
    for graph in manifest.graphs:
        there = {each.name for each in graph.outputs}
        absent = sorted(set(task.outputs.values()) - there)
        if absent:
            raise BundleError(
                f"{where}: the graph {graph.name!r} has no output {', '.join(absent)}, which the task {name!r} reads; it has "
                f"{', '.join(sorted(there)) or 'none'}"
            )


def _check_golden(bundle: Bundle) -> None:
    golden = bundle.golden()
    size = bundle.preprocessing
    images = len(golden["images"])
    expected = {
        "images": (images, 3, size.height, size.width),
        **{name: (images, *shape) for name, shape in bundle.output_shapes("").items()},
    }
    found = {name: golden[name].shape for name in expected if name in golden}
    if found != expected or images == 0:
        raise BundleError(f"the golden tensors have the shapes {found}; expected {expected} with at least one image")
