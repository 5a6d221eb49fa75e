"""The same small set of pictures with boxes in every format that is read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

Boxes = list[tuple[str, tuple[float, float, float, float]]]

NAMES = ("a", "b")
SIZE = (48, 40)
SETS: dict[str, Boxes] = {
    f"{number}.png": [("a" if number % 2 else "b", (2.5, 3, 20.25, 30)), ("a", (20, 10, 40 - number, 35))][
        : number % 3 + 1
    ]
    for number in range(8)
}
SETS["7.png"] = []
"""By picture: class and corners."""


def pictures(folder: Path, names: Any = SETS, size: tuple[int, int] = SIZE) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        image = Image.new("RGB", size, (40 * number % 255, 90, 30))
        image.paste((255, 255, 255), (number * 4, 5, number * 4 + 9, 30))
        image.save(folder / name)
    return folder


def coco(place: Path) -> Path:
    pictures(place / "coco/images")
    names = [*SETS]
    document = {
        "info": {"year": 2024},
        "images": [{"id": n, "file_name": name, "width": SIZE[0], "height": SIZE[1]} for n, name in enumerate(names)],
        "annotations": [
            {"id": 9, "image_id": n, "category_id": NAMES.index(label) + 3, "bbox": [x, y, r - x, b - y], "iscrowd": 0}
            for n, name in enumerate(names)
            for label, (x, y, r, b) in SETS[name]
        ],
        "categories": [{"id": 3, "name": "a"}, {"id": 4, "name": "b"}],
    }
    (place / "coco/boxes.json").write_text(json.dumps(document))
    return place / "coco"


def rows(boxes: Boxes, numbers: dict[str, int]) -> str:
    lines = []
    for label, (x, y, r, b) in boxes:
        shares = ((x + r) / 2 / SIZE[0], (y + b) / 2 / SIZE[1], (r - x) / SIZE[0], (b - y) / SIZE[1])
        lines.append(f"{numbers[label]} " + " ".join(f"{share:.9f}" for share in shares))
    return "\n".join(lines)


def yolo(place: Path) -> Path:
    pictures(place / "yolo/images/train")
    (place / "yolo/labels/train").mkdir(parents=True, exist_ok=True)
    for name, boxes in SETS.items():
        if boxes:  # an image without a text file is a background
            (place / f"yolo/labels/train/{name[:-4]}.txt").write_text(rows(boxes, {"a": 0, "b": 1}))
    (place / "yolo/data.yaml").write_text("path: .\ntrain: images/train\nnames: [a, b]\n")
    return place / "yolo"


def voc_file(name: str, boxes: Boxes, size: tuple[int, int] = SIZE, further: str = "") -> str:
    objects = "".join(
        f"<object><name>{label}</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin><xmax>{r}</xmax><ymax>{b}</ymax></bndbox></object>"
        for label, (x, y, r, b) in boxes
    )
    return (
        f"<annotation><filename>{name}</filename><size><width>{size[0]}</width><height>{size[1]}</height></size>"
        f"{further}{objects}</annotation>"
    )


def voc(place: Path) -> Path:
    pictures(place / "voc/JPEGImages")
    (place / "voc/Annotations").mkdir(exist_ok=True)
    for name, boxes in SETS.items():
        (place / f"voc/Annotations/{name[:-4]}.xml").write_text(voc_file(name, boxes))
    return place / "voc"


def labelme(place: Path) -> Path:
    pictures(place / "labelme")
    for name, boxes in SETS.items():
        shapes = [
            {"label": label, "points": [[x, b], [r, y]], "shape_type": "rectangle"} for label, (x, y, r, b) in boxes
        ]
        document = {"version": "5", "shapes": shapes, "imagePath": name, "imageWidth": SIZE[0], "imageHeight": SIZE[1]}
        (place / f"labelme/{name[:-4]}.json").write_text(json.dumps(document))
    return place / "labelme"


def cvat(place: Path) -> Path:
    pictures(place / "cvat/images")
    images = "".join(
        f'<image id="1" name="{name}" width="{SIZE[0]}" height="{SIZE[1]}">'
        + "".join(f'<box label="{label}" xtl="{x}" ytl="{y}" xbr="{r}" ybr="{b}"/>' for label, (x, y, r, b) in boxes)
        + "</image>"
        for name, boxes in SETS.items()
    )
    labels = "".join(f"<label><name>{name}</name></label>" for name in NAMES)
    text = (
        f"<annotations><version>1.1</version><meta><task><labels>{labels}</labels></task></meta>{images}</annotations>"
    )
    (place / "cvat/annotations.xml").write_text(text)
    return place / "cvat"


def label_studio(place: Path) -> Path:
    pictures(place / "studio/images")

    def result(label: str, corners: tuple[float, float, float, float]) -> dict[str, Any]:
        x, y, r, b = (100 * side / SIZE[place % 2] for place, side in enumerate(corners))
        value = {"x": x, "y": y, "width": r - x, "height": b - y, "rotation": 0, "rectanglelabels": [label]}
        return {"original_width": SIZE[0], "original_height": SIZE[1], "type": "rectanglelabels", "value": value}

    tasks = [
        {
            "id": 1,
            "annotations": [{"result": [result(*box) for box in boxes]}],
            "data": {"image": f"/data/upload/1/0a1b2c3d-{name}"},
        }
        for name, boxes in SETS.items()
    ]
    (place / "studio/export.json").write_text(json.dumps(tasks))
    return place / "studio"


def open_images(place: Path) -> Path:
    pictures(place / "open/images")
    lines = ["ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsGroupOf"]
    for name, boxes in SETS.items():
        for label, (x, y, r, b) in boxes:
            sides = x / SIZE[0], r / SIZE[0], y / SIZE[1], b / SIZE[1]
            lines.append(f"{name[:-4]},x,/m/0{label},1," + ",".join(f"{side:.9f}" for side in sides) + ",0")
    (place / "open/boxes.csv").write_text("\n".join(lines))
    (place / "open/class-descriptions-boxable.csv").write_text("/m/0a,a\n/m/0b,b\n")
    return place / "open"


def box_table(place: Path) -> Path:
    pictures(place / "table/images")
    lines = ["path,label,x1,y1,x2,y2"]
    for name, boxes in SETS.items():
        lines += [",".join([name, label, *map(str, corners)]) for label, corners in boxes] or [f"{name},,,,,"]
    (place / "table/boxes.csv").write_text("\n".join(lines))
    return place / "table/boxes.csv"


DRAWN_SETS: dict[str, Callable[[Path], Path]] = {
    "coco": coco,
    "yolo": yolo,
    "voc": voc,
    "labelme": labelme,
    "cvat": cvat,
    "label-studio": label_studio,
    "open-images": open_images,
    "box-table": box_table,
}
