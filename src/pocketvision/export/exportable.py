"""What every export target starts from: a trained network and all that makes its answers."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketvision.bundle import GraphManifest, TensorInfo
from pocketvision.models.network import CLASSIFICATION, Decoded, Network, fold_norms
from pocketvision.preprocessing import Preprocessing

BATCH = "batch"
SIZE = ("height", "width")
"""The names of free dimensions."""

Answers = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Preprocessed images (N, 3, H, W) to probabilities (N, classes)."""


@dataclass(frozen=True, eq=False)
class Exportable:
    """A network in eval mode, its class names in index order, its preprocessing, and the temperature of its probabilities.

    calibration: preprocessed training images (N, 3, H, W), for the targets that find the ranges of 8 bits on them.
    Targets leave the network as it is. Raises ValueError for a temperature that is not above 0.
    """

    network: Network
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    temperature: float = 1.0
    calibration: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"the temperature is {self.temperature}; expected a number above 0")

    def graph(self) -> nn.Module:
        """A copy from images to logits and probabilities, norms folded."""
        postprocessing = {CLASSIFICATION: {"temperature": self.temperature}}
        return Decoded(fold_norms(self.network).cpu(), postprocessing).eval()

    def example(self, batch: int = 2) -> Tensor:
        """Empty images to trace with. Two of them: a batch of one would be taken for a constant."""
        return torch.zeros(batch, 3, self.preprocessing.height, self.preprocessing.width)

    def pixel_graph_manifest(self, name: str, files: tuple[str, ...]) -> GraphManifest:
        """What it says of a graph that takes one image of any size."""
        outputs = tuple(TensorInfo(output, "float32", (1, len(self.labels))) for output in ("logits", "probabilities"))
        return GraphManifest(name, (TensorInfo("image", "uint8", ("height", "width", 3)),), outputs, files)

    def graph_manifest(
        self, name: str, files: tuple[str, ...], *, batch: int | str = BATCH, free_size: bool = False
    ) -> GraphManifest:
        """What the bundle's manifest says of an exported graph. free_size: it takes images of any height and width."""
        height, width = SIZE if free_size else (self.preprocessing.height, self.preprocessing.width)
        outputs = tuple(
            TensorInfo(output, "float32", (batch, len(self.labels))) for output in ("logits", "probabilities")
        )
        images = TensorInfo("images", "float32", (batch, 3, height, width))
        return GraphManifest(name, (images,), outputs, files)
