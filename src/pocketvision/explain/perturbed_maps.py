"""Maps from what happens to the score when parts of the image are covered or kept: on any file that a backend runs, without
torch."""

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import UsageError
from pocketvision.explain.choice import Choice
from pocketvision.explain.heat_map import Heat, on_input
from pocketvision.explain.subject import BATCH, Inputs, Subject

WINDOWS = 7
"""Covered squares fit so many times along the input's shorter side; they move by half of theirs."""
CHANNELS = 64
"""Of Score-CAM: the channels that vary most. A run each."""


def occlusion(subject: Subject, image: Inputs, choice: Choice, windows: int = WINDOWS) -> Heat:
    """(H, W) of one image (1, 3, H, W): by how much the score falls where a square of the mean colour covers the place, on
    average over the squares that do (Zeiler & Fergus, 2014, section 4.2, https://arxiv.org/abs/1311.2901). Raises
    UsageError for windows below 2."""
    if windows < 2:
        raise UsageError(f"windows is {windows}; expected 2 or more along the shorter side.")
    height, width = image.shape[2:]
    side = max(min(height, width) // windows, 1)
    step = max(side // 2, 1)
    corners = [(top, left) for top in _starts(height, side, step) for left in _starts(width, side, step)]
    whole = float(subject.scores(image, choice)[0])
    fallen, covered = np.zeros((height, width)), np.zeros((height, width))
    for start in range(0, len(corners), BATCH):
        part = corners[start : start + BATCH]
        batch = np.repeat(image, len(part), axis=0)
        for row, (top, left) in enumerate(part):
            batch[row, :, top : top + side, left : left + side] = 0
        for (top, left), score in zip(part, subject.scores(batch, choice).tolist(), strict=True):
            fallen[top : top + side, left : left + side] += whole - score
            covered[top : top + side, left : left + side] += 1
    found: Heat = (fallen / covered).astype(np.float32)
    return found


def _starts(length: int, side: int, step: int) -> list[int]:
    """Where squares begin, so that every pixel is covered."""
    return sorted({*range(0, length - side + 1, step), length - side})


def score_cam(
    subject: Subject, image: Inputs, choice: Choice, layer: str = "", channels: int = CHANNELS
) -> tuple[Heat, str]:
    """(h, w) and the layer's name: each channel of a layer's activations is weighed by the score of the image that it alone
    lets through, by softmax (Wang et al., 2020, equation 5, https://arxiv.org/abs/1910.01279), of the `channels` that vary most.

    layer: a value of model.onnx by its name; empty takes the deepest map. Raises UsageError for one that is not there or no map,
    and for no channels; BundleError for a bundle without model.onnx.
    """
    if channels < 1:
        raise UsageError(f"channels is {channels}; expected 1 or more.")
    inner = subject.inner
    layer = layer or inner.deepest_map(image)
    level = inner.run(image, (layer,))[layer][0]
    if level.ndim != 3:
        raise UsageError(
            f"The value {layer} of model.onnx is {level.shape} for an image, no map: expected (channels, h, w)."
        )
    level = np.maximum(level, 0)[np.argsort(-level.std(axis=(1, 2)), kind="stable")[:channels]]
    size = (image.shape[3], image.shape[2])
    masks = np.stack([_from_0_to_1(on_input(each, size)) for each in level])
    gained = subject.scores(image * masks[:, None], choice) - subject.scores(np.zeros_like(image), choice)
    shares = np.exp(gained - gained.max())
    found: Heat = np.einsum("chw,c->hw", level, shares / shares.sum()).astype(np.float32)
    return found, layer


def _from_0_to_1(values: Heat) -> NDArray[np.float32]:
    span = float(values.max() - values.min())
    scaled: NDArray[np.float32] = (values - values.min()) / span if span > 0 else np.zeros_like(values)
    return scaled
