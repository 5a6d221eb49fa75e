"""What is written as: boxes or masks, by the form that is asked for."""

from pathlib import Path

from pocketvision.data.box_writers.catalog import WRITERS, Written, write_boxes
from pocketvision.data.mask_writers.catalog import MASK_WRITERS, WrittenMasks, write_masks
from pocketvision.data.samples import Samples
from pocketvision.errors import UsageError, unknown_name
from pocketvision.tasks.detection.truth import DETECTION
from pocketvision.tasks.segmentation.truth import SEGMENTATION


def kind_written(target: str, task: str | None) -> str:
    """The kind of task whose truth the form `target` takes: `task` where one is asked for, else boxes before masks. Raises
    UsageError for an unknown form, and for another kind."""
    forms = {**WRITERS, **MASK_WRITERS}
    if target not in forms:
        raise unknown_name("format to write", target, forms)
    if task not in (None, DETECTION, SEGMENTATION):
        raise UsageError(f"--task {task}: what is converted are boxes (detection) or masks (segmentation).")
    return task or (DETECTION if target in WRITERS else SEGMENTATION)


def write_truth(samples: Samples, kind: str, target: str, out: Path) -> Written | WrittenMasks:
    """Boxes, or masks where those are asked for or there is nothing else; `lines` begin with how the data was understood and
    what was wrong in it. Raises what write_boxes and write_masks raise."""
    told = (*samples.account, *(finding.message for finding in samples.found))
    if kind == SEGMENTATION or DETECTION not in samples.truth:
        masks = write_masks(samples, target, out)
        return WrittenMasks(masks.folder, masks.images, (*told, *masks.lines))
    boxes = write_boxes(samples, target, out)
    return Written(boxes.folder, boxes.images, boxes.boxes, (*told, *boxes.lines))
