"""What a map in the shipped graph costs, and how far it is from Grad-CAM in PyTorch.

    python benchmarks/explain.py --model efficientnet_lite0 --classes 12

One network is exported twice, with its map (`export --with-map`) and without. Both files answer the same input in ONNX Runtime
on one thread, one call each in turns, the other one first every time: what else the machine does slows both alike. The
share is the median of the ratios of neighbouring calls. The difference is the largest of all numbers of the maps of some
random inputs, against autograd's Grad-CAM of the same layer. Weights are random where none are published here: a graph's time
does not depend on them. Prints JSON.
"""

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pocketvision.explain.choice import Choice
from pocketvision.explain.gradient_maps import grad_cam
from pocketvision.explain.watched import Watched
from pocketvision.export.exportable import Exportable
from pocketvision.export.to_onnx import FILE, write_onnx
from pocketvision.models.catalog import architecture
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.network import Network
from pocketvision.preprocessing import Preprocessing
from pocketvision.runtime.backends import Backend, open_onnx
from pocketvision.tasks.manifest import TaskManifest

TASK = "classification"


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", default="efficientnet_lite0", help="an architecture whose head is linear on pooled features"
    )
    parser.add_argument("--classes", type=int, nargs="+", default=[2, 12, 32, 1000])
    parser.add_argument("--head", default="multiscale_linear", help="of classification")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each number of classes")
    parser.add_argument("--images", type=int, default=8, help="random inputs that maps are compared on")
    given = parser.parse_args()
    rows = [measured(given.model, given.head, classes, given.seconds, given.images) for classes in given.classes]
    print(json.dumps({"model": given.model, "head": given.head, "threads": 1, "rows": rows}, indent=2))


def measured(model: str, head: str, classes: int, seconds: float, images: int) -> dict[str, Any]:
    """The figures for so many classes."""
    torch.manual_seed(0)
    spec = architecture(model)
    network = Network(spec, {TASK: HeadSpec(head, classes)}).eval()
    labels = tuple(f"class {place}" for place in range(classes))
    task = TaskManifest(TASK, labels, {"logits": "logits", "probabilities": "probabilities"})
    size = spec.input_size
    pixels = Preprocessing(size, size, 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    plain = Exportable(network, {TASK: task}, pixels)
    with tempfile.TemporaryDirectory() as folder:
        opened = {name: written(source, Path(folder) / name) for name, source in _both(plain).items()}
        inputs = np.random.default_rng(0).standard_normal((images, 3, size, size), dtype=np.float32)
        return {
            "classes": classes,
            **latencies(opened, inputs[:1], seconds),
            **differences(opened["map"], Watched.of_network(network, {TASK: task}), inputs, labels),
        }


def _both(plain: Exportable) -> dict[str, Exportable]:
    return {"plain": plain, "map": replace(plain, mapped=(TASK,))}


def written(source: Exportable, folder: Path) -> Backend:
    """The source's file, opened."""
    folder.mkdir()
    write_onnx(source, folder)
    return open_onnx(folder / FILE, threads=1)


def latencies(opened: dict[str, Backend], image: np.ndarray, seconds: float) -> dict[str, float]:
    """Milliseconds of one image with and without the map, and by what share it is slower."""
    for backend in opened.values():
        for _ in range(5):
            backend.run(image)
    times: dict[str, list[float]] = {name: [] for name in opened}
    began, turn = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        for name in opened if turn % 2 == 0 else [*opened][::-1]:
            start = time.perf_counter()
            opened[name].run(image)
            times[name].append(time.perf_counter() - start)
        turn += 1
    ratios = [one / other for one, other in zip(times["map"], times["plain"], strict=True)]
    return {
        "calls": turn,
        "plain_ms": 1e3 * statistics.median(times["plain"]),
        "map_ms": 1e3 * statistics.median(times["map"]),
        "slower_by": statistics.median(ratios) - 1,
        "fastest_slower_by": min(times["map"]) / min(times["plain"]) - 1,
    }


def differences(mapped: Backend, watched: Watched, images: np.ndarray, labels: tuple[str, ...]) -> dict[str, float]:
    """The largest difference of the file's maps from autograd's, and the largest value of a map."""
    largest = value = 0.0
    for image in images:
        outputs = mapped.run(image[None])
        maps = outputs["map"][0]
        order = range(len(labels)) if len(maps) == len(labels) else np.argsort(-outputs["logits"][0], kind="stable")
        for place, own in zip(list(order)[:5], maps, strict=False):
            choice = Choice(TASK, TASK, int(place), labels[place])
            wanted = grad_cam(watched, torch.from_numpy(image[None]), choice, "head_conv")
            largest, value = max(largest, float(np.abs(wanted - own).max())), max(value, float(np.abs(wanted).max()))
    return {"largest_difference": largest, "largest_value": value}


if __name__ == "__main__":
    main()
