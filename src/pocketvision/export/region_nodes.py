"""What models/heads/detection/regions.py does, in ONNX: NonMaxSuppression and RoiAlign, of opset 16 or later."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pocketvision.models.heads.detection.regions import CELLS, NOT, SAMPLES


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """For torch's exporter: from each operation to what says it in ONNX."""
    import torch

    own = torch.ops.pocketvision
    return {own.proposals_kept.default: _proposals_kept, own.regions_of.default: _regions_of}


def _proposals_kept(boxes: Any, scores: Any, lengths: Sequence[int], iou: float) -> Any:
    """A level is a class of NonMaxSuppression, to which the boxes of others do not belong."""
    from onnxscript import opset18 as op

    places = np.repeat(np.arange(len(lengths)), lengths)
    own = _constant(np.arange(len(lengths))[:, None] == places)
    of_level = op.Where(own, op.Unsqueeze(scores, _constant([1])), _constant(NOT, np.float32))
    found = op.NonMaxSuppression(
        boxes, of_level, _constant([max(lengths)]), _constant([iou], np.float32), _constant([NOT / 2], np.float32)
    )  # image, level and box of each
    count = op.Slice(op.Shape(found), _constant([0]), _constant([1]))
    return op.ScatterND(
        op.Expand(_constant(0, np.float32), op.Shape(scores)),
        op.Gather(found, _constant([0, 2]), axis=1),
        op.Expand(_constant(1, np.float32), count),
    )


def _regions_of(levels: Sequence[Any], strides: Sequence[int], boxes: Any, images: Any, places: Any) -> Any:
    """Each box is looked up in its own map alone."""
    from onnxscript import opset18 as op

    inside = [CELLS, CELLS]
    shape = op.Concat(
        op.Slice(op.Shape(boxes), _constant([0]), _constant([1])),
        op.Slice(op.Shape(levels[0]), _constant([1]), _constant([2])),
        _constant(inside),
        axis=0,
    )
    found = op.Expand(_constant(0, np.float32), shape)
    for place, (level, stride) in enumerate(zip(levels, strides, strict=True)):
        own = op.Transpose(op.NonZero(op.Equal(places, _constant(place))), perm=[1, 0])
        rows = op.Squeeze(own, _constant([1]))
        seen = op.RoiAlign(
            level,
            op.Gather(boxes, rows),
            op.Gather(images, rows),
            coordinate_transformation_mode="output_half_pixel",
            mode="avg",
            output_height=CELLS,
            output_width=CELLS,
            sampling_ratio=SAMPLES,
            spatial_scale=1 / stride,
        )
        found = op.ScatterND(found, own, seen)
    return found


def _constant(value: Any, kind: Any = None) -> Any:
    """Whole numbers as ONNX wants them, int64, unless another kind is asked for."""
    import onnx
    from onnxscript import opset18 as op

    array = np.asarray(value)
    array = array.astype(kind or (bool if array.dtype == bool else np.int64))
    return op.Constant(value=onnx.numpy_helper.from_array(array))
