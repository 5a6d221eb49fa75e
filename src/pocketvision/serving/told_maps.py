"""Where a class is seen, as a prediction tells it: a small grid of numbers, and where it lies in the image."""

from typing import Any

import numpy as np

from pocketvision.explain.heat_map import positive
from pocketvision.explain.shipped_map import shipped_map
from pocketvision.serving.served_model import ServedModel, ServedPrediction
from pocketvision.tasks.task import Detail

DECIMALS = 3


def told_maps(model: ServedModel, predicted: ServedPrediction, detail: Detail) -> dict[str, Any]:
    """`maps` by task: `class`, `layer`, `box` (left, top, right, bottom of the map in pixels of the upright image) and `values`,
    rows of numbers from 0 to 1, the hottest 1; of tasks that have none, and of a class without a map, nothing. Empty where none
    is wanted."""
    if not detail.map:
        return {}
    found = {}
    for name, own in model.maps.items():
        if name not in predicted.answers or predicted.placement is None:
            continue
        heat = shipped_map(predicted.outputs, own, model.tasks[name], predicted.answers[name])
        if heat is not None:
            width, height = predicted.placement.input_size
            (box,) = predicted.placement.boxes_to_image(np.array([[0, 0, width, height]], np.float64)).round(1).tolist()
            values = positive(heat.values).astype(np.float64).round(DECIMALS).tolist()
            found[name] = {"class": heat.words, "layer": heat.layer, "box": box, "values": values}
    return {"maps": found}
