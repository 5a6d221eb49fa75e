"""How much CPU a full report of 2,000 pictures takes, beyond reading and predicting them, and how large its page is.

Counted are the figures with their intervals, the mistakes with their pictures, all charts (on the page and as files), JSON
and the model card. The answers are made up (nine of ten right); the pictures of the mistakes are real ones.

    python benchmarks/report_time.py FOLDER --images 2000 --classes 10
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from pocketvision.data.find_images import find_images
from pocketvision.evaluation.evaluate import evaluate_records
from pocketvision.evaluation.report.record import RunRecord
from pocketvision.evaluation.report.write import REPORT, write_report
from pocketvision.tasks.classification.decode import softmax
from pocketvision.tasks.classification.record import ClassRecord
from pocketvision.tasks.classification.task import classifying


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="pictures; fewer than --images are taken several times")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--classes", type=int, default=10)
    options = parser.parse_args()
    files = [Path(path) for path in find_images([options.folder])]
    paths = [str(files[place % len(files)].resolve()) for place in range(options.images)]
    labels = np.arange(options.images) % options.classes
    logits = np.random.default_rng(0).normal(size=(options.images, options.classes)).astype(np.float32)
    logits[np.arange(options.images), labels] += 3
    shares = softmax(logits)
    records = [ClassRecord(*row) for row in zip(logits, shares, labels.tolist(), strict=True)]
    tasks = classifying([f"class {place}" for place in range(options.classes)])
    started, wall = time.process_time(), time.perf_counter()
    found = evaluate_records(tasks, {"classification": records}, root=Path("/"), paths=paths)
    measured = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        record = RunRecord(title="report", created="2026-12-01T00:00:00+00:00", evaluations=(found,))
        page = write_report(Path(folder), record)
        size = page.stat().st_size
    ended = time.process_time()
    print(
        json.dumps(
            {
                "images": options.images,
                "classes": options.classes,
                "accuracy": round(found.metrics.accuracy, 3),
                "cpu_seconds": round(ended - started, 2),
                "cpu_seconds_of_figures": round(measured - started, 2),
                "cpu_seconds_of_page_and_plots": round(ended - measured, 2),
                "wall_seconds": round(time.perf_counter() - wall, 2),
                REPORT: size,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
