"""Suppression of boxes: PocketVision's NumPy beside torchvision's, in milliseconds.

    python benchmarks/nms.py [--objects 100] [--boxes 3000] [--classes 3] [--rounds 300]

So many objects of a 640 x 640 picture, with as many boxes around each as makes up the boxes asked for: all boxes of an object but
one go. Both sides get the same boxes in each round, in an order that changes, on one thread; the figures are medians over
rounds, and what stays is compared. One class in all (suppression across classes) is measured too.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import batched_nms

from pocketvision.tasks.detection.nms import surviving

IOU = 0.6
SIDE = 640


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("objects", 100), ("boxes", 3000), ("classes", 3), ("rounds", 300)):
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = {
        name: compared(given.objects, given.boxes, classes, given.rounds)
        for name, classes in (("by_class", given.classes), ("any_class", 1))
    }
    print(json.dumps({"objects": given.objects, "boxes": given.boxes, "iou": IOU, **found}, indent=2))


def compared(objects: int, count: int, classes: int, rounds: int) -> dict[str, Any]:
    """Medians in ms, how many stayed, and in how many rounds both sides left the same."""
    generator, times = np.random.default_rng(0), {"numpy": list[float](), "torchvision": list[float]()}
    same, stayed = 0, []
    for number in range(rounds):
        boxes, scores, named = scene(generator, objects, count, classes)
        sides: dict[str, Callable[[], NDArray[np.int64]]] = {
            "numpy": lambda: surviving(boxes, scores, named, iou=IOU, most=objects),  # noqa: B023
            "torchvision": lambda: batched_nms(*map(torch.from_numpy, (boxes, scores, named)), IOU)[:objects].numpy(),  # noqa: B023
        }
        left = {}
        for name in sorted(sides, reverse=bool(number % 2)):
            began = time.perf_counter()
            left[name] = sides[name]()
            times[name].append(1e3 * (time.perf_counter() - began))
        same += np.array_equal(left["numpy"], left["torchvision"])
        stayed.append(len(left["numpy"]))
    medians = {f"{name}_ms": round(statistics.median(each), 3) for name, each in times.items()}
    return {**medians, "stayed": statistics.median(stayed), "same": f"{same} of {rounds}"}


def scene(
    generator: np.random.Generator, objects: int, count: int, classes: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Boxes (n, 4), scores (n) and classes (n): objects on a grid, so that they are apart, and boxes near each."""
    across = int(np.ceil(np.sqrt(objects)))
    step = SIDE / across
    places = generator.permutation(across * across)[:objects]
    middle = (np.stack([places % across, places // across], axis=1) + 0.5) * step
    side = step * generator.uniform(0.5, 0.9, (objects, 2))
    of = np.arange(count) % objects
    moved, sized = generator.normal(0, 0.03, (count, 2)), generator.normal(1, 0.04, (count, 2))
    middles, sides = middle[of] + moved * side[of], side[of] * sized
    boxes = np.concatenate([middles - sides / 2, middles + sides / 2], axis=1).astype(np.float32)
    return boxes, generator.random(count).astype(np.float32), generator.integers(0, classes, objects)[of]


if __name__ == "__main__":
    main()
