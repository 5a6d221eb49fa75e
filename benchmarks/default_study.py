"""What the default training should be: variants of the recipe on three sets and several seeds, single crop at test time.

    python benchmarks/default_study.py --data DATA --work study --out benchmarks/default_study.json

Each set gives 800 training and 200 validation pictures, drawn by the seed, and its test pictures: clothing 372 (the author's
split, 160 pixels), sign_digits 412 (a random fifth, 128 pixels), fashion 1,000 (of Fashion-MNIST's test, 96 pixels;
fashion_mnist.py says where it comes from). A variant is settings in place of the default's (VARIANTS). Views are cached in --work
and shared by the variants, so that `learning` is the CPU time of what differs: solving and steps. Results are added to --out as
they come, and what is there is not run again.
"""

import argparse
import json
import time
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from solved_head_study import samples_of

from pocketvision.atomic_files import write_json
from pocketvision.data.audit import audit
from pocketvision.data.samples import SPLITS, Samples
from pocketvision.models.weights import load_pretrained
from pocketvision.progress import silent
from pocketvision.training.feeding import make_inputs
from pocketvision.training.inputs import CachedInputs
from pocketvision.training.learned_tasks import head_specs
from pocketvision.training.phase_models import cuts_of
from pocketvision.training.phases import train_phases
from pocketvision.training.precision import PRECISIONS, resolve_precision
from pocketvision.training.recipe import Recipe
from pocketvision.training.run_log import RunLog
from pocketvision.training.setting_values import applied, given_settings
from pocketvision.training.training_data import TrainingData

SIZES = {"clothing": 160, "sign_digits": 128, "fashion": 96}
TRAINING, VALIDATION, TEST = 800, 200, 1000

TODAY = {
    "phases.1.solver": "gradient", "phases.1.epochs": 15, "phases.*.patience": 7, "model.head": "linear",
    "phases.2.epochs": 20, "phases.2.lr": 1e-4, "phases.2.unfreeze": 3, "schedule.name": "plateau",
}  # fmt: skip
SOLVED = {
    "phases.1.solver": "ridge", "phases.1.epochs": 1, "model.head": "multiscale_linear",
    "phases.2.unfreeze": 3, "phases.2.epochs": 12, "phases.2.lr": 3e-4, "phases.2.patience": 100, "schedule.name": "cosine",
}  # fmt: skip


def whole(lr: float) -> dict[str, Any]:
    """Full fine-tuning by the plain loop: every layer learns from images, new views in every epoch."""
    return {
        **TODAY,
        "phases.1.unfreeze": 8,
        "phases.2.unfreeze": 8,
        "phases.1.epochs": 12,
        "phases.1.lr": lr,
        "phases.2.epochs": 0,
        "schedule.name": "cosine",
    }


def solved(**changes: Any) -> dict[str, Any]:
    """SOLVED with changes; a double underscore is a dot."""
    return {
        **SOLVED,
        **{name.replace("__", ".").replace("phase2", "phases.2"): value for name, value in changes.items()},
    }


VARIANTS: dict[str, Mapping[str, Any]] = {
    "15 + 20, plateau": TODAY,
    "3 + 2, plateau": {**TODAY, "phases.1.epochs": 3, "phases.2.epochs": 2},
    "solved": solved(phase2__epochs=0),
    "solved + 6": solved(phase2__epochs=6),
    "solved + 12": solved(),
    "solved + 24": solved(phase2__epochs=24),
    "lr 1e-4": solved(phase2__lr=1e-4),
    "lr 1e-3": solved(phase2__lr=1e-3),
    "linear head": solved(model__head="linear"),
    "warm-up 0.1": solved(schedule__warmup=0.1),
    "one-cycle": solved(schedule__name="one_cycle"),
    "Adam": solved(optimizer__name="adam"),
    "last 2 stages": solved(phase2__unfreeze=2),
    "last 5 stages": solved(phase2__unfreeze=5),
    "layer decay 0.7": solved(optimizer__layer_decay=0.7),
    "no average": solved(regularisation__ema=0.0),
    "long average": solved(regularisation__ema=0.98),
    "smoothing 0.1": solved(regularisation__label_smoothing=0.1),
    "MixUp 0.2": solved(regularisation__mixup=0.2),
    "CutMix 1": solved(regularisation__cutmix=1.0),
    "8 views": solved(cache__views=8),
    "2 views": solved(cache__views=2),
    "everything, lr 1e-4": whole(1e-4),
    "everything, lr 3e-4": whole(3e-4),
    "everything, lr 1e-3": whole(1e-3),
}


