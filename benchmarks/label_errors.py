"""How well planted label errors are found, and how fast, against cross-validated logistic regression.

    python benchmarks/label_errors.py photos/ more/ --share 0.08

A share of the labels of each image folder is drawn anew among the other classes. Both ways see the same features (a frozen
EfficientNet-Lite0 at 128 pixels, whose time is not counted) and score each label by the probability of the given class: here from
one leave-one-out fit in closed form, there from scikit-learn's logistic regression in five folds, by cleanlab's
`get_label_quality_scores` where cleanlab is importable (it is AGPL and no dependency: put it on PYTHONPATH), else by the same
formula. Pictures of unknown quality: labels that were wrong before count as right. Both are timed by their processor time, so
that other programs count little; run it with OMP_NUM_THREADS=1. Prints JSON.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import cross_val_predict

from pocketvision.data.sources.catalog import read_samples
from pocketvision.training.frozen_features import frozen_features
from pocketvision.training.label_problems import left_out_shares


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="Folders or tables of images with classes.")
    parser.add_argument("--share", type=float, default=0.08, help="Of the labels that are made wrong.")
    parser.add_argument("--most", type=int, default=5000, help="Images of a folder or table at most, drawn at random.")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    found = {
        str(folder): _measured(folder, arguments.share, arguments.most, arguments.seed) for folder in arguments.folders
    }
    print(json.dumps(found, indent=2))


def _measured(folder: Path, share: float, most: int, seed: int) -> dict[str, Any]:
    samples = read_samples(folder)
    if len(samples) > most:
        samples = samples.select(np.sort(np.random.default_rng(seed).permutation(len(samples))[:most]))
    features, readable = frozen_features(samples)
    features, truth = features[readable], samples.labels[readable].astype(np.int64)
    random, classes = np.random.default_rng(seed), int(truth.max()) + 1
    wrong = random.random(len(truth)) < share
    labels = truth.copy()
    labels[wrong] = (truth[wrong] + random.integers(1, classes, wrong.sum())) % classes
    left_out_shares(features[:100], labels[:100], np.arange(100))  # what is loaded at first
    started = time.process_time()
    own, _, _ = left_out_shares(features, labels, np.arange(len(labels)))
    seconds = time.process_time() - started
    started = time.process_time()
    scores, by = _cross_validated(features, labels)
    others = time.process_time() - started
    return {
        "images": len(labels),
        "planted": int(wrong.sum()),
        "average_precision": float(average_precision_score(wrong, -own)),
        "seconds": seconds,
        "cross_validated": {
            "scores_by": by,
            "average_precision": float(average_precision_score(wrong, -scores)),
            "seconds": others,
        },
        "times_faster": others / seconds,
    }


def _cross_validated(features: NDArray[np.float32], labels: NDArray[np.int64]) -> tuple[NDArray[np.floating], str]:
    shares = cross_val_predict(LogisticRegression(max_iter=1000), features, labels, cv=5, method="predict_proba")
    try:
        from cleanlab.rank import get_label_quality_scores
    except ModuleNotFoundError:
        return shares[np.arange(len(labels)), labels], "formula"
    scores: NDArray[np.floating] = get_label_quality_scores(labels, shares, method="self_confidence")
    return scores, "cleanlab"


if __name__ == "__main__":
    main()
