"""Several tasks over the same pictures: a file that names each task and its source.

[tasks]
classification = "labels.csv"

[tasks.detection]
source = "boxes.json"
format = "coco"
weight = 2.0
"""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pocketvision.atomic_files import write_text
from pocketvision.data.joining import joined, told
from pocketvision.data.origin import SourceOptions
from pocketvision.data.samples import Samples
from pocketvision.data.sources.source import NAMED, Source
from pocketvision.errors import UsageError, unknown_name
from pocketvision.printable import quoted
from pocketvision.tasks.catalog import is_kind, kind_of
from pocketvision.tasks.manifest import is_task_name
from pocketvision.tasks.segmentation.truth import MOST_VALUE

FILE = "pocketvision.toml"
NAME = "several-tasks"
"""Of the format."""

_ESCAPED = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"})

_TEXTS = ("source", "kind", "format", "images", "path_column", "label_column", "split_column", "group_column")
_LISTS = ("labels", "box_columns")
_KEYS = (*_TEXTS, *_LISTS, "weight", "ignore")

ReadSource = Callable[..., Samples]
"""read_samples of the catalog, which this file is a row of."""


@dataclass(frozen=True)
class TaskSource:
    """Where the truth of a task comes from. place: of the source. kind: of the task; None takes its name where that is a kind,
    else what the source has. weight: of its loss; None where nothing is said. options: for read_samples, by name."""

    name: str
    place: Path
    kind: str | None = None
    weight: float | None = None
    options: Mapping[str, Any] | None = None


def tasks_file(path: Path) -> Path | None:
    """The file that names the tasks of `path`, a folder or the file itself; None where it has none."""
    file = path / FILE if path.is_dir() else path
    return file if file.suffix.lower() == ".toml" and file.is_file() else None


