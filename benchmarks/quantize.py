"""What 8 bits cost and gain: four networks on Fashion-MNIST's 10,000 test images, and Lite0's speed at 224 pixels.

    python benchmarks/quantize.py --data /usr/share/datasets/fashion-mnist --out quantized          # about 2 hours
    python benchmarks/quantize.py --data ... --out quantized --models efficientnet_lite0 --minutes 5
    python benchmarks/quantize.py --speed-only

The images are Debian's package dataset-fashion-mnist (MIT licence), 28 x 28 grey, enlarged to 96 x 96 by the bundle's own
preprocessing. Each network is trained here for at most `--minutes` by the plain loop (training/loop.py; Lite0 from its ImageNet
weights, the others from random ones), shipped as a bundle, and given to `pocketvision quantize`, which calibrates on 256 training
images and judges on all 10,000 test images. A bundle that is in `--out` already is not trained again.

Bars: float accuracy above 85 %; the accuracy drops by at most 0.5 points (paired 95 % bound); the file is at most 0.3 of the
float one; Lite0 at 224 pixels is at least 1.4 times as fast at batch 1, float and 8 bits timed in turns. Prints JSON.
"""

import argparse
import csv
import gzip
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from pocketvision.compression.quantize_onnx import quantize_onnx
from pocketvision.compression.settings import CANDIDATES
from pocketvision.data.demo_faces import some_pictures
from pocketvision.errors import PocketVisionError
from pocketvision.evaluation.latency import measure_latency
from pocketvision.export.exportable import Exportable
from pocketvision.export.to_onnx import FILE, write_onnx
from pocketvision.models.catalog import build
from pocketvision.models.network import Network, reset_classifier
from pocketvision.models.weights import load_pretrained
from pocketvision.preprocessing import Preprocessing
from pocketvision.runtime.backends import open_onnx
from pocketvision.training.loop import LoopSettings, LoopStep, run_loop
from pocketvision.workflows.quantize import quantize
from pocketvision.workflows.shipping import ship

