"""Whether the input shows what is to be seen large enough."""

from collections.abc import Sequence

import numpy as np

from pocketvision.data.boxes.input_size import FEW, SMALL
from pocketvision.diagnosis.finding import Finding
from pocketvision.preprocessing import Placement, Preprocessing
from pocketvision.tasks.detection.truth import BoxLabels
from pocketvision.tasks.segmentation.truth import MaskLabels
from pocketvision.tasks.truth import Truth

LEFT = 0.2
"""Of a picture's side, as a share of its pixels, below which an input is said to be small for it."""


def too_small(task: str, truth: Truth, placements: Sequence[Placement], preprocessing: Preprocessing) -> Finding:
    """Of training pictures: where objects or areas lie in the input; of other tasks only how much smaller pictures become."""
    scales = np.array([np.sqrt(abs(np.linalg.det(each.matrix[:2, :2]))) for each in placements])
    size = max(preprocessing.width, preprocessing.height)
    if isinstance(truth, BoxLabels):
        return _boxes(task, truth, scales, size)
    if isinstance(truth, MaskLabels):
        return _areas(task, truth, scales, size)
    about, scale = f"input size for {task}", float(np.median(scales))
    text = f"At {size} px the median picture is shown at {scale:.2f} of its size; where its subject is, the labels do not say"
    if scale < LEFT:
        step = f"If what matters is small in the picture, try a larger input: --size {_larger(size)}, or crop to the subject."
        return Finding(about, "look", f"{text}.", step, {"scale": scale})
    if scale > 1:
        step = f"Pictures are smaller than the input: --size {max(32, round(size / scale / 32) * 32)} costs less."
        return Finding(about, "look", f"{text}.", step, {"scale": scale})
    return Finding(about, "fine", f"{text}.", figures={"scale": scale})


def _boxes(task: str, truth: BoxLabels, scales: "np.ndarray[tuple[int], np.dtype[np.float64]]", size: int) -> Finding:
    about = f"input size for {task}"
    sides = (truth.boxes[:, 2:] - truth.boxes[:, :2]).min(axis=1) * scales[truth.images]
    sides = sides[~truth.rows.columns["crowd"]]
    if not len(sides):
        return Finding(about, "unknown", "None of the pictures looked at has an object.")
    small, median = float(np.mean(sides < SMALL)), float(np.median(sides))
    figures = {"small": small, "median": median, "objects": len(sides)}
    text = f"At {size} px {small:.1%} of {len(sides)} objects have a shorter side below {SMALL:g} px, the median {median:.0f} px"
    if small > FEW:
        step = f"Train at a larger input: --size {_larger(size)} (pocketvision check DATA names the smallest that is enough)."
        return Finding(about, "problem" if small > 5 * FEW else "look", f"{text}.", step, figures)
    return Finding(about, "fine", f"{text}.", figures=figures)


def _areas(task: str, truth: MaskLabels, scales: "np.ndarray[tuple[int], np.dtype[np.float64]]", size: int) -> Finding:
    about, medians = f"input size for {task}", {}
    areas = truth.pixels[:, : len(truth.class_names)] * scales[:, None] ** 2
    for place, name in enumerate(truth.class_names):
        own = areas[areas[:, place] > 0, place]
        if len(own):
            medians[name] = float(np.median(own))
    if not medians:
        return Finding(about, "unknown", "None of the masks looked at has a class.")
    name = min(medians, key=lambda each: medians[each])
    text = (
        f"At {size} px the smallest class is {name}: {medians[name]:.0f} px of area in the median picture that has it"
    )
    figures = {"class": name, "pixels": medians[name]}
    if medians[name] < SMALL**2:
        step = f"Look at parts instead of the whole: --set data.tile=PIXELS, or a larger input: --size {_larger(size)}."
        return Finding(about, "look", f"{text}.", step, figures)
    return Finding(about, "fine", f"{text}.", figures=figures)


def _larger(size: int) -> int:
    return round(1.5 * size / 32) * 32
