"""A head in closed form on several stages against the trained one, single crop at test time, over three sets and five seeds.

    python benchmarks/solved_head_study.py --data DATA --work study --out benchmarks/solved_head_study.json

Features of every set are computed once (four views of a training picture, one of a test picture) and kept in --work; results
are added to --out as they come, and what is there already is not run again. clothing: the author's split, 224 pixels.
sign_digits: a random fifth to test, 128 pixels. fashion: the first 5,000 training pictures of Fashion-MNIST and the first 2,000
of its test, 96 pixels (fashion_mnist.py says where they come from). A tenth of what is not test (the author's own on clothing) is
validation.

`trained`: phase 1 of the default, 15 epochs of the linear head alone. `solved`: what the solver ridge does with four views of
a picture, and with the clean view alone. Seeds draw the split; on clothing the trained head's
random numbers alone.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import fashion_mnist
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from pocketvision.atomic_files import write_json
from pocketvision.data.samples import Samples
from pocketvision.data.sources.catalog import read_samples
from pocketvision.models.features import MAX, POOL
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.network import Network
from pocketvision.models.weights import load_pretrained
from pocketvision.training.inputs import ImageViews, Names, Row
from pocketvision.training.learned_tasks import objective_of
from pocketvision.training.phases import Entries, train_phases
from pocketvision.training.settings import PhaseSettings
from pocketvision.training.trunk_runtime import RUNTIME_BATCH, compile_trunk

MODEL, VIEWS = "efficientnet_lite0", 4
LEVELS = ("stage2", "stage3", "stage4", "stage5", "stage6", "head_conv")
NAMES = tuple(over + level for level in LEVELS for over in (POOL, MAX))
SIZES = {"clothing": 224, "sign_digits": 128, "fashion": 96}

Features = dict[str, NDArray[np.float32]]


def samples_of(name: str, data: Path, work: Path) -> Samples:
    """The set's pictures with their classes, and its splits where it has any."""
    if name == "clothing":
        return read_samples(data / "clothing")
    if name == "sign_digits":
        return read_samples(data / "sign_digits" / "Dataset")
    folder = work / "fashion-pictures"
    if not folder.exists():
        for part, count in (("train", 5000), ("t10k", 2000)):
            pictures, labels = fashion_mnist.read(fashion_mnist.DATA, part)
            for index in range(count):
                kept = folder / ("train" if part == "train" else "test") / fashion_mnist.LABELS[labels[index]]
                kept.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pictures[index]).save(kept / f"{index:05d}.png")
    return read_samples(folder)


def features_of(name: str, samples: Samples, network: Network, work: Path) -> Features:
    """(pictures, VIEWS, channels) float32 of each of NAMES; of test pictures the clean view alone, repeated."""
    path = work / f"{name}.npz"
    if not path.exists():
        size = SIZES[name]
        hashes = [hashlib.blake2b(samples.file(i).read_bytes(), digest_size=16).digest() for i in range(len(samples))]
        preprocessing = load_pretrained(MODEL).preprocessing.with_size(size)
        images = ImageViews(samples, np.array(hashes, "V16"), preprocessing, "standard", seed=0)
        cut = len(network.stages)
        runtime = compile_trunk(network, cut, NAMES, height=size, width=size, folder=work / f"trunk-{size}")
        test = set(samples.split_indices("test").tolist()) if samples.splits is not None else set()
        found: dict[str, list[NDArray[np.float32]]] = {each: [] for each in NAMES}
        rows = [(i, 0 if i in test else view) for i in range(len(samples)) for view in range(VIEWS)]
        for start in range(0, len(rows), RUNTIME_BATCH):
            batch = rows[start : start + RUNTIME_BATCH]
            distinct = {row: place for place, row in enumerate(dict.fromkeys(batch))}
            loaded = np.concatenate([images.load([row]) for row in distinct])
            kept = runtime.trunk(loaded)
            kept |= runtime.tail(kept["cut"])
            for each in NAMES:
                found[each].append(kept[each][[distinct[row] for row in batch]])
        joined = {each: np.concatenate(parts).reshape(len(samples), VIEWS, -1) for each, parts in found.items()}
        np.savez(path, **joined)
    with np.load(path) as stored:
        return {each: stored[each] for each in NAMES}


