"""Fashion-MNIST for the benchmarks of compression: its images as files, and networks trained on it for a few minutes.

    python benchmarks/fashion_mnist.py --out quantized --models mobilenet_v2,efficientnet_b0 --minutes 25

The images are Debian's package dataset-fashion-mnist (MIT licence), 28 x 28 grey, enlarged to 96 x 96 by the bundle's own
preprocessing.
"""

import argparse
import csv
import gzip
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional as F

from pocketvision.export.shipping import ship
from pocketvision.models.catalog import build
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.network import Network
from pocketvision.models.weights import load_pretrained
from pocketvision.preprocessing import Preprocessing
from pocketvision.progress import StepProgress
from pocketvision.tasks.classification.task import classifying
from pocketvision.tasks.classification.truth import class_truth
from pocketvision.training.classification.learner import ClassLearner
from pocketvision.training.learned_tasks import calibrated_on
from pocketvision.training.objective import Targets
from pocketvision.training.tuning import TuneSettings, learning_classes, of_classes, tune

DATA = Path("/usr/share/datasets/fashion-mnist")
LABELS = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
SIZE, BATCH = 96, 64
PREPROCESSING = Preprocessing(SIZE, SIZE, 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# The first steps see images of half the size, which takes a quarter of the time; the last learn the size that is shipped.
SMALL_SHARE = 0.6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=Path("quantized"))
    parser.add_argument("--models", required=True)
    parser.add_argument("--minutes", type=float, default=20.0, help="of training for each network, at most")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for model in arguments.models.split(","):
        out = arguments.out / model
        seconds = trained_bundle(model, arguments.data, out, minutes=arguments.minutes, seed=arguments.seed)
        print(f"{model}: {'there already' if seconds is None else f'{seconds:.0f} s'}", flush=True)


def trained_bundle(model: str, data: Path, out: Path, *, minutes: float, seed: int) -> float | None:
    """Train `model` for at most about `minutes` and ship it to `out`; the seconds it took, or None when it is there already.

    Lite0 starts from its ImageNet weights, the others from random ones.
    """
    if (out / "manifest.json").exists():
        return None
    torch.manual_seed(seed)
    if model == "efficientnet_lite0":
        network = load_pretrained(model).network
        network.set_heads({"classification": HeadSpec("linear", len(LABELS))})
        highest = 1e-3
    else:
        network, highest = build(model, num_classes=len(LABELS)), 3e-3
    pictures, labels = read(data, "train")
    images = enlarged(pictures)
    step_seconds = SMALL_SHARE * _step_seconds(network, images, small=True)
    step_seconds += (1 - SMALL_SHARE) * _step_seconds(network, images, small=False)
    steps = int(0.9 * 60 * minutes / step_seconds)
    started = time.perf_counter()

    def note(step: StepProgress) -> None:
        if step.step % 100 == 0:
            text = f"loss {step.loss:.3f} {step.accuracy:.1%} {step.images_per_second:.0f}/s"
            print(f"{model} {step.step}/{steps} {text}", flush=True)

    rng = np.random.default_rng(seed)
    tune(
        network,
        _batches(images, labels, rng, steps),
        TuneSettings(steps, highest),
        objective=learning_classes(ClassLearner(label_smoothing=0.05)),
        on_step=note,
    )
    seconds = time.perf_counter() - started
    test, truth = read(data, "t10k")
    ship(
        network,
        out,
        tasks=classifying(LABELS),
        preprocessing=PREPROCESSING,
        names=[str(index) for index in range(400)],
        load=lambda index: PREPROCESSING.place(Image.fromarray(test[index])),
        calibrate=calibrated_on(class_truth(truth[:400], LABELS)),
    )
    return seconds


def write_pictures(data: Path, out: Path, *, train: int) -> Path:
    """The first `train` training images and all test images as PNG files, and a table of them; the test images are its `val`."""
    table = out / f"pictures-{train}.csv"
    if table.exists():
        return table
    rows = []
    for part, split, count in (("train", "train", train), ("t10k", "val", 10_000)):
        folder = out / "pictures" / split
        folder.mkdir(parents=True, exist_ok=True)
        pictures, labels = read(data, part)
        for index in range(count):
            Image.fromarray(pictures[index]).save(folder / f"{index:05d}.png")
            rows.append((f"pictures/{split}/{index:05d}.png", LABELS[labels[index]], split))
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "split"))
        writer.writerows(rows)
    return table


def read(data: Path, part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (N, 28, 28) and labels (N,) of "train" or "t10k"."""
    images = np.frombuffer(gzip.decompress((data / f"{part}-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    labels = np.frombuffer(gzip.decompress((data / f"{part}-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    return images.reshape(-1, 28, 28), labels.astype(np.int64)


def enlarged(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, SIZE, SIZE), as the preprocessing resizes them."""
    return np.stack([np.asarray(PREPROCESSING.crop(Image.fromarray(each)))[..., :SIZE] for each in pictures])


def _step_seconds(network: Network, images: NDArray[np.uint8], *, small: bool) -> float:
    """Of a few steps on a copy of the weights, which are put back."""
    state = {key: value.clone() for key, value in network.state_dict().items()}
    found: list[StepProgress] = []
    labels, steps = np.zeros(len(images), np.int64), 6
    batches = _batches(images, labels, np.random.default_rng(0), 10**9 if small else 0)
    tune(network, batches, TuneSettings(steps, 1e-5), objective=learning_classes(), on_step=found.append)
    network.load_state_dict(state)
    return BATCH / found[-1].images_per_second


def _batches(
    images: NDArray[np.uint8], labels: NDArray[np.int64], rng: np.random.Generator, steps: int
) -> Iterator[tuple[torch.Tensor, Targets]]:
    """Endless epochs, shuffled; half of the images mirrored, all shifted by up to 6 pixels; small ones first."""
    step = 0
    while True:
        order = rng.permutation(len(images))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            batch = images[chosen].copy()
            mirrored = rng.random(BATCH) < 0.5
            batch[mirrored] = batch[mirrored, :, ::-1]
            batch = np.roll(batch, tuple(rng.integers(-6, 7, 2)), axis=(1, 2))
            grey = torch.from_numpy(batch).float().div(127.5).sub(1)[:, None]
            if step < SMALL_SHARE * steps:
                grey = F.interpolate(grey, scale_factor=0.5, mode="bilinear", antialias=True)
            step += 1
            yield grey.expand(-1, 3, -1, -1), of_classes(torch.from_numpy(labels[chosen]))


if __name__ == "__main__":
    main()
