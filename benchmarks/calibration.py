"""How honest probabilities are on images that no scaling was fitted on: unscaled, by temperature, by class, as training chooses.

    python benchmarks/calibration.py runs/clothing/bundle clothing --split test --splits 20

The bundle answers every labelled image once. Each split fits on a random half of them and measures on the other half, by the
code that training and `evaluate` run: expected calibration error (10 bins), log loss in nats and accuracy, means over the splits.
--thin 4 leaves every other class a fourth of its images, in both halves: classes are as frequent as the training never saw them
then. Take images that the training never saw. Prints JSON.
"""

import argparse
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.tasks.classification.calibration import reliability
from pocketvision.tasks.classification.record import stacked
from pocketvision.tasks.classification.temperature import fit_temperature
from pocketvision.tasks.classification.vector_scaling import Scaling, fit_by_class, fit_scaling
from pocketvision.workflows.evaluate import evaluate


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("data", help="labelled images")
    parser.add_argument("--split", default=None, help="of the data")
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--fitted", type=int, default=400, help="images that are fitted on at most")
    parser.add_argument("--thin", type=int, default=1, help="every other class keeps one image of so many")
    given = parser.parse_args()
    answers = stacked(next(iter(evaluate(given.bundle, given.data, split=given.split).tasks.values())).records)
    logits, labels = answers.logits, answers.labels
    if given.thin > 1:
        logits, labels = thinned(logits, labels, given.thin)
    found: dict[str, list[list[float]]] = {}
    chosen = 0
    for seed in range(given.splits):
        order = np.random.default_rng(seed).permutation(len(labels))
        half = order[: min(len(order) // 2, given.fitted)]
        rest = order[len(order) // 2 :]
        temperature = fit_temperature(logits[half], labels[half])
        picked = fit_scaling(logits[half], labels[half])
        chosen += picked.scales is not None
        for name, scaling in {
            "unscaled": Scaling(),
            "temperature": Scaling(temperature),
            "by_class": fit_by_class(logits[half], labels[half], temperature),
            "chosen": picked,
        }.items():
            shares = scaling.probabilities(logits[rest])
            own = reliability(shares, labels[rest])
            right = float((shares.argmax(axis=1) == labels[rest]).mean())
            found.setdefault(name, []).append([own.error, own.log_loss, right])
    told: dict[str, Any] = {"images": len(labels), "splits": given.splits, "by_class_chosen": chosen}
    for name, rows in found.items():
        means = np.mean(rows, axis=0).tolist()
        told[name] = dict(zip(("expected_calibration_error", "log_loss", "accuracy"), means, strict=True))
    print(json.dumps(told, indent=2))


def thinned(
    logits: NDArray[np.float32], labels: NDArray[np.int64], share: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Every other class with one image of so many."""
    place = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        place[own] = np.arange(len(own))
    kept = (labels % 2 == 0) | (place % share == 0)
    return logits[kept], labels[kept]


if __name__ == "__main__":
    main()