def split(name: str, samples: Samples, seed: int) -> Samples:
    """The set's pictures of one study: `TRAINING` and `VALIDATION` drawn by the seed, and the test."""
    rng = np.random.default_rng(seed)
    if name == "sign_digits":
        order = rng.permutation(len(samples))
        test, rest = order[: len(order) // 5], order[len(order) // 5 :]
    elif name == "clothing":
        test, rest = samples.split_indices("test"), rng.permutation(samples.split_indices("train"))
    else:
        test, rest = samples.split_indices("test")[::2][:TEST], rng.permutation(samples.split_indices("train"))
    parts = (rest[:TRAINING], rest[TRAINING : TRAINING + VALIDATION], test)
    chosen: NDArray[np.int64] = np.concatenate(parts)
    return samples.select(chosen).with_splits(
        np.repeat(np.arange(len(SPLITS)), [len(part) for part in parts]).astype(np.int8)
    )


def run(name: str, data: TrainingData, recipe: Recipe, work: Path) -> dict[str, float]:
    """One training: accuracy on the test and the validation, and the CPU seconds of learning, without the views."""
    pretrained = load_pretrained(recipe.model.name)
    network, preprocessing = pretrained.network, pretrained.preprocessing.with_size(SIZES[name])
    torch.manual_seed(recipe.seed)
    is_solved = any(phase.solver == "ridge" for phase in recipe.phases)
    network.set_heads(head_specs(data.learned, recipe.model.dropout, head=recipe.model.head, solved=is_solved))
    phases, log = recipe.phase_settings(), RunLog(work / "log.jsonl", silent)
    entries, validation, test = (data.entries(split) for split in SPLITS)
    inputs = make_inputs(
        recipe, data, network.eval(), preprocessing,
        cuts=set(cuts_of(network, phases, from_scratch=False)),
        entries=entries, validation=validation, folder=work / f"cache-{name}", log=log,
    )  # fmt: skip

    first = next(iter(inputs.values()))
    if isinstance(first, CachedInputs):
        every = [(int(row), view) for row in entries.samples for view in range(recipe.cache.views)]
        first.fill(network.features_read, [*every, *((int(row), 0) for row in validation.samples)])
    started = time.process_time()
    trained = train_phases(
        network, inputs, entries=entries, validation=validation, phases=phases, objective=data.objective(recipe),
        seed=recipe.seed, precision=PRECISIONS[resolve_precision("auto")], name_of=str, checkpoints=None,
    )  # fmt: skip
    seconds = time.process_time() - started
    assert trained.best is not None
    images = first.images
    right = 0
    for start in range(0, len(test.samples), 32):
        rows = test.samples[start : start + 32]
        with torch.no_grad():
            shown = torch.from_numpy(np.concatenate([images.load([(row, 0)]) for row in rows.tolist()]))
            logits = network(shown.to(memory_format=torch.channels_last))
        right += int((logits.argmax(1).numpy() == data.samples.labels[rows]).sum())
    return {"test": right / len(test.samples), "validation": trained.best.val_accuracy, "learning": round(seconds, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("study"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/default_study.json"))
    parser.add_argument("--sets", default=",".join(SIZES))
    parser.add_argument("--variants", default="", help="these alone, separated by semicolons")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    asked = [each for each in VARIANTS if each in arguments.variants.split(";") or not arguments.variants]
    for seed, name in product(range(arguments.seeds), arguments.sets.split(",")):
        missing = [each for each in asked if str(seed) not in results.get(each, {}).get(name, {})]
        if not missing:
            continue
        samples = split(name, samples_of(name, arguments.data, arguments.work), seed)
        data = TrainingData(samples, np.arange(len(samples)), audit(samples))
        for variant in missing:
            recipe = applied(Recipe(), given_settings({**VARIANTS[variant], "seed": seed}))
            found = run(name, data, recipe, arguments.work)
            results.setdefault(variant, {}).setdefault(name, {})[str(seed)] = found
            write_json(arguments.out, results)
            print(name, seed, variant, found, flush=True)
    for variant, by_set in results.items():
        means = [np.mean([each["test"] for each in by_set[name].values()]) for name in SIZES if name in by_set]
        print(variant, *(f"{100 * mean:.1f}" for mean in means))


if __name__ == "__main__":
    main()
