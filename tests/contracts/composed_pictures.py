"""Pictures with five kinds of truth, drawn by NumPy: their colour, their marks, how bright they are, squares on them, and which
pixels those have."""

import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = ("blue", "green", "red")
MARKS = ("bar", "frame")
SQUARES = ("black", "white")
SIZE = (64, 48)
SIDE = 16


def write_pictures(folder: Path, count: int, seed: int = 0) -> dict[str, Path]:
    """`count` pictures, and beside them a source for each kind of task, by its name. Of every fifth picture the colour is not
    said, of every seventh the brightness."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    rows: dict[str, list[list[object]]] = {"classification": [], "tags": [], "number": [], "segmentation": []}
    images, annotations = [], []
    (folder / "masks").mkdir()
    for number in range(count):
        name, colour = f"{number}.png", int(generator.integers(3))
        tint, level = np.eye(3)[2 - colour], generator.uniform(20, 130)
        pixels = generator.normal(level, 4, (SIZE[1], SIZE[0], 3)) + 70 * tint
        brightness = float(pixels.mean() / 2.55)
        marked = generator.random(2) < 0.5
        if marked[0]:
            pixels[:, 28:34] = (200, 200, 40)
        if marked[1]:
            pixels[:3], pixels[-3:], pixels[:, :3], pixels[:, -3:] = 4 * [(40, 200, 200)]
        mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
        images.append({"id": number, "file_name": name, "width": SIZE[0], "height": SIZE[1]})
        for column in generator.permutation(3)[: 1 + number % 2].tolist():
            kind, left, top = int(generator.integers(2)), 4 + 20 * column, int(generator.integers(4, 28))
            pixels[top : top + SIDE, left : left + SIDE] = 250 * kind
            mask[top : top + SIDE, left : left + SIDE] = 1 + kind
            box = {"bbox": [left, top, SIDE, SIDE], "category_id": kind, "area": SIDE * SIDE, "iscrowd": 0}
            annotations.append({"id": len(annotations), "image_id": number, **box})
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name)
        Image.fromarray(mask).save(folder / "masks" / name)
        if number % 6 != 5:
            rows["segmentation"].append([name, f"masks/{name}"])
        if number % 5 != 4:
            rows["classification"].append([name, COLOURS[colour]])
        if number % 7 != 6:
            rows["number"].append([name, f"{brightness:.3f}"])
        rows["tags"].append(
            [name, ";".join(mark for mark, is_in in zip(MARKS, marked.tolist(), strict=True) if is_in) or "[]"]
        )
    (folder / "classes.txt").write_text("\n".join(["ground", *SQUARES]), encoding="utf-8")
    columns = {"classification": "label", "tags": "tags", "number": "label", "segmentation": "mask"}
    found = {task: _table(folder / f"{task}.csv", columns[task], own) for task, own in rows.items()}
    categories = [{"id": place, "name": name} for place, name in enumerate(SQUARES)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    boxes = folder / "boxes.json"
    boxes.write_text(json.dumps(document), encoding="utf-8")
    return found | {"detection": boxes}


def _table(path: Path, column: str, rows: list[list[object]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["path", column], *rows])
    return path


def write_tasks(folder: Path, sources: dict[str, Path]) -> Path:
    """The file that names them; the loss of the last counts twice."""
    text = "".join(f'[tasks.{task}]\nsource = "{path.name}"\n' for task, path in sources.items()) + "weight = 2.0\n"
    (folder / "pocketvision.toml").write_text(text, encoding="utf-8")
    return folder
