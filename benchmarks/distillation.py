"""A small network from a random start, taught and alone, on the same pictures, 3 seeds each: test accuracy.

    python benchmarks/distillation.py --out taught

Fashion-MNIST (MIT licence): `--labelled` pictures, a fifth of them for validation, 2,000 others to test on. The
teacher is EfficientNet-Lite0's head in closed form (`--effort quick`) at 96 pixels, on `--teacher-labelled` pictures, the
student's among them. Both students see the same pictures.
"""

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from fashion_mnist import DATA, LABELS, read
from PIL import Image

import pocketvision

TEST = 2000
VAL_SHARE = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=Path("taught"))
    parser.add_argument("--labelled", type=int, default=1000)
    parser.add_argument("--teacher-labelled", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--student", default="small_cnn")
    parser.add_argument("--temperature", type=float, default=4.0)
    parser.add_argument("--alpha", type=float, default=0.9)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    table = write_table(arguments.data, arguments.out, labelled=arguments.labelled, seed=0)
    teacher = arguments.out / "teacher"
    own = write_table(arguments.data, arguments.out, labelled=arguments.teacher_labelled, seed=0)
    found: dict[str, Any] = {"teacher": figure(pocketvision.train(own, out=teacher, effort="quick", size=96))}
    taught = {"distillation.temperature": arguments.temperature, "distillation.alpha": arguments.alpha}
    for name, more in (("alone", {}), ("taught", {"distillation.teacher": str(teacher), **taught})):
        found[name] = [
            figure(
                pocketvision.train(
                    table,
                    out=arguments.out / f"{name}-{seed}",
                    model=arguments.student,
                    weights="none",
                    size=32,
                    seed=seed,
                    settings={"phases.1.epochs": arguments.epochs, "phases.2.epochs": 0, **more},
                )
            )
            for seed in range(arguments.seeds)
        ]
        print(name, found[name], flush=True)
    print(json.dumps({**found, **verdict(found["alone"], found["taught"])}, indent=2))


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