@dataclass(frozen=True, eq=False)
class StoredInputs:
    """Features that were computed before, as inputs of a phase (training/inputs.py)."""

    images: ImageViews
    features: Features
    most_views: int = VIEWS

    def views(self, names: Names) -> int:
        del names
        return 1

    def batches(self, names: Names, batches: Iterable[Sequence[Row]]) -> Iterator[dict[str, torch.Tensor]]:
        for rows in batches:
            pictures, views = np.array(rows, np.int64).T
            yield {name: torch.from_numpy(self.features[_STORED.get(name, name)][pictures, views]) for name in names}


_STORED = {"pooled": "pool:head_conv"}  # the same of this network


def splits_of(name: str, samples: Samples, seed: int) -> tuple[NDArray[np.int64], ...]:
    """Training, validation and test pictures."""
    rng = np.random.default_rng(seed)
    if name == "clothing":
        return tuple(samples.split_indices(split) for split in ("train", "val", "test"))
    if name == "sign_digits":
        order = rng.permutation(len(samples))
        test, rest = order[: len(order) // 5], order[len(order) // 5 :]
    else:
        test, rest = samples.split_indices("test"), rng.permutation(samples.split_indices("train"))
    return rest[len(rest) // 10 :], rest[: len(rest) // 10], test


HEADS = {
    "trained": (HeadSpec("linear", 10, 0.3), PhaseSettings(1, 15, 1e-3)),
    "solved": (HeadSpec("multiscale_linear", 10, 0.3), PhaseSettings(1, 1, 1e-3, solver="ridge", views=VIEWS)),
    "solved, clean view": (HeadSpec("multiscale_linear", 10, 0.3), PhaseSettings(1, 1, 1e-3, solver="ridge")),
}


def tested(
    inputs: StoredInputs, network: Network, head: str, parts: Sequence[NDArray[np.int64]], seed: int
) -> dict[str, float]:
    """What a head gives on the clean views of the test pictures, and the CPU seconds of finding it."""
    spec, settings = HEADS[head]
    torch.manual_seed(seed)
    network.set_heads({"classification": spec})
    started = time.process_time()
    train, validation = (Entries(part, np.zeros(len(part), np.int64)) for part in parts[:2])
    truth = inputs.images.samples.truth
    trained = train_phases(
        network,
        {len(network.stages): inputs},
        entries=train,
        validation=validation,
        phases=[settings],
        objective=objective_of(truth, parts[0]),
        seed=seed,
        name_of=str,
        checkpoints=None,
    )
    seconds = time.process_time() - started
    (features,) = inputs.batches(network.features_read, [[(picture, 0) for picture in parts[2].tolist()]])
    with torch.no_grad():
        logits = network.on_features(features)["classification"]["logits"]
    right = logits.argmax(1).numpy() == inputs.images.samples.labels[parts[2]]
    assert trained.best is not None
    return {"test": float(right.mean()), "validation": trained.best.val_accuracy, "cpu_seconds": round(seconds, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("study"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/solved_head_study.json"))
    parser.add_argument("--sets", default=",".join(SIZES))
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    results = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    network = load_pretrained(MODEL).network
    for name in arguments.sets.split(","):
        samples = samples_of(name, arguments.data, arguments.work)
        features = features_of(name, samples, network, arguments.work)
        hashes = np.zeros(len(samples), "V16")
        preprocessing = load_pretrained(MODEL).preprocessing.with_size(SIZES[name])
        inputs = StoredInputs(ImageViews(samples, hashes, preprocessing, "standard", seed=0), features)
        for head, seed in product(HEADS, range(arguments.seeds)):
            own = results.setdefault(name, {}).setdefault(head, {})
            if str(seed) in own:
                continue
            same = head != "trained" and name == "clothing" and own  # the split is given and nothing is drawn
            own[str(seed)] = own["0"] if same else tested(inputs, network, head, splits_of(name, samples, seed), seed)
            write_json(arguments.out, results)
        for head, own in results[name].items():
            print(name, head, f"{100 * np.mean([each['test'] for each in own.values()]):.1f} %", flush=True)


if __name__ == "__main__":
    main()
