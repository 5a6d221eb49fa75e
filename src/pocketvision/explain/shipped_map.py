"""The map that a bundle's own file gives beside its answers (`export --with-map`), read without torch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.bundle import Bundle, MapManifest
from pocketvision.errors import BundleError
from pocketvision.explain.choice import row_of
from pocketvision.explain.heat_map import HeatMap
from pocketvision.runtime.backends import BACKENDS
from pocketvision.tasks.manifest import TaskManifest

METHOD = "grad-cam"


def shipped_maps(bundle: Bundle, backend: str) -> dict[str, MapManifest]:
    """By task, the maps that the file of the backend of this name gives; none where it gives none."""
    file = BACKENDS[backend].file(bundle)
    graph = next((each for each in bundle.manifest.graphs if file in each.files), None)
    return {} if graph is None else graph.maps


def require_maps(bundle: Bundle, backend: str) -> dict[str, MapManifest]:
    """The same. Raises BundleError that says how to get them where there are none."""
    maps = shipped_maps(bundle, backend)
    if maps:
        return maps
    file = BACKENDS[backend].file(bundle)
    other = next((name for name, row in BACKENDS.items() if row.installed and shipped_maps(bundle, name)), None)
    if other is not None:
        raise BundleError(
            f"{bundle.folder}: {file}, which {backend} runs, gives no map of where it looks; that of {other} does: "
            f"--backend {other}."
        )
    raise BundleError(
        f"{bundle.folder}: {file} gives no map of where it looks. Add it with: pocketvision export {bundle.folder} --with-map"
    )


def shipped_map(
    outputs: Mapping[str, NDArray[Any]],
    own: MapManifest,
    task: TaskManifest,
    answer: Any,
    *,
    class_name: str | None = None,
    row: int = 0,
) -> HeatMap | None:
    """Of one image (row of the outputs): where the class is seen that was answered, or `class_name`.

    None for a class that is not among those that the file has maps of. Raises UsageError for a class_name that the task has not.
    """
    alone = {name: values[row : row + 1] for name, values in outputs.items()}
    place, words, _ = row_of(task.kind).choose(answer, task.tensors(alone), task, class_name)[0]
    maps = outputs[own.output][row]
    if len(maps) < len(task.labels):
        logits = outputs[_logits(task)][row]
        first = np.argsort(-logits, kind="stable")[: len(maps)].tolist()
        if place not in first:
            return None
        place = first.index(place)
    return HeatMap(np.asarray(maps[place], np.float32), words, METHOD, own.feature)


def _logits(task: TaskManifest) -> str:
    return task.outputs["logits"]


def left_out_of(maps: Mapping[str, MapManifest]) -> str:
    """What the maps do not show of what the heads read, as a sentence; empty where they show all."""
    said = [
        f"The map of {task} shows what the head reads of {own.feature}, not what it reads of {', '.join(own.leaves_out)} too."
        for task, own in maps.items()
        if own.leaves_out
    ]
    return " ".join(said)
