"""How well pictures that are of none of the classes are told from those that are: the area under the ROC curve.

    python benchmarks/out_of_distribution.py runs/clothing/bundle clothing --others cells/ membranes/ digits/

Novelty is fitted on the training split's pictures by the code that `pocketvision threshold --none-of-these` runs
(evaluation/novelty_fit.py), from the features that the bundle's last layer reads. Against the test split's pictures stand those
of other folders; and each class in turn, which is left out of the fit, against the others. The backbone is frozen and
pre-trained, so that a class that is left out is new to the fit; the choice which stages are read saw it. Prints JSON.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from pocketvision.bundle import read_bundle
from pocketvision.data.sources.catalog import read_samples
from pocketvision.evaluation.novelty_fit import GRAPH, FeatureReader, fitted
from pocketvision.runtime.novelty import Novelty, last_features

MOST = 300


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("data", type=Path, help="with the splits train and test, and classes")
    parser.add_argument("--others", type=Path, nargs="*", default=[], help="folders of other pictures")
    given = parser.parse_args()
    bundle = read_bundle(given.bundle)
    model = bundle.path(GRAPH).read_bytes()
    reader = FeatureReader(bundle, model, last_features(model, bundle.task.outputs["logits"]))
    samples = read_samples(given.data)
    assert samples.splits is not None
    (learned, labels), (test, truth) = (
        labelled(reader, samples.select(np.flatnonzero(samples.splits == split))) for split in (0, 2)
    )
    novelty = fitted(learned, labels)
    own = novelty.distances(test)
    others = {folder.name: auroc(own, novelty.distances(reader(pictures_in(folder))[0])) for folder in given.others}
    left_out = {name: _left_out(place, learned, labels, test, truth) for place, name in enumerate(samples.class_names)}
    told: dict[str, Any] = {
        "learned": len(labels),
        "test": len(truth),
        "features": learned.shape[1],
        "others": others,
        "left_out": left_out,
        "left_out_mean": float(np.mean(list(left_out.values()))),
    }
    print(json.dumps(told, indent=2))


def labelled(reader: FeatureReader, samples: Any) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features and labels of the pictures that can be read."""
    features, rows = reader([samples.file(index) for index in range(len(samples))])
    return features, samples.labels[rows].astype(np.int64)


def _left_out(
    place: int,
    learned: NDArray[np.float32],
    labels: NDArray[np.int64],
    test: NDArray[np.float32],
    truth: NDArray[np.int64],
) -> float:
    """Of a class that the fit has not seen, against the others."""
    novelty: Novelty = fitted(learned[labels != place], labels[labels != place])
    found = novelty.distances(test)
    return auroc(found[truth != place], found[truth == place])


def auroc(ordinary: NDArray[np.floating], novel: NDArray[np.floating]) -> float:
    """Of distances."""
    marks = np.r_[np.zeros(len(ordinary)), np.ones(len(novel))]
    return float(roc_auc_score(marks, np.r_[ordinary, novel]))


def pictures_in(folder: Path) -> list[Path]:
    """MOST of those below a folder at most, evenly chosen."""
    found = sorted(each for each in folder.rglob("*") if each.suffix.lower() in (".jpg", ".jpeg", ".png"))
    return [found[place] for place in np.unique(np.linspace(0, len(found) - 1, min(MOST, len(found))).astype(int))]


if __name__ == "__main__":
    main()
