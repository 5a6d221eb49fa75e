"""How well pictures that are of none of the classes are told from those that are: the area under the ROC curve.

    python benchmarks/out_of_distribution.py runs/clothing/bundle clothing --others cells/ membranes/ digits/

Novelty is fitted on the training split's pictures by the code that a training and `pocketvision threshold --none-of-these` run
(evaluation/novelty_fit.py), from the features that the bundle's last layer reads; the validation split's are the ordinary ones.
Against the test split's pictures stand those of other folders; and each class in turn, which is left out of the fit, against the
others. Also for fits of few classes, drawn DRAWS times: against the other folders, and against the classes that were not drawn.
The backbone is frozen and pre-trained, so that a class that is left out is new to the fit; the choice which stages are read saw
it. Prints JSON.
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
from pocketvision.evaluation.novelty_fit import GRAPH, FeatureReader, calibrated, fitted
from pocketvision.runtime.novelty import Novelty, last_features

MOST, DRAWS = 300, 5

Labelled = tuple[NDArray[np.float32], NDArray[np.int64]]


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
    learned, ordinary, test = (
        labelled(reader, samples.select(np.flatnonzero(samples.splits == split))) for split in range(3)
    )
    places = np.arange(len(samples.class_names))
    others = {folder.name: reader(pictures_in(folder))[0] for folder in given.others}
    whole = fit(learned, ordinary, places)
    own = whole.distances(test[0])
    left_out = {
        name: unknown(fit(learned, ordinary, places[places != place]), test, places[places != place])
        for place, name in enumerate(samples.class_names)
    }
    told: dict[str, Any] = {
        "learned": len(learned[1]),
        "test": len(test[1]),
        "features": test[0].shape[1],
        "others": {name: auroc(own, whole.distances(features)) for name, features in others.items()},
        "left_out": left_out,
        "left_out_mean": float(np.mean(list(left_out.values()))),
        "of_few_classes": {count: few(count, learned, ordinary, test, others, places) for count in (2, 4)},
    }
    print(json.dumps(told, indent=2))


def labelled(reader: FeatureReader, samples: Any) -> Labelled:
    """Features and labels of the pictures that can be read."""
    features, rows = reader([samples.file(index) for index in range(len(samples))])
    return features, samples.labels[rows].astype(np.int64)


def fit(learned: Labelled, ordinary: Labelled, known: NDArray[np.int64]) -> Novelty:
    """On the pictures of the classes that are known."""
    (features, labels), (others, truth) = learned, ordinary
    own = np.isin(labels, known)
    return calibrated(fitted(features[own], labels[own]), others[np.isin(truth, known)])


def unknown(novelty: Novelty, test: Labelled, known: NDArray[np.int64]) -> float:
    """Of test pictures of the classes that are not known, against the others."""
    found, own = novelty.distances(test[0]), np.isin(test[1], known)
    return auroc(found[own], found[~own])


def few(
    count: int,
    learned: Labelled,
    ordinary: Labelled,
    test: Labelled,
    others: dict[str, NDArray[np.float32]],
    places: NDArray[np.int64],
) -> dict[str, float]:
    """Means over draws of so many classes."""
    random, drawn = np.random.default_rng(0), list[list[float]]()
    for _ in range(DRAWS):
        known = random.permutation(places)[:count]
        novelty = fit(learned, ordinary, known)
        own = novelty.distances(test[0][np.isin(test[1], known)])
        foreign = [auroc(own, novelty.distances(features)) for features in others.values()]
        drawn.append([float(np.mean(foreign)), unknown(novelty, test, known)])
    return dict(zip(("others", "classes_not_drawn"), np.mean(drawn, axis=0).tolist(), strict=True))


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
