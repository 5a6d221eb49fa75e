"""CPU seconds of a head in closed form: 4,000 pictures, 3,600 features, 10 classes, the strength chosen by leave-one-out.

    python benchmarks/solved_head.py

Features are random, with variances that fall as those of a network's do. `--peers`: beside it scikit-learn's RidgeCV, and the
choice by five folds at each strength, of which one fit is measured.
"""

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge as RidgeOfSklearn
from sklearn.linear_model import RidgeCV

from pocketvision.training.ridge import STRENGTHS, solve_ridge

Floats = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=4000)
    parser.add_argument("--features", type=int, default=3600)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peers", action="store_true", help="measure scikit-learn too: minutes")
    arguments = parser.parse_args()
    features, targets = drawn(arguments.pictures, arguments.features, arguments.classes, arguments.seed)
    solve_ridge(features[:100], targets[:100])  # the libraries' first call
    views = np.arange(len(features)) // 4
    seconds = {
        "ours, leave-one-out": cpu_seconds(lambda: solve_ridge(features, targets)),
        "ours, four rows a picture left out together": cpu_seconds(
            lambda: solve_ridge(features, targets, groups=views)
        ),
    }
    if arguments.peers:
        seconds["scikit-learn, RidgeCV in float64"] = cpu_seconds(
            lambda: RidgeCV(alphas=np.array(STRENGTHS) * 1000).fit(features.astype(np.float64), targets)
        )
        fit = cpu_seconds(lambda: RidgeOfSklearn(alpha=1000.0, solver="cholesky").fit(features, targets))
        seconds["scikit-learn, five folds at each strength"] = fit * 5 * 0.8 * len(STRENGTHS)
    print(
        json.dumps({"shape": [*features.shape, targets.shape[1]], "strengths": len(STRENGTHS), "cpu_seconds": seconds})
    )


def drawn(pictures: int, features: int, classes: int, seed: int) -> tuple[Floats, Floats]:
    """Features (pictures, features) and one-hot targets (pictures, classes)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, pictures)
    axes = rng.standard_normal((features, features)).astype(np.float32) / np.float32(features**0.5)
    falling = np.exp(-np.arange(features) / (features / 6)).astype(np.float32)
    inner = rng.standard_normal((pictures, features)).astype(np.float32) * falling
    inner[np.arange(pictures), labels] += 1
    return inner @ axes, np.eye(classes, dtype=np.float32)[labels]


def cpu_seconds(work: Callable[[], object]) -> float:
    """Of all threads."""
    started = time.process_time()
    work()
    return round(time.process_time() - started, 2)


if __name__ == "__main__":
    main()
