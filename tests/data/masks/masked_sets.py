"""The same small set of pictures with masks in every format that is read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from data.boxes.drawn_sets import NAMES, SETS, SIZE, pictures
from PIL import Image

Ring = list[tuple[float, float]]
SHAPES: dict[str, list[tuple[str, Ring]]] = {
    name: [(label, [(x, y), (r, y), (r, b), (x, b)]) for label, (x, y, r, b) in boxes] for name, boxes in SETS.items()
}
"""By picture: class and corners of a polygon."""


def masks(folder: Path, values: tuple[int, int], ending: str = ".png") -> None:
    """In every picture the first value, in every second one the other as well."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(SETS):
        mask = np.full((SIZE[1], SIZE[0]), values[0], np.uint8)
        mask[5:20, 7 : 20 + number] = values[number % 2]
        Image.fromarray(mask).save(folder / (name.removesuffix(".png") + ending))


def mask_folder(place: Path) -> Path:
    pictures(place / "folders/images")
    masks(place / "folders/masks", (0, 1))
    (place / "folders/classes.txt").write_text("a\nb\n")
    return place / "folders"


def mask_table(place: Path) -> Path:
    pictures(place / "pairs/pictures")
    masks(place / "pairs/drawn", (0, 1))
    (place / "pairs/classes.txt").write_text("a\nb\n")
    rows = [f"pictures/{name},drawn/{name}" for name in SETS]
    (place / "pairs/pairs.csv").write_text("\n".join(["path,mask", *rows]))
    return place / "pairs/pairs.csv"


def cityscapes(place: Path) -> Path:
    pictures(place / "city/leftImg8bit/train/ulm", [f"{name[:-4]}_leftImg8bit.png" for name in SETS])
    masks(place / "city/gtFine/train/ulm", (7, 26), "_gtFine_labelIds.png")
    return place / "city"


def coco(place: Path) -> Path:
    pictures(place / "coco/images")
    names = [*SETS]
    document = {
        "images": [{"id": n, "file_name": name, "width": SIZE[0], "height": SIZE[1]} for n, name in enumerate(names)],
        "annotations": [
            {
                "id": 1,
                "image_id": n,
                "category_id": NAMES.index(label) + 1,
                "segmentation": [[s for p in ring for s in p]],
            }
            for n, name in enumerate(names)
            for label, ring in SHAPES[name]
        ],
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    }
    (place / "coco/shapes.json").write_text(json.dumps(document))
    return place / "coco"


def yolo(place: Path) -> Path:
    pictures(place / "yolo/images/train")
    (place / "yolo/labels/train").mkdir(parents=True, exist_ok=True)
    for name, shapes in SHAPES.items():
        rows = [
            f"{NAMES.index(label)} " + " ".join(f"{x / SIZE[0]:.9f} {y / SIZE[1]:.9f}" for x, y in ring)
            for label, ring in shapes
        ]
        (place / f"yolo/labels/train/{name[:-4]}.txt").write_text("\n".join(rows))
    (place / "yolo/data.yaml").write_text("path: .\ntrain: images/train\nnames: [a, b]\n")
    return place / "yolo"


def labelme(place: Path) -> Path:
    pictures(place / "labelme")
    for name, drawn in SHAPES.items():
        shapes = [{"label": label, "points": ring, "shape_type": "polygon"} for label, ring in drawn]
        document = {"version": "5", "shapes": shapes, "imagePath": name, "imageWidth": SIZE[0], "imageHeight": SIZE[1]}
        (place / f"labelme/{name[:-4]}.json").write_text(json.dumps(document))
    return place / "labelme"


def cvat(place: Path) -> Path:
    pictures(place / "cvat/images")
    images = "".join(
        f'<image id="1" name="{name}" width="{SIZE[0]}" height="{SIZE[1]}">'
        + "".join(
            f'<polygon label="{label}" points="{";".join(f"{x},{y}" for x, y in ring)}"/>' for label, ring in shapes
        )
        + "</image>"
        for name, shapes in SHAPES.items()
    )
    (place / "cvat/annotations.xml").write_text(f"<annotations><version>1.1</version>{images}</annotations>")
    return place / "cvat"


def label_studio(place: Path) -> Path:
    pictures(place / "studio/images")

    def result(label: str, ring: Ring) -> dict[str, Any]:
        points = [[100 * x / SIZE[0], 100 * y / SIZE[1]] for x, y in ring]
        value = {"points": points, "polygonlabels": [label]}
        return {"original_width": SIZE[0], "original_height": SIZE[1], "type": "polygonlabels", "value": value}

    tasks = [
        {"id": 1, "annotations": [{"result": [result(*shape) for shape in shapes]}], "data": {"image": name}}
        for name, shapes in SHAPES.items()
    ]
    (place / "studio/export.json").write_text(json.dumps(tasks))
    return place / "studio"


MASKED_SETS: dict[str, Callable[[Path], Path]] = {
    "mask-folder": mask_folder,
    "mask-table": mask_table,
    "cityscapes": cityscapes,
    "coco-masks": coco,
    "yolo-masks": yolo,
    "labelme-masks": labelme,
    "cvat-masks": cvat,
    "label-studio-masks": label_studio,
}
