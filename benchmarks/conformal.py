"""How often prediction sets hold the true class, where 90 % was asked: the mean over splits into calibration and test.

    python benchmarks/conformal.py runs/clothing/bundle clothing --split test --splits 20

The bundle answers every labelled image once. Each split calibrates on a random half of them and measures on the other half, by
the code that `pocketvision threshold --coverage` and `evaluate` run. Take images that the training never saw. Prints JSON.
"""

import argparse
import json
import statistics

import numpy as np

from pocketvision.tasks.classification.conformal import set_figures, with_sets
from pocketvision.tasks.classification.record import stacked
from pocketvision.workflows.evaluate import evaluate


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("data", help="labelled images")
    parser.add_argument("--split", default=None, help="of the data")
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--coverage", type=float, nargs="+", default=[0.8, 0.9, 0.95])
    given = parser.parse_args()
    found = next(iter(evaluate(given.bundle, given.data, split=given.split).tasks.values()))
    rows = []
    for coverage in given.coverage:
        figures = []
        for seed in range(given.splits):
            order = np.random.default_rng(seed).permutation(len(found.records)).tolist()
            half = len(order) // 2
            task = with_sets([found.records[place] for place in order[:half]], found.task, coverage)
            own = set_figures(stacked([found.records[place] for place in order[half:]]), task)
            assert own is not None
            figures.append(own)
        rows.append(
            {
                "asked": coverage,
                "covered": statistics.mean(each.covered for each in figures),
                "lowest": min(each.covered for each in figures),
                "highest": max(each.covered for each in figures),
                "classes": statistics.mean(each.classes for each in figures),
                "single": statistics.mean(each.single for each in figures),
                "empty": statistics.mean(each.empty for each in figures),
            }
        )
    told = {
        "images": len(found.records),
        "accuracy": found.metrics.headline.value,
        "splits": given.splits,
        "rows": rows,
    }
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
