"""The frozen part of a network in ONNX Runtime: images in, activations at the cut and pooled features out."""

import os
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketvision.export.to_onnx import write_graph
from pocketvision.models.network import Network, fold_norms
from pocketvision.training.trunk_cache import FeatureLayout

# Every batch has this many images (the last is filled up), so that the numbers do not depend on how many are left.
RUNTIME_BATCH = 32
CUT, POOLED = "cut", "pooled"


class TrunkRuntime:
    """Computes `cut` (N, channels, h, w) and `pooled` (N, features), float32, for preprocessed images (N, 3, H, W).

    Measured with EfficientNet-Lite0 at 224 pixels on 2 cores, against the same network in eager PyTorch (channels-last):
    benchmarks/train_speed.py prints both.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or os.cpu_count() or 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def __call__(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Run 1 to RUNTIME_BATCH images."""
        count = len(images)
        if count < RUNTIME_BATCH:
            images = np.concatenate([images, np.zeros((RUNTIME_BATCH - count, *images.shape[1:]), np.float32)])
        cut, pooled = self._session.run([CUT, POOLED], {"images": images})
        return {CUT: cut[:count], POOLED: pooled[:count]}


def compile_trunk(network: Network, cut: int, *, height: int, width: int, path: Path) -> None:
    """Write the trunk, and the tail as it is now, as one ONNX file with outputs `cut` and `pooled`."""
    model = _TrunkAndFeatures(fold_norms(network).to(memory_format=torch.contiguous_format), cut).eval()
    write_graph(model, path, height=height, width=width, outputs=(CUT, POOLED))


def trunk_layouts(network: Network, cut: int, *, height: int, width: int) -> list[FeatureLayout]:
    """How one cached row looks: activations in half precision, pooled features (small, and all that stage 1 sees) in full."""
    with torch.no_grad():
        activations = network.eval().trunk(torch.zeros(1, 3, height, width), cut)
    return [
        FeatureLayout(CUT, tuple(activations.shape[1:]), "float16"),
        FeatureLayout(POOLED, (network.feature_channels,), "float32"),
    ]


class _TrunkAndFeatures(nn.Module):
    def __init__(self, network: Network, cut: int) -> None:
        super().__init__()
        self.network = network
        self.cut = cut

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        activations = self.network.trunk(images, self.cut)
        return activations, self.network.tail(activations, self.cut)
