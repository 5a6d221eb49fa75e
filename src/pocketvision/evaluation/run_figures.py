"""What a bundle's manifest keeps of the evaluations of its run."""

from collections.abc import Callable, Sequence
from typing import Any

from pocketvision.bundle_figures import SELECTION, TEST
from pocketvision.evaluation.evaluation import Evaluation


def figures_by_task(
    evaluations: Sequence[Evaluation], fingerprint_of: Callable[[str], str]
) -> dict[str, dict[str, dict[str, Any]]]:
    """What a manifest keeps of a run's evaluations: by task, and by the words of bundle_figures.py. A test split that was learned
    from as a whole is no test. fingerprint_of: the images of a split."""
    by_name = {each.name: each for each in evaluations}
    kept = [(SELECTION, by_name["validation"], "val")]
    if "test" in by_name and by_name["test"].role == "test":
        kept.append((TEST, by_name["test"], "test"))
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for word, each, split in kept:
        for task in each.tasks:
            found.setdefault(task, {})[word] = {**each.summary(task), "fingerprint": fingerprint_of(split)}
    return found
