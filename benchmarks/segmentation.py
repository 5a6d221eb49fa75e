"""Training on masks, and answering with them: the bars of segmentation, both sides in turn in one run.

    python benchmarks/segmentation.py MEMBRANES --measure membranes   # (i)   the default command: IoU of the dark membrane
    python benchmarks/segmentation.py DATA --measure default          # (ii)  the default command on any masks: mIoU
    python benchmarks/segmentation.py DATA --measure epochs           # (iii) seconds an epoch, cached against plain loops
    python benchmarks/segmentation.py DATA --measure accuracy         # (iv)  mIoU of both after the same epochs
    python benchmarks/segmentation.py DATA --measure predict --bundle runs/cells/bundle   # (v) answering a folder

MEMBRANES: the folder of https://github.com/zhixuhao/unet with 30 slices in image/ and their masks in label/ (ISBI 2012): slices
0 to 23 are learned from, 24 to 29 measured on. DATA: the same, or pictures with masks and splits of their own. Every training
runs in a process of its own, from the files to the end of its report.

(iii) The plain loops are ours with `cache.enabled=false`: the same network, head and recipe; every picture is decoded, augmented
      and sent through the backbone in every epoch, in PyTorch: once with the backbone frozen, once with all of it learning.
      Rounds in turn; an epoch counts with its validation; of the cached side those after the views are computed.
(iv) Both really run, the head alone, --epochs each.
(v) Predictor.stream over the test pictures' files, with a mask of each picture's own size, beside ONNX Runtime on ready tensors:
    the columns and the share of predict_speed.py.
Prints JSON. `cpu_seconds`: of a side's own process, of use where other programs disturb the clock.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from predict_speed import measure, ready_tensors
from sides.training import run_apart, trained

HERE = Path(__file__).resolve()
MEASURES = ("membranes", "default", "epochs", "accuracy", "predict")
TEST_FROM = 24
"""The first slice of the membranes that is measured on."""
VIEWS = 4
"""That the cache holds by default: an epoch after as many computes none."""
ALL_OF_IT = 8
"""Stages of EfficientNet-Lite0, and the stem."""


def main() -> None:
    arguments = parse_arguments()
    if arguments.result is not None:
        Path(arguments.result).write_text(json.dumps(our_side(arguments)))
        return
    measures = {"membranes": membranes, "default": default, "epochs": epochs, "accuracy": accuracy, "predict": predict}
    with tempfile.TemporaryDirectory() as folder:
        name, arguments.data = arguments.data.name, prepared(arguments.data.resolve(), Path(folder) / "membranes")
        found = measures[arguments.measure](arguments)
    said = {"measure": arguments.measure, "data": name, "cores": os.cpu_count(), **found}
    text = json.dumps(said, indent=2)
    print(text)
    if arguments.json is not None:
        arguments.json.write_text(text + "\n", encoding="utf-8")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--measure", choices=MEASURES, default="membranes")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="further settings of our side")
    parser.add_argument("--rounds", type=int, default=3, help="of (iii) and (v)")
    parser.add_argument("--plain-epochs", type=int, default=2, help="of a round of (iii)")
    parser.add_argument("--epochs", type=int, default=25, help="of each side of (iv)")
    parser.add_argument("--bundle", type=Path, help="the segmenter of (v)")
    parser.add_argument("--json", type=Path, help="write the result here too")
    parser.add_argument("--result", help=argparse.SUPPRESS)
    return parser.parse_args()


def prepared(data: Path, folder: Path) -> Path:
    """The membranes as links in folders of a split each, dark first; other data as it is."""
    if not ((data / "image").is_dir() and (data / "label").is_dir()):
        return data
    for picture in sorted((data / "image").iterdir()):
        split = "train" if int(picture.stem) < TEST_FROM else "test"
        for source, name in (("image", "images"), ("label", "masks")):
            link = folder / split / name / picture.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(data / source / picture.name)
    (folder / "classes.txt").write_text("membrane\ninside\n")
    return folder


# The measures --------------------------------------------------------------------------------------------------------


def membranes(arguments: argparse.Namespace) -> dict[str, Any]:
    found = run_side(arguments.data, arguments.set)
    return {**found, "bars": {"membrane": 0.63, "seconds": 360}}


def default(arguments: argparse.Namespace) -> dict[str, Any]:
    return run_side(arguments.data, arguments.set)


def epochs(arguments: argparse.Namespace) -> dict[str, Any]:
    alone, few = ["phases.2.epochs=0", *arguments.set], f"phases.1.epochs={arguments.plain_epochs}"
    sides = {
        "cached": [*alone, f"phases.1.epochs={VIEWS + 4}"],
        "plain": [*alone, few, "cache.enabled=false"],
        "all of it": [*alone, few, "cache.enabled=false", f"phases.1.unfreeze={ALL_OF_IT}"],
    }
    rounds = []
    for turn in range(arguments.rounds):
        order = list(sides) if turn % 2 == 0 else list(sides)[::-1]
        seconds = {side: run_side(arguments.data, sides[side])["epoch_seconds"] for side in order}
        rounds.append({side: statistics.median(seconds[side][VIEWS if side == "cached" else 0 :]) for side in sides})
        print(json.dumps(rounds[-1]), file=sys.stderr, flush=True)
    ratios = {side: [each[side] / each["cached"] for each in rounds] for side in sides if side != "cached"}
    return {
        "epoch_seconds": rounds,
        "ratios": ratios,
        "median_ratio": {side: statistics.median(found) for side, found in ratios.items()},
        "bars": {"plain": 2.5, "all of it": 6},
    }


def accuracy(arguments: argparse.Namespace) -> dict[str, Any]:
    same = [f"phases.1.epochs={arguments.epochs}", "phases.2.epochs=0", *arguments.set]
    cached = run_side(arguments.data, same)
    plain = run_side(arguments.data, [*same, "cache.enabled=false"])
    return {"cached": cached, "plain": plain, "difference": cached["test_miou"] - plain["test_miou"], "bar": -0.01}


def predict(arguments: argparse.Namespace) -> dict[str, Any]:
    from pocketvision.bundle import read_bundle
    from pocketvision.data.sources.catalog import read_samples
    from pocketvision.data.splits import SPLITS
    from pocketvision.runtime.predictor import Predictor

    if arguments.bundle is None:
        raise SystemExit("--measure predict needs --bundle")
    bundle, samples = read_bundle(arguments.bundle), read_samples(arguments.data)
    splits = samples.splits
    paths = [samples.file(index) for index in range(len(samples)) if splits is None or SPLITS[splits[index]] == "test"]
    predictor = Predictor(bundle)
    columns = {"pocketvision": lambda paths: list(predictor.stream(paths)), **ready_tensors(bundle, paths)}
    return {"pictures": len(paths), **measure(columns, paths, arguments.rounds), "bar": 0.85}


def run_side(data: Path, settings: list[str]) -> dict[str, Any]:
    return run_apart(HERE, data, [], settings, what=f"the training with {settings}")


def our_side(arguments: argparse.Namespace) -> dict[str, Any]:
    found, test, took = trained(arguments)
    return {
        **took,
        "test_miou": test["miou"],
        "test_iou_by_class": {name: figures["iou"] for name, figures in test["per_class"].items()},
        "validation_miou": [record.val_accuracy for record in found.history],
        "notes": list(found.notes),
    }


if __name__ == "__main__":
    main()
