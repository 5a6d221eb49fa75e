"""A small network from a random start, taught and alone, with the same labels, 3 seeds each: test accuracy.

    python benchmarks/distillation.py --out taught [--unlabelled 4000]

Fashion-MNIST (MIT licence): `--labelled` pictures, a fifth of them for validation, 2,000 others to test on. The
teacher is the default training (EfficientNet-Lite0, pre-trained) at 96 pixels, on `--teacher-labelled` pictures, the
student's among them; by default they are the student's, so that nobody sees more labels. Taught students learn from
`--unlabelled` further pictures besides, without labels, for `--taught-epochs` epochs, the others for `--epochs`. Begun anew
in the same folder, it goes on: trainings that are finished are not repeated.
"""

import argparse
import csv
import json
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from fashion_mnist import DATA, LABELS, read
from PIL import Image

import pocketvision
from pocketvision.atomic_files import write_json

SIZE = 32
TEST = 2000
VAL_SHARE = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=Path("taught"))
    parser.add_argument("--labelled", type=int, default=800)
    parser.add_argument("--teacher-labelled", type=int, help="as many as the student, unless given")
    parser.add_argument("--teacher-effort", choices=("quick", "default"), default="default")
    parser.add_argument("--unlabelled", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--taught-epochs", type=int, default=20)
    parser.add_argument("--student", default="small_cnn")
    parser.add_argument("--temperature", type=float, default=2.0)
    parser.add_argument("--alpha", type=float, default=0.9)
    parser.add_argument("--views", type=int, default=4, help="of a picture, that the teacher answers")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    kept = Kept(arguments.out / "figures.json")
    table = write_table(arguments.data, arguments.out, labelled=arguments.labelled, seed=0)
    own = write_table(arguments.data, arguments.out, labelled=arguments.teacher_labelled or arguments.labelled, seed=0)
    teacher, effort = arguments.out / "teacher", arguments.teacher_effort
    found: dict[str, Any] = {
        "teacher": kept("teacher", lambda: figure(pocketvision.train(own, out=teacher, effort=effort, size=96)))
    }
    taught = {
        "distillation.teacher": str(teacher),
        "distillation.temperature": arguments.temperature,
        "distillation.alpha": arguments.alpha,
        "distillation.views": arguments.views,
    }
    if arguments.unlabelled:
        folder = write_unlabelled(arguments.data, arguments.out, arguments.unlabelled)
        taught["distillation.unlabelled"] = str(folder)
    options = {"model": arguments.student, "weights": "none", "size": SIZE}

    def trained(name: str, seed: int, settings: dict[str, Any]) -> float:
        out = arguments.out / f"{name}-{seed}"
        shutil.rmtree(out, ignore_errors=True)
        return figure(pocketvision.train(table, out=out, seed=seed, settings=settings, **options))

    for name, epochs, more in (("alone", arguments.epochs, {}), ("taught", arguments.taught_epochs, taught)):
        own_settings = {"phases.1.epochs": epochs, "phases.2.epochs": 0, **more}
        found[name] = [
            kept(f"{name}-{seed}", partial(trained, name, seed, own_settings)) for seed in range(arguments.seeds)
        ]
        print(name, found[name], flush=True)
    print(json.dumps({**found, **verdict(found["alone"], found["taught"])}, indent=2))


class Kept:
    """Figures in a file, so that a run that was broken off goes on."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._figures = json.loads(file.read_text()) if file.exists() else {}

    def __call__(self, name: str, make: Callable[[], float]) -> float:
        """The figure of that name, made where it is not there."""
        if name not in self._figures:
            self._figures[name] = make()
            write_json(self._file, self._figures)
            print(name, self._figures[name], flush=True)
        return float(self._figures[name])


def figure(result: Any) -> float:
    """Of the test images."""
    return float(result.evaluations[-1].metrics.headline.value)


def write_table(data: Path, out: Path, *, labelled: int, seed: int) -> Path:
    """`labelled` training images, as many of each class, a fifth of them for validation, and the first TEST test images."""
    random = np.random.default_rng(seed)
    pictures, labels = read(data, "train")
    each = labelled // len(LABELS)
    rows: list[tuple[str, str, str]] = []
    for place, name in enumerate(LABELS):
        chosen = random.permutation(np.flatnonzero(labels == place))[:each]
        for number, index in enumerate(chosen.tolist()):
            split = "val" if number < VAL_SHARE * each else "train"
            rows.append((_saved(out, f"train-{index:05d}", pictures[index]), name, split))
    tested, truth = read(data, "t10k")
    rows += [(_saved(out, f"test-{index:05d}", tested[index]), LABELS[truth[index]], "test") for index in range(TEST)]
    table = out / f"labelled-{labelled}-{seed}.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    return table


def write_unlabelled(data: Path, out: Path, count: int) -> Path:
    """The first `count` training images in one folder."""
    folder = out / f"unlabelled-{count}"
    folder.mkdir(parents=True, exist_ok=True)
    pictures, _ = read(data, "train")
    for index in range(count):
        Image.fromarray(pictures[index]).save(folder / f"{index:05d}.png")
    return folder


def verdict(alone: Sequence[float], helped: Sequence[float]) -> dict[str, float | bool]:
    """Of test figures of the same seeds: the gain of the means, the spread (largest less smallest) of either, and whether the
    gain is more than the larger spread."""
    gain = float(np.mean(helped) - np.mean(alone))
    spread = max(max(each) - min(each) for each in (alone, helped))
    return {"gain": gain, "spread": spread, "more_than_the_spread": gain > spread}


def _saved(out: Path, name: str, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> str:
    path = out / "pictures" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        Image.fromarray(pixels).save(path)
    return str(path.relative_to(out))


if __name__ == "__main__":
    main()
