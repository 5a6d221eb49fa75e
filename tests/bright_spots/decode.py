"""From two levels of scores to points in the image: the peaks of the fine level, where the coarse one agrees."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bright_spots.answer import BrightSpots, Spot
from pocketvision.preprocessing import Placement
from pocketvision.tasks.manifest import TaskManifest, Tensors
from pocketvision.tasks.task import Detail

THRESHOLD = 0.5
"""Of a score, where the bundle ships none."""


def decode(outputs: Tensors, placements: Sequence[Placement], task: TaskManifest, detail: Detail) -> list[BrightSpots]:
    """outputs: `fine` (N, H, W) and `coarse` (N, h, w), shares of 1."""
    least = detail.min_score
    if least is None:
        least = float(task.postprocessing.get("threshold", THRESHOLD))
    return [
        _found(fine, coarse, place, least, detail.most)
        for fine, coarse, place in zip(outputs["fine"], outputs["coarse"], placements, strict=True)
    ]


def _found(
    fine: NDArray[np.float32], coarse: NDArray[np.float32], place: Placement, least: float, most: int
) -> BrightSpots:
    ratio = fine.shape[0] // coarse.shape[0]
    scores = np.sqrt(fine * np.repeat(np.repeat(coarse, ratio, 0), ratio, 1))
    around = np.lib.stride_tricks.sliding_window_view(np.pad(fine, 1, constant_values=-1), (3, 3))
    rows, columns = np.nonzero((fine >= around.max(axis=(2, 3))) & (scores >= least))
    order = np.argsort(-scores[rows, columns], kind="stable")[:most]
    rows, columns = rows[order], columns[order]
    stride = np.array(place.input_size) / fine.shape[::-1]
    xy = place.to_image((np.stack([columns, rows], axis=1) + 0.5) * stride)
    return BrightSpots(
        tuple(
            Spot(x, y, score)
            for (x, y), score in zip(xy.tolist(), scores[rows, columns].astype(float).tolist(), strict=True)
        )
    )
