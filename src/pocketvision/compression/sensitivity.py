"""Which layers suffer from 8 bits, measured one by one."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.compression.quantize_onnx import quantize_onnx, weighted_layers
from pocketvision.compression.settings import Settings
from pocketvision.runtime.backends import open_onnx
from pocketvision.tasks.differences import output_differences
from pocketvision.tasks.manifest import TaskManifest


@dataclass(frozen=True)
class Sensitivity:
    """A layer alone in 8 bits, all else in float: the mean over images of the largest change of a probability, or of what stands
    for one (tasks/differences.py)."""

    layer: str
    weights: int
    difference: float


def layer_sensitivities(
    tasks: Mapping[str, TaskManifest],
    path: Path,
    settings: Settings,
    calibration: Sequence[NDArray[np.float32]],
    images: NDArray[np.float32],
    *,
    on_layer: Callable[[int, int], None] | None = None,
) -> tuple[Sensitivity, ...]:
    """Every convolution and linear layer of the ONNX file `path`, the most sensitive first, on a few `images` (N, 3, H, W).

    path: what prepare_onnx wrote. on_layer: called with the layers done and their total.
    """
    reference = open_onnx(path).run(images)
    layers = weighted_layers(path)
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        one = Path(temporary) / "one.onnx"
        # Ranges by their extremes, whatever the settings: a histogram for every layer of every layer's turn takes hours.
        alone = replace(settings, calibration="minmax", float_layers=())
        for number, (layer, weights) in enumerate(layers.items(), start=1):
            quantize_onnx(path, one, alone, calibration, only=(layer,))
            differences = output_differences(tasks, reference, open_onnx(one).run(images))
            found.append(Sensitivity(layer, weights, max(float(each.values.mean()) for each in differences)))
            if on_layer is not None:
                on_layer(number, len(layers))
    return tuple(sorted(found, key=lambda each: -each.difference))