MODELS = ("efficientnet_lite0", "mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0")
LABELS = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
SIZE, BATCH = 96, 64
PREPROCESSING = Preprocessing(SIZE, SIZE, 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
BARS = {"accuracy": 0.85, "drop, upper bound, points": 0.5, "size": 0.3, "lite0 at 224, times as fast": 1.4}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--out", type=Path, default=Path("quantized"))
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--minutes", type=float, default=20.0, help="of training for each network, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--speed-only", action="store_true")
    arguments = parser.parse_args()
    result: dict[str, Any] = {"bars": BARS, "cpu": _cpu(), "networks": {}}
    if not arguments.speed_only:
        table = write_pictures(arguments.data, arguments.out)
        for model in arguments.models.split(","):
            result["networks"][model] = network_figures(model, arguments, table)
            print(json.dumps({model: result["networks"][model]}), flush=True)
    result["lite0 at 224"] = speed()
    print(json.dumps(result, indent=2))


def network_figures(model: str, arguments: argparse.Namespace, table: Path) -> dict[str, Any]:
    folder = arguments.out / model
    seconds = None if (folder / "manifest.json").exists() else train(model, arguments, folder)
    try:
        found = quantize(folder, data=table, out=arguments.out / f"{model}-int8", calibration=256)
    except PocketVisionError as error:
        return {"training_seconds": seconds, "error": str(error)}
    compared, latency, before = found.chosen.comparison, found.chosen.latency, found.search.float_latency
    assert latency is not None and compared.drop_interval is not None
    return {
        "training_seconds": seconds,
        "settings": found.chosen.settings.title,
        "float_accuracy": compared.reference_accuracy,
        "accuracy": compared.accuracy,
        "drop": compared.drop,
        "drop_interval": [compared.drop_interval.low, compared.drop_interval.high],
        "sure": found.is_sure,
        "size": found.chosen.bytes / found.float_bytes,
        "times_as_fast_at_96": before.latency_ms / latency.latency_ms,
        "candidates": {
            each.settings.title: {"drop": each.comparison.drop, "ms": each.latency and each.latency.latency_ms}
            for each in found.search.candidates
        },
        "sensitive_layers": [each.layer for each in found.search.sensitivities[:5]],
    }


def train(model: str, arguments: argparse.Namespace, folder: Path) -> float:
    """Train and ship `model`; returns the seconds of training."""
    torch.manual_seed(arguments.seed)
    if model == "efficientnet_lite0":
        network = load_pretrained(model).network
        reset_classifier(network, len(LABELS))
        highest = 1e-3
    else:
        network, highest = build(model, num_classes=len(LABELS)), 3e-3
    pictures, labels = _read(arguments.data, "train")
    images = _enlarged(pictures)
    rng = np.random.default_rng(arguments.seed)
    rate = _images_per_second(network, images)
    steps = int(0.9 * 60 * arguments.minutes * rate / BATCH)
    started = time.perf_counter()
    settings = LoopSettings(steps, highest, label_smoothing=0.05)

    def note(step: LoopStep) -> None:
        if step.step % 100 == 0:
            line = (
                f"{model} {step.step}/{steps} loss {step.loss:.3f} {step.accuracy:.1%} {step.images_per_second:.0f}/s"
            )
            print(line, flush=True)

    run_loop(network, _batches(images, labels, rng), settings, on_step=note)
    seconds = time.perf_counter() - started
    test, truth = _read(arguments.data, "t10k")
    ship(
        network, folder, labels=LABELS, preprocessing=PREPROCESSING, names=[str(index) for index in range(400)],
        load=lambda index: PREPROCESSING(Image.fromarray(test[index])), truth=truth[:400],
    )  # fmt: skip
    return seconds


def _images_per_second(network: Network, images: NDArray[np.uint8]) -> float:
    """Of a few steps on a copy of the weights, which are put back."""
    state = {key: value.clone() for key, value in network.state_dict().items()}
    found: list[LoopStep] = []
    labels = np.zeros(len(images), np.int64)
    run_loop(network, _batches(images, labels, np.random.default_rng(0)), LoopSettings(6, 1e-5), on_step=found.append)
    network.load_state_dict(state)
    return found[-1].images_per_second


def _batches(
    images: NDArray[np.uint8], labels: NDArray[np.int64], rng: np.random.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless epochs, shuffled; half of the images mirrored, all shifted by up to 6 pixels."""
    while True:
        order = rng.permutation(len(images))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            batch = images[chosen].copy()
            mirrored = rng.random(BATCH) < 0.5
            batch[mirrored] = batch[mirrored, :, ::-1]
            batch = np.roll(batch, tuple(rng.integers(-6, 7, 2)), axis=(1, 2))
            grey = torch.from_numpy(batch).float().div(127.5).sub(1)
            yield grey[:, None].expand(-1, 3, -1, -1), torch.from_numpy(labels[chosen])


def write_pictures(data: Path, out: Path) -> Path:
    """256 training and all test images as PNG files, and a table of them."""
    table = out / "pictures.csv"
    if table.exists():
        return table
    rows = []
    for part, split, count in (("train", "train", 256), ("t10k", "val", 10_000)):
        folder = out / "pictures" / split
        folder.mkdir(parents=True, exist_ok=True)
        pictures, labels = _read(data, part)
        for index in range(count):
            Image.fromarray(pictures[index]).save(folder / f"{index:05d}.png")
            rows.append((f"pictures/{split}/{index:05d}.png", LABELS[labels[index]], split))
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "split"))
        writer.writerows(rows)
    return table


def _read(data: Path, part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    images = np.frombuffer(gzip.decompress((data / f"{part}-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    labels = np.frombuffer(gzip.decompress((data / f"{part}-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    return images.reshape(-1, 28, 28), labels.astype(np.int64)


def _enlarged(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, SIZE, SIZE), as the preprocessing resizes them."""
    return np.stack([np.asarray(PREPROCESSING.crop(Image.fromarray(each)))[..., :SIZE] for each in pictures])


def speed() -> dict[str, Any]:
    """Milliseconds of one image, float and every 8-bit candidate of ONNX Runtime's in turns, at 224 pixels."""
    pretrained = load_pretrained("efficientnet_lite0")
    labels = tuple(map(str, range(pretrained.network.num_classes)))
    images = np.stack([pretrained.preprocessing(path) for path in some_pictures(32)])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_onnx(Exportable(pretrained.network, labels, pretrained.preprocessing), folder)
        runs = {"float32": open_onnx(folder / FILE).run}
        for number, settings in enumerate(each for each in CANDIDATES["onnxruntime"] if each.calibration == "minmax"):
            path = folder / f"{number}.onnx"
            quantize_onnx(folder / FILE, path, settings, [images[start : start + 8] for start in range(0, 32, 8)])
            runs[settings.title] = open_onnx(path).run
        found = measure_latency(runs, images[:1], seconds=10)
    before = found["float32"].latency_ms
    return {name: {"ms": each.latency_ms, "times_as_fast": before / each.latency_ms} for name, each in found.items()}


def _cpu() -> dict[str, Any]:
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    name = next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")), "")
    return {"name": name, "avx2": " avx2" in text, "vnni": "vnni" in text}


if __name__ == "__main__":
    main()
