"""The frozen part of a network in ONNX Runtime: images to activations at the cut, and those to pooled features."""

import contextlib
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, InvalidProtobuf
from torch import Tensor, nn

from pocketvision.export.to_onnx import write_graph
from pocketvision.models.network import Network, fold_norms
from pocketvision.runtime.backends import usable_cores
from pocketvision.training.trunk_cache import FeatureLayout

# Every batch has this many rows (the last is filled up), so that the numbers do not depend on how many are left.
RUNTIME_BATCH = 32
CUT, POOLED = "cut", "pooled"


class TrunkRuntime:
    """Runs the two graphs that `compile_trunk` wrote into a folder; both take 1 to RUNTIME_BATCH rows.

    ONNX Runtime, because it runs EfficientNet-Lite0 at 200 images/s on 2 cores where eager PyTorch, channels-last, runs it at 42.
    """

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or usable_cores()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._trunk, self._tail = (
            onnxruntime.InferenceSession(folder / name, options, providers=["CPUExecutionProvider"])
            for name in (_TRUNK_FILE, _TAIL_FILE)
        )

    def cut(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Preprocessed images (N, 3, H, W) to activations at the cut, (N, channels, h, w)."""
        return _run(self._trunk, images)

    def pooled(self, activations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Activations at the cut, (N, channels, h, w), to pooled features, (N, features)."""
        return _run(self._tail, activations)


def compile_trunk(
    network: Network, cut: int, *, height: int, width: int, folder: Path, threads: int | None = None
) -> TrunkRuntime:
    """Write the trunk, and the tail as it is before training, as two ONNX files into `folder`, and open them.

    Files that are there already are opened as they are, and written anew only if ONNX Runtime can not load them.
    """
    if all((folder / name).exists() for name in (_TRUNK_FILE, _TAIL_FILE)):
        with contextlib.suppress(Fail, InvalidGraph, InvalidProtobuf):
            return TrunkRuntime(folder, threads)
    folded = fold_norms(network).to(memory_format=torch.contiguous_format)
    example = torch.zeros(2, 3, height, width)
    with torch.no_grad():
        activations = folded.trunk(example, cut)
    write_graph(_Trunk(folded, cut).eval(), folder / _TRUNK_FILE, example=example, outputs=(CUT,))
    write_graph(_Tail(folded, cut).eval(), folder / _TAIL_FILE, example=activations, outputs=(POOLED,))
    return TrunkRuntime(folder, threads)


def trunk_layouts(network: Network, cut: int, *, height: int, width: int) -> tuple[FeatureLayout, FeatureLayout]:
    """How cached rows look: activations in half precision; pooled features, small and all that stage 1 sees, in full."""
    with torch.no_grad():
        activations = network.eval().trunk(torch.zeros(1, 3, height, width), cut)
    return (
        FeatureLayout(CUT, tuple(activations.shape[1:]), "float16"),
        FeatureLayout(POOLED, (network.feature_channels,), "float32"),
    )


_TRUNK_FILE, _TAIL_FILE = "trunk.onnx", "tail.onnx"


def _run(session: onnxruntime.InferenceSession, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    count = len(rows)
    if count < RUNTIME_BATCH:
        rows = np.concatenate([rows, np.zeros((RUNTIME_BATCH - count, *rows.shape[1:]), np.float32)])
    (result,) = session.run(None, {session.get_inputs()[0].name: rows})
    return np.asarray(result)[:count]


class _Trunk(nn.Module):
    def __init__(self, network: Network, cut: int) -> None:
        super().__init__()
        self.network = network
        self.cut = cut

    def forward(self, images: Tensor) -> Tensor:
        return self.network.trunk(images, self.cut)


class _Tail(_Trunk):
    def forward(self, activations: Tensor) -> Tensor:
        return self.network.tail(activations, self.cut)
