"""What images were like when a bundle was measured: shares over fixed bins, to hold later images against. No torch.

Two features: confidence, how sure a task is of its answer (of classification the probability of the most probable class), and
brightness, the mean luma of the network's crop.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import log

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketvision.preprocessing import Preprocessing

CONFIDENCE, BRIGHTNESS = "confidence", "brightness"

# Finer towards 1, where a good network's answers crowd.
CONFIDENCE_EDGES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0)
# Fine enough for a fixed camera, whose pictures are all much alike.
BRIGHTNESS_EDGES = tuple(step / 20 for step in range(1, 21))

_LUMA = np.array((0.299, 0.587, 0.114), np.float32)  # ITU-R BT.601, as Pillow's "L"

_LEAST_IN_A_BIN, _LEAST_SHARE_OF_A_BIN = 30, 0.02


@dataclass(frozen=True)
class Distribution:
    """How many images fell into each bin of a feature.

    edges: the bins' upper bounds, rising; a value equal to one belongs to the bin below it, as in a histogram of Prometheus.
    The first bin takes what is lower, the last what is higher. counts: images in each bin. split: whose images they were: "val",
    "test", or "data" for images without splits; never those of a training. Raises ValueError for bins that are none.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    split: str = ""

    def __post_init__(self) -> None:
        if not self.edges or any(not low < high for low, high in pairwise(self.edges)):
            raise ValueError(f"edges are {list(self.edges)}; expected rising numbers")
        if len(self.counts) != len(self.edges) or min(self.counts) < 0 or not sum(self.counts):
            raise ValueError(f"counts are {list(self.counts)}; expected {len(self.edges)} counts of one image or more")

    @property
    def images(self) -> int:
        """How many images were measured."""
        return sum(self.counts)

    def cumulative_shares(self) -> list[float]:
        """For each edge the share of images at or below it, in [0, 1]; the last is 1."""
        return [count / self.images for count in accumulate(self.counts)]


def distribution(values: NDArray[np.floating], edges: tuple[float, ...], split: str) -> Distribution:
    """Of values (n,), n >= 1."""
    counts = np.bincount([bin_of(edges, value) for value in values.tolist()], minlength=len(edges))
    return Distribution(edges, tuple(counts.tolist()), split)


def baseline_of(
    confidences: Mapping[str, Iterable[float | None]], brightness: NDArray[np.floating], split: str
) -> dict[str, Distribution]:
    """What a bundle's manifest keeps of n >= 1 images, by their brightness (n,) and their confidences by the tasks' names, (n)
    each; None of an image without an answer to be sure of."""
    found = {}
    for task, feature in confidence_features(confidences).items():
        sure = np.array([value for value in confidences[task] if value is not None])
        if len(sure):
            found[feature] = distribution(sure, CONFIDENCE_EDGES, split)
    return {**found, BRIGHTNESS: distribution(brightness, BRIGHTNESS_EDGES, split)}


def confidence_features(tasks: Iterable[str]) -> dict[str, str]:
    """The name of the confidences of each task: `confidence` where one is alone, else `TASK.confidence`."""
    names = list(tasks)
    return {name: CONFIDENCE if len(names) == 1 else f"{name}.{CONFIDENCE}" for name in names}


def edges_of(feature: str) -> tuple[float, ...]:
    """The upper bounds of a feature's bins, as baselines are written now."""
    return BRIGHTNESS_EDGES if feature == BRIGHTNESS else CONFIDENCE_EDGES


def bin_of(edges: Sequence[float], value: float) -> int:
    """The index of the bin that a value belongs to."""
    return min(bisect_left(edges, value), len(edges) - 1)


def brightness_of_crop(image: Image.Image | NDArray[np.float32]) -> float:
    """Mean luma, in [0, 1], of an 8-bit RGB image of any size, (width, height), or of grey levels (height, width, 3).

    Measured at 224 x 224 on one core: 0.06 ms; from the same pixels as an array of bytes, channel by channel, 0.8 ms.
    """
    if not isinstance(image, Image.Image):
        return float(image.mean(axis=(0, 1)) @ _LUMA / 255)
    return float(np.asarray(image.convert("L")).mean() / 255)


def brightness_of_inputs(images: NDArray[np.float32], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """The same, (n,), of images that were normalised already, (n, 3, H, W): luma is linear, so their channels' means tell.

    0.03 ms an image of 224 x 224.
    """
    means = images.mean(axis=(2, 3)) * np.asarray(preprocessing.std, np.float32)
    brightness: NDArray[np.float32] = (means + np.asarray(preprocessing.mean, np.float32)) @ _LUMA
    return brightness


def stability_index(expected: Sequence[int], found: Sequence[int]) -> float | None:
    """The population stability index of the images counted in `found` against those in `expected`, both by the same bins.

    Sum of (q - p) ln(q / p) over bins, with the shares p expected and q found. Bins with few images are joined with the next one,
    or single images would decide; None when only one is left, which can tell nothing. Half an image is added to each bin,
    so that an empty one is no infinity.

    Two samples of one population never agree exactly: with m and n images in k bins the index is then distributed as
    (1 / m + 1 / n) times chi-squared with k - 1 degrees of freedom (B. Yurdakul, Statistical Properties of Population Stability
    Index, Western Michigan University, 2018). That expectation is taken off; what would be negative is 0.
    """
    groups = _joined(expected)
    if groups[-1] == 0 or not sum(found):
        return None
    bins = groups[-1] + 1
    before, after = ([0.5] * bins for _ in range(2))
    for group, one, other in zip(groups, expected, found, strict=True):
        before[group] += one
        after[group] += other
    shares = [(one / sum(before), other / sum(after)) for one, other in zip(before, after, strict=True)]
    index = sum((q - p) * log(q / p) for p, q in shares)
    return max(0.0, index - (bins - 1) * (1 / sum(expected) + 1 / sum(found)))


def _joined(counts: Sequence[int]) -> list[int]:
    """For each bin the group it belongs to, from 0 on: neighbours, together of enough images."""
    least = max(_LEAST_IN_A_BIN, _LEAST_SHARE_OF_A_BIN * sum(counts))
    groups, group, held, left = [], 0, 0, sum(counts)
    for count in counts:
        groups.append(group)
        held, left = held + count, left - count
        if held >= least and left >= least:
            group, held = group + 1, 0
    return groups
