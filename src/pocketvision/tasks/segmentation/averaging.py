"""Masks that several views of an image say, as one: logits are turned back, averaged where they are of the same part, and then
merged as tiles and scales are."""

from collections.abc import Sequence

import numpy as np

from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.segmentation.answer import Segmentation
from pocketvision.tasks.segmentation.decode import LOGITS
from pocketvision.tasks.segmentation.merging import MergedMask
from pocketvision.tasks.task import Detail
from pocketvision.tasks.turning import View


def averaged(views: Sequence[View], task: TaskManifest, detail: Detail) -> Segmentation:
    """One answer of all views, which come part by part, from the top of the image, each part with all its turns."""
    parts: dict[int, list[View]] = {}
    for view in views:
        parts.setdefault(id(view.placement), []).append(view)
    merging = MergedMask([own[0].placement for own in parts.values()], task, detail)
    for own in parts.values():
        turned = [view.turn.back(view.tensors[LOGITS]).astype(np.float64) for view in own]
        merging.add({LOGITS: np.mean(turned, axis=0).astype(np.float32)}, own[0].placement)
    return merging.answer()
