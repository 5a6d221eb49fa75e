"""How well planted errors are found among boxes: missing, loose, wrongly named, not an object.

    python benchmarks/box_label_errors.py BCCD --out /tmp/planted

A share of the boxes of a data set is made wrong, a quarter each way: taken away; moved and resized to an overlap of 0.35 to 0.65
with itself; given another class; and as many are added where nothing is. The pictures are drawn into two halves, a detector is
trained on each half's wrong boxes by the default command (or by --set), and each half is judged by the detector of the other one.
Boxes that were wrong before count as right. For each kind the list is measured that a person gets, likely errors first and the
greatest doubts first: average precision, in which a planted error that is not in the list is never found; `first`: of as many at
its top as were planted, the share that are planted errors of the kind. Prints JSON.
"""

import argparse
import csv
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.sources.catalog import read_samples
from pocketvision.tasks.detection.overlap import ious
from pocketvision.tasks.detection.truth import DETECTION

KINDS = ("missing", "loose", "wrongly named", "not an object")
LOOSE = (0.35, 0.65)
HEADER = ("path", "label", "x1", "y1", "x2", "y2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="Pictures with boxes, such as BCCD.")
    parser.add_argument(
        "--share", type=float, default=0.12, help="Of the boxes that are made wrong, all kinds together."
    )
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="Settings of the trainings.")
    parser.add_argument(
        "--out", type=Path, required=True, help="Tables and runs; what is trained already is not again."
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    planted = plant(arguments.data, arguments.share, arguments.seed, arguments.out)
    for half in (0, 1):
        train_half(arguments.out, half, arguments.set)
    print(json.dumps(measured(arguments.out, planted), indent=2))


def plant(data: Path, share: float, seed: int, out: Path) -> list[dict[str, Any]]:
    """Writes the tables half0.csv and half1.csv; returns what was done: path, kind, box, label."""
    samples = read_samples(data)
    truth: Any = samples.truth[DETECTION]
    random, names = np.random.default_rng(seed), truth.class_names
    half_of = random.permutation(len(samples)) % 2
    rows: list[list[list[object]]] = [[], []]
    planted: list[dict[str, Any]] = []
    out.mkdir(parents=True, exist_ok=True)
    for index in range(len(samples)):
        path, row = samples.file(index).resolve().as_posix(), truth.rows.row(index)
        boxes, classes = row["boxes"].copy(), row["classes"].astype(np.int64)
        size = boxes[:, 2:].max(axis=0, initial=1)
        kinds = np.where(random.random(len(boxes)) < share, random.integers(0, len(KINDS), len(boxes)), -1)
        kept = list[list[object]]()
        for place, kind in enumerate(kinds.tolist()):
            box, name = boxes[place], names[classes[place]]
            if kind == 0:
                planted.append({"path": path, "kind": KINDS[0], "box": box.tolist(), "label": name})
                continue
            if kind == 1:
                box = loosened(box, random)
            if kind == 2:
                name = names[(classes[place] + random.integers(1, len(names))) % len(names)]
            if kind == 3:  # this one stays, and another is added
                other = nowhere(boxes, size, random)
                if other is not None:
                    planted.append({"path": path, "kind": KINDS[3], "box": other.round(2).tolist(), "label": name})
                    kept.append([path, name, *other.round(2).tolist()])
            if kind in (1, 2):
                planted.append({"path": path, "kind": KINDS[kind], "box": box.round(2).tolist(), "label": name})
            kept.append([path, name, *box.round(2).tolist()])
        rows[half_of[index]] += kept or [[path, *[""] * 5]]
    for half in (0, 1):
        with (out / f"half{half}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([HEADER, *rows[half]])
    return planted


def loosened(box: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """Moved and resized, so that it overlaps itself by LOOSE."""
    sides = np.tile(box[2:] - box[:2], 2)
    while True:
        moved = box + random.uniform(-0.45, 0.45, 4) * sides
        if LOOSE[0] <= float(ious(box[None], moved[None])[0, 0]) <= LOOSE[1] and moved.min() >= 0:
            return moved


def nowhere(
    boxes: NDArray[np.float64], size: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.float64] | None:
    """A box of another one's size that none overlaps by more than a tenth; None where there is no room."""
    for _ in range(100):
        sides = (boxes[random.integers(len(boxes))].reshape(2, 2) * [[-1], [1]]).sum(axis=0)
        corner = random.uniform(0, 1, 2) * np.maximum(size - sides, 0)
        found = np.concatenate([corner, corner + sides])
        if ious(found[None], boxes).max() <= 0.1:
            return found
    return None


def train_half(out: Path, half: int, settings: Sequence[str]) -> None:
    from pocketvision.workflows.train import train

    if not (out / f"run{half}" / "bundle").exists():
        train(out / f"half{half}.csv", out=out / f"run{half}", settings=settings)


def measured(out: Path, planted: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of each kind, over both halves."""
    from pocketvision.evaluation.doubts import doubts_of
    from pocketvision.workflows.answering import open_answering

    listed: dict[str, list[tuple[bool, float, bool]]] = {kind: [] for kind in KINDS}  # likely, doubt, is one
    labels = 0
    started = time.process_time()
    for half in (0, 1):
        samples = read_samples(out / f"half{half}.csv")
        found = doubts_of([open_answering(out / f"run{1 - half}" / "bundle")], [None], samples)[0]
        waiting: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for each in planted:
            waiting.setdefault((each["kind"], each["path"]), []).append(each)
        for doubt in found.doubts:
            labels += doubt.box is not None
            own = waiting.get((doubt.kind, samples.paths[found.places[doubt.image]]), [])
            box = doubt.answer_box if doubt.box is None else doubt.box
            overlaps = ious([box], [each["box"] for each in own])[0] if own else np.zeros(0)
            hit = len(overlaps) > 0 and overlaps.max() >= (0.5 if doubt.box is None else 0.99)
            if hit:
                own.pop(int(overlaps.argmax()))
            listed[doubt.kind].append((doubt.likely, doubt.doubt, bool(hit)))
    seconds = time.process_time() - started
    counts = {kind: sum(each["kind"] == kind for each in planted) for kind in KINDS}
    figures = {kind: _figures(listed[kind], counts[kind]) for kind in KINDS}
    return {"labels": labels, "seconds": seconds, "kinds": figures}


def _figures(listed: list[tuple[bool, float, bool]], planted: int) -> dict[str, Any]:
    ranked = sorted(listed, key=lambda each: (-each[0], -each[1]))
    right = np.array([each[2] for each in ranked], np.bool_)
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    likely = np.array([each[0] for each in ranked], np.bool_)
    return {
        "planted": planted,
        "average_precision": float(precision[right].sum() / max(planted, 1)),
        "first": float(right[:planted].mean()),
        "likely": int(likely.sum()),
        "found_of_likely": int(right[likely].sum()),
    }


if __name__ == "__main__":
    main()