def read_tasks(file: Path) -> tuple[TaskSource, ...]:
    """The tasks that a file names, in its order; paths in it are relative to its folder.

    Raises UsageError for what is no TOML (a task named twice, for one), names no task, or has other keys.
    """
    try:
        content = tomllib.loads(file.read_bytes().decode("utf-8", "surrogateescape"))
    except (OSError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{file} can not be read: {error}. A task is named once, with its source.") from error
    rows = content.get("tasks")
    if not isinstance(rows, dict) or not rows:
        raise UsageError(
            f'{file} names no task. Expected a table [tasks] with lines such as classification = "labels.csv".'
        )
    return tuple(_task(file, name, row) for name, row in rows.items())


def _task(file: Path, name: str, row: Any) -> TaskSource:
    where = f"{file}, tasks.{name}"
    values = {"source": row} if isinstance(row, str) else row
    if not isinstance(values, dict) or not isinstance(values.get("source"), str):
        raise UsageError(f'{where}: it has no source. Expected source = "FILE or FOLDER".')
    require_task_name(name, where)
    for key, value in values.items():
        if key not in _KEYS:
            raise UsageError(f"{where}: {unknown_name('key', key, _KEYS)}")
        _require_typed(where, key, value)
    options = {key: value for key, value in values.items() if key not in ("source", "kind", "weight")}
    if "images" in options:
        options["images"] = file.parent / options["images"]
    return TaskSource(name, file.parent / values["source"], values.get("kind"), values.get("weight"), options)


def require_task_name(name: str, where: str) -> None:
    """Raise UsageError for what a bundle can not call a task."""
    if not is_task_name(name):
        raise UsageError(
            f"{where}: a task can not be called {quoted(name)}; expected small letters, digits and _, as in defects."
        )


def _require_typed(where: str, key: str, value: Any) -> None:
    if key == "weight":
        fits, expected = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0, "0 or more"
    elif key == "ignore":
        fits, expected = type(value) is int and 0 <= value <= MOST_VALUE, f"a whole number up to {MOST_VALUE}"
    elif key in _LISTS:
        fits = isinstance(value, list) and all(isinstance(each, str) for each in value)
        expected = "a list of texts"
    else:
        fits, expected = isinstance(value, str), "a text"
    if not fits:
        raise UsageError(f"{where}.{key} is {quoted(str(value))}; expected {expected}.")


def named_sources(
    given: Mapping[str, str | Path] | Iterable[str], data: object, paths: object = None
) -> dict[str, Path]:
    """The sources of tasks by their names, from NAME=SOURCE each, or by name. A source that is not where the work is done is
    looked for in the folder `data`. Raises UsageError for another form, for a task named twice, and beside pictures that are
    handed over from Python, as `paths` or as a data set."""
    if given and (paths is not None or not isinstance(data, str | Path | None)):
        raise UsageError(
            "Tasks have sources that name their pictures: leave paths and pictures out, or leave tasks out."
        )
    folder = Path(data) if isinstance(data, str | Path) else None
    pairs = list(given.items()) if isinstance(given, Mapping) else [_pair(each) for each in given]
    found: dict[str, Path] = {}
    for name, source in pairs:
        require_task_name(name, f"--tasks {name}={source}")
        if name in found:
            raise UsageError(f"--tasks names {name} twice: {found[name]} and {source}. A task has one source.")
        place = Path(source)
        within = place if folder is None else folder / place
        found[name] = within if within.exists() and not place.exists() else place
    return found


def _pair(text: str) -> tuple[str, str]:
    name, sign, source = text.partition("=")
    if not sign or not name.strip() or not source.strip():
        raise UsageError(f"--tasks {quoted(text)}: expected NAME=SOURCE, such as number=ages.csv.")
    return name.strip(), source.strip()


def write_tasks(file: Path, sources: Mapping[str, Path]) -> None:
    """Write a file that names these sources, by absolute paths; whole or not at all."""
    lines = [f'{name} = "{str(place.absolute()).translate(_ESCAPED)}"' for name, place in sources.items()]
    write_text(file, "\n".join(["[tasks]", *lines, ""]))


def loss_weights(path: Path) -> dict[str, float]:
    """The weights of the tasks' losses that the file of `path` names; none where it has none, or says nothing of weights."""
    file = tasks_file(path)
    named = () if file is None else read_tasks(file)
    return {each.name: float(each.weight) for each in named if each.weight is not None}


def read(path: Path, options: SourceOptions, read_source: ReadSource) -> Samples:
    """The pictures of all sources, joined (joining.py). options: for sources whose task says nothing else.

    Raises UsageError as read_tasks, read_source and joined do, for --labels, and for a source that has no truth of its task.
    """
    file = tasks_file(path)
    if file is None:
        raise UsageError(f"{path} holds no {FILE}, which names its tasks. Write one, or name another format.")
    if options.ignore is not None:
        raise UsageError(
            f"The value {options.ignore} of no class is of one task's masks, and {file} names several tasks. Write it there: "
            f"ignore = {options.ignore}."
        )
    if options.labels is not None:
        raise UsageError(f"--labels are of one task, and {file} names several. Write them there: labels = [...].")
    parts = {each.name: _of_task(file, each, options, read_source) for each in read_tasks(file)}
    found = joined(parts, file.parent)
    return replace(found, reading=(*found.reading, told(parts, len(found))))


def _of_task(file: Path, task: TaskSource, options: SourceOptions, read_source: ReadSource) -> Samples:
    """The samples of one task, its truth under the task's name."""
    own, columns = dict(task.options or {}), options.columns
    given = {
        "path_column": columns.path,
        "label_column": columns.label,
        "split_column": columns.split,
        "group_column": columns.group,
        "box_columns": columns.box,
        "task": task.kind or (task.name if is_kind(task.name) else None),
        **own,
    }
    if options.images is not None and task.place.is_file():
        given = {"images": options.images, **given}
    if tasks_file(task.place) == file and given.get("format") in (None, NAME):
        raise UsageError(
            f"{file}, tasks.{task.name}: the source is this file's own folder. Say as what it is read, as in format = "
            '"image-folder", or name a table or a folder in it.'
        )
    try:
        samples = read_source(task.place, **given)
    except UsageError as error:
        raise UsageError(f"{task.name}: {error}") from error
    wanted = task.kind or task.name
    fitting = [each for name, each in samples.truth.items() if wanted in (name, kind_of(name, each))]
    if not fitting and len(samples.truth) > 1:
        raise UsageError(
            f"{file}, tasks.{task.name}: {task.place} has the truth of {', '.join(samples.truth)}. Say which with kind."
        )
    truth = (fitting or [*samples.truth.values()])[0]
    if not truth.present.any():
        raise UsageError(
            f"{file}, tasks.{task.name}: no picture of {task.place} has that truth, so nothing can be learned."
        )
    return replace(samples, truth={task.name: truth}, origin=None)


def evidence(path: Path) -> int | None:
    """A folder with the file, or the file itself."""
    return NAMED if tasks_file(path) is not None else None


def source_of(read_source: ReadSource) -> Source:
    """The row of SOURCES."""
    return Source(
        expects=f"a folder with a file {FILE} that names tasks and their sources, or that file",
        evidence=evidence,
        kinds=(),
        read=lambda path, options: read(path, options, read_source),
        names_files=True,
        has_values=True,
    )
