"""The target whose file says where it looked, beside what it answers."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from pocketvision.errors import AgreementError, UsageError
from pocketvision.export.exportable import Exportable
from pocketvision.models.class_map import class_map_of
from pocketvision.runtime.batches import Outputs
from pocketvision.tasks.manifest import by_task

MAPPED = "onnx"
TOLERANCE = 1e-3
"""Of the largest value of a map: a file whose maps differ by more shows other places."""


def with_maps(source: Exportable, targets: Collection[str]) -> tuple[Exportable, list[str]]:
    """The source, whose graph gives the maps of every task that has one; and why the others have none. Raises UsageError where
    none has, or where no target is written with them."""
    if MAPPED not in targets:
        raise UsageError(f"--with-map is of {MAPPED}'s file; --to names {', '.join(targets)}. Give --to {MAPPED} too.")
    refused = {}
    for task in source.tasks:
        try:
            class_map_of(source.network, task)
        except UsageError as error:
            refused[task] = str(error)
    if len(refused) == len(source.tasks):
        raise UsageError(" ".join(refused.values()))
    return replace(source, mapped=tuple(task for task in source.tasks if task not in refused)), list(refused.values())


def map_differences(source: Exportable, reference: Outputs, found: Outputs) -> dict[str, float]:
    """By how much the maps of a file differ from the network's at most, `max_map_difference` of each task; none where the file
    gives none. Raises AgreementError for more than TOLERANCE of the largest value."""
    differences = {}
    for task, own in source.graph_manifest("", ()).maps.items():
        if own.output in found:
            wanted = reference[own.output]
            apart = float(np.abs(wanted - found[own.output]).max(initial=0))
            if not apart <= TOLERANCE * max(1.0, float(np.abs(wanted).max(initial=0))):
                raise AgreementError(
                    f"The map of {task} that the file gives differs by {apart:.2g} from the network's."
                )
            differences[task] = apart
    return by_task({task: {"max_map_difference": value} for task, value in differences.items()})
