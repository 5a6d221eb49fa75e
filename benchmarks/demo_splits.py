"""The demo's recipe on its question over several splits, and the same with labels shuffled among the faces (the control).

    python benchmarks/demo_splits.py --cache-dir /tmp/demo-cache --out demo_splits.json

Split s is the one that `pocketvision demo --seed s` makes. A study resumes: what OUT holds already is not trained again.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from pocketvision.atomic_files import write_json
from pocketvision.data.demo_faces import CHEERFUL, QUESTIONS, DemoPartition, demo_partition
from pocketvision.tasks.classification.truth import CLASSIFICATION, ClassLabels
from pocketvision.training.demo_recipes import POSITIVES, RECIPES
from pocketvision.training.run_folder import new_run_folder
from pocketvision.workflows.demo import train_on

Row = dict[str, float]
EVALUATIONS = ("unseen_faces", "unseen_design", "unseen_both")


def shuffled(partition: DemoPartition, seed: int) -> DemoPartition:
    """The same parts with labels dealt anew among the faces; a face keeps one label in all its designs."""
    names = [Path(path).name.rsplit("-", 1)[0] for path in partition.samples.paths]
    faces, first, face_of = np.unique(names, return_index=True, return_inverse=True)
    dealt = np.random.default_rng(seed).permutation(partition.samples.labels[first])
    assert len(dealt) == len(faces)
    truth = {CLASSIFICATION: ClassLabels(dealt[face_of], partition.samples.class_names)}
    return replace(partition, samples=replace(partition.samples, truth=truth))


def measure(question: str, seed: int, control: bool, cache: Path) -> Row:
    """One training's figures: accuracy and F1 of the positive class by evaluation, and seconds."""
    partition = demo_partition(question, seed)
    if control:
        partition = shuffled(partition, seed)
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        run = new_run_folder(Path(folder) / "run", Path("demo"))
        result = train_on(
            partition, run, replace(RECIPES[question], seed=seed), POSITIVES[question], cache_folder=cache
        )
    row = {"cpu_seconds": time.process_time() - started, "seconds": result.seconds}
    for evaluation in result.evaluations:
        if evaluation.name in EVALUATIONS:
            metrics = evaluation.to_dict()
            row[f"{evaluation.name}_accuracy"] = metrics["accuracy"]
            row[f"{evaluation.name}_f1"] = metrics["f1"]
    return row


def show(rows: dict[str, Row], kinds: list[str]) -> None:
    """Mean, standard deviation and range of every figure over the splits."""
    for kind in kinds:
        of_kind = [row for name, row in rows.items() if name.startswith(f"{kind} ")]
        for figure in of_kind[0] if of_kind else ():
            values = np.array([row[figure] for row in of_kind])
            print(
                f"{kind:10} {figure:24} {values.mean():.3f} ± {values.std():.3f} ({values.min():.3f} to {values.max():.3f})"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--question", choices=tuple(QUESTIONS), default=CHEERFUL)
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--control", type=int, default=10, help="splits with labels shuffled")
    parser.add_argument("--cache-dir", type=Path, required=True, help="activations, shared by the splits")
    parser.add_argument("--out", type=Path, required=True, help="JSON; a study goes on from what it holds")
    arguments = parser.parse_args()
    rows: dict[str, Row] = json.loads(arguments.out.read_text("utf-8")) if arguments.out.is_file() else {}
    kinds = {"labels": arguments.splits, "shuffled": arguments.control}
    for kind, splits in kinds.items():
        for seed in range(splits):
            name = f"{kind} {seed}"
            if name not in rows:
                rows[name] = measure(arguments.question, seed, kind == "shuffled", arguments.cache_dir)
                write_json(arguments.out, rows)
                print(name, {figure: round(value, 3) for figure, value in rows[name].items()}, flush=True)
    show(rows, list(kinds))


if __name__ == "__main__":
    main()
