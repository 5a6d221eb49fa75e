"""One network for several tasks against a network each, trained for the same time on the same composed scenes.

    python benchmarks/several_tasks.py --minutes 4 --out scenes-benchmark

Scenes of 320 x 240 pixels: one of four grounds (classification), one to four shapes of three kinds on it (detection) and their
pixels (segmentation), which kinds there are (tags, where `--tasks` names them). `--pictures` are learned from, a quarter as many
measured. The joint network and each single one (`--task`) are trained by the default command for `--minutes` each, at one input
size. Prints JSON: the figure of each task jointly and alone on the test split, the points that it loses, and one image's latency
in ONNX Runtime, in turns: of the joint network as a share of the slowest single one.
"""

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import pocketvision
from pocketvision.bundle import Bundle
from pocketvision.evaluation.latency import measure_latency
from pocketvision.runtime.backends import open_onnx

WIDTH, HEIGHT = 320, 240
GROUNDS = {"grass": (70, 120, 60), "night": (25, 25, 50), "sand": (190, 170, 120), "snow": (225, 230, 235)}
SHAPES = ("circle", "square", "triangle")
SOURCES = {
    "classification": "classification.csv",
    "tags": "tags.csv",
    "detection": "detection.json",
    "segmentation": "segmentation.csv",
}
TASKS = ("classification", "detection", "segmentation")


def scene(rng: np.random.Generator, ground: str) -> tuple[Image.Image, Image.Image, list[tuple[int, list[float]]]]:
    """A picture, its mask (0 the ground, then the shapes' kinds), and its shapes: the kind and left, top, width, height. No two
    touch: each has a quarter of its own."""
    noise = rng.normal(0, 14, (HEIGHT // 4, WIDTH // 4, 3)).repeat(4, 0).repeat(4, 1) + rng.normal(
        0, 8, (HEIGHT, WIDTH, 3)
    )
    picture = Image.fromarray((np.array(GROUNDS[ground]) + noise).clip(0, 255).astype(np.uint8))
    mask, shapes = Image.new("L", (WIDTH, HEIGHT)), []
    pens = ImageDraw.Draw(picture), ImageDraw.Draw(mask)
    for quarter in rng.permutation(4)[: rng.integers(1, 5)].tolist():
        kind, side = int(rng.integers(3)), float(rng.integers(24, 80))
        left = (quarter % 2) * WIDTH / 2 + rng.uniform(0, WIDTH / 2 - side)
        top = (quarter // 2) * HEIGHT / 2 + rng.uniform(0, HEIGHT / 2 - side)
        box, fill = (left, top, left + side, top + side), tuple(rng.integers(0, 256, 3).tolist())
        for pen, colour in zip(pens, (fill, kind + 1), strict=True):
            if kind == 0:
                pen.ellipse(box, fill=colour)
            elif kind == 1:
                pen.rectangle(box, fill=colour)
            else:
                pen.polygon([(left, top + side), (left + side, top + side), (left + side / 2, top)], fill=colour)
        shapes.append((kind, [left, top, side, side]))
    return picture, mask, shapes


def write_scenes(folder: Path, count: int, tasks: Sequence[str]) -> Path:
    """`count` scenes to learn from and a quarter as many to measure on, a source for each task, and the file that names those of
    `tasks`."""
    (folder / "masks").mkdir(parents=True)
    rng, grounds = np.random.default_rng(0), [*GROUNDS]
    tables: dict[str, list[list[str]]] = {"classification": [], "tags": [], "segmentation": []}
    images: list[dict[str, Any]] = []
    boxes: list[dict[str, Any]] = []
    for number in range(count + count // 4):
        name, split, ground = f"{number}.jpg", "train" if number < count else "test", grounds[number % len(grounds)]
        picture, mask, shapes = scene(rng, ground)
        picture.save(folder / name, quality=92)
        mask.save(folder / f"masks/{number}.png")
        kinds = sorted({SHAPES[kind] for kind, _ in shapes})
        tables["classification"].append([name, ground, split])
        tables["tags"].append([name, ";".join(kinds), split])
        tables["segmentation"].append([name, f"masks/{number}.png", split])
        images.append({"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT})
        for kind, box in shapes:
            boxes.append(
                {"id": len(boxes), "image_id": number, "category_id": kind, "bbox": box, "area": box[2] * box[3]}
            )
    columns = {"classification": "label", "tags": "tags", "segmentation": "mask"}
    for task, rows in tables.items():
        with (folder / SOURCES[task]).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([["path", columns[task], "split"], *rows])
    (folder / "classes.txt").write_text("\n".join(["ground", *SHAPES]), encoding="utf-8")
    categories = [{"id": place, "name": name} for place, name in enumerate(SHAPES)]
    document = {"images": images, "annotations": [{**each, "iscrowd": 0} for each in boxes], "categories": categories}
    (folder / SOURCES["detection"]).write_text(json.dumps(document), encoding="utf-8")
    named = "".join(f'{task} = "{SOURCES[task]}"\n' for task in tasks)
    (folder / "pocketvision.toml").write_text(f"[tasks]\n{named}", encoding="utf-8")
    return folder


def latencies(bundles: dict[str, Bundle], images: NDArray[np.float32]) -> dict[str, float]:
    """Milliseconds of one image, the median, by the bundles' names."""
    runs = {name: open_onnx(bundle.path("model.onnx")).run for name, bundle in bundles.items()}
    return {name: round(each.latency_ms, 3) for name, each in measure_latency(runs, images, seconds=3.0).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("several-tasks"))
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=[*SOURCES])
    parser.add_argument("--weights", default="equal", help="loss.weights")
    options = parser.parse_args()
    data = write_scenes(options.out / "scenes", options.pictures, options.tasks)
    figures, bundles = dict[str, dict[str, float]](), dict[str, Bundle]()
    for name in ("joint", *options.tasks):
        joint = name == "joint"
        run = pocketvision.train(
            data,
            task=None if joint else name,
            out=options.out / name,
            minutes=options.minutes,
            size=options.size,
            settings={"loss.weights": options.weights} if joint else None,
        )
        test = run.evaluations[-1].tasks
        figures[name] = {task: round(each.metrics.headline.value, 4) for task, each in test.items()}
        bundles[name] = run.bundle
    found = latencies(bundles, bundles["joint"].golden()["images"][:1])
    alone = {task: figures[task][task] for task in options.tasks}
    print(
        json.dumps(
            {
                "minutes": options.minutes,
                "joint": figures["joint"],
                "alone": alone,
                "points_lost": {task: round(100 * (alone[task] - figures["joint"][task]), 2) for task in options.tasks},
                "latency_ms": found,
                "latency_of_slowest": round(found["joint"] / max(found[task] for task in options.tasks), 3),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
