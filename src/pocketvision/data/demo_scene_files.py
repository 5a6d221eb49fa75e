"""The demo's scenes as data that anybody could have: pictures, and beside them a source for each task."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from pocketvision.atomic_files import write_text
from pocketvision.csv_text import csv_line
from pocketvision.data.box_writers.catalog import WRITERS
from pocketvision.data.box_writers.writer import Picture
from pocketvision.data.demo_scenes import Scene, scene
from pocketvision.data.samples import SPLITS
from pocketvision.data.sources.several_tasks import FILE
from pocketvision.tasks.classification.truth import CLASSIFICATION
from pocketvision.tasks.detection.truth import DETECTION, BoxLabels
from pocketvision.tasks.segmentation.forms import png
from pocketvision.tasks.segmentation.truth import SEGMENTATION

SCENES = {"train": 160, "val": 40, "test": 80}
"""How many the demo composes for each split."""

CLASSES = ("face",)
"""Of boxes. Cats are faces too; what a face says is the other demo's question."""

PIXELS = ("background", "face")
"""Of masks."""

QUALITY = 90
"""Of the JPEGs."""


class Drawn(NamedTuple):
    """A scene that is written: where, relative to the folder, and in which of SPLITS."""

    path: str
    split: str
    scene: Scene


def write_scenes(
    folder: Path,
    seed: int,
    counts: Mapping[str, int],
    faces: Mapping[str, Sequence[Path]],
    tasks: Sequence[str] = (DETECTION,),
) -> None:
    """Write scenes into a new folder: how many by split (of SPLITS). faces: by split, what it shows. tasks: of SOURCES; where
    there are several, the file that names them is written too.

    detection is COCO JSON, segmentation a folder of masks, classification a table that says what stands behind the faces.
    The same seed gives the same scenes, whatever other splits and tasks there are, with the same Pillow.
    """
    drawn = list[Drawn]()
    for split, count in counts.items():
        (folder / split).mkdir(parents=True)
        for number in range(count):
            made = scene(np.random.default_rng([seed, SPLITS.index(split), number]), faces[split])
            drawn.append(Drawn(f"{split}/{split}_{number:04d}.jpg", split, made))
            Image.fromarray(made.pixels).save(folder / drawn[-1].path, quality=QUALITY)
    for task in tasks:
        SOURCES[task].write(folder, drawn)
    if len(tasks) > 1:
        lines = "".join(f"\n[tasks.{task}]\n{SOURCES[task].named}" for task in tasks)
        write_text(folder / FILE, lines.lstrip())


def _write_behind(folder: Path, drawn: Sequence[Drawn]) -> None:
    rows = [("path", "label", "split"), *((each.path, each.scene.behind, each.split) for each in drawn)]
    write_text(folder / "behind.csv", "".join(map(csv_line, rows)))


def _write_boxes(folder: Path, drawn: Sequence[Drawn]) -> None:
    sizes = [(each.scene.pixels.shape[1], each.scene.pixels.shape[0]) for each in drawn]
    pictures = [Picture(place, each.path, each.split, sizes[place]) for place, each in enumerate(drawn)]
    truth = BoxLabels.of([(each.scene.boxes.tolist(), [0] * len(each.scene.boxes)) for each in drawn], CLASSES)
    WRITERS["coco"].write(folder, truth, pictures)


def _write_masks(folder: Path, drawn: Sequence[Drawn]) -> None:
    write_text(folder / "classes.txt", "".join(f"{name}\n" for name in PIXELS))
    for each in drawn:
        place = (folder / "masks" / each.path).with_suffix(".png")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(png((each.scene.owner >= 0).astype(np.uint8)))


class SceneSource(NamedTuple):
    """How the truth of a task is written beside the pictures, and what the file of several tasks says of it."""

    write: Callable[[Path, Sequence[Drawn]], None]
    named: str


SOURCES = {
    CLASSIFICATION: SceneSource(_write_behind, 'source = "behind.csv"\n'),
    DETECTION: SceneSource(_write_boxes, 'source = "."\nformat = "coco"\n'),
    SEGMENTATION: SceneSource(_write_masks, 'source = "."\nformat = "mask-folder"\n'),
}
"""By task."""
