"""The frozen part of a network in ONNX Runtime: images to what is kept at the cut, and that to the features above it."""

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, InvalidProtobuf
from torch import Tensor, nn

from pocketvision.export.to_onnx import write_graph
from pocketvision.models.features import CUT
from pocketvision.models.network import Network, fold_norms
from pocketvision.runtime.backends import usable_cores
from pocketvision.training.trunk_cache import FeatureLayout

# Every batch has this many rows (the last is filled up), so that the numbers do not depend on how many are left.
RUNTIME_BATCH = 32

Arrays = dict[str, NDArray[np.float32]]


class TrunkRuntime:
    """Runs the graphs that `compile_trunk` wrote into a folder, one pass each; they take 1 to RUNTIME_BATCH rows. same: features
    that neither gives, because the activations at the cut are they.

    ONNX Runtime, because it runs EfficientNet-Lite0 at 200 images/s on 2 cores where eager PyTorch, channels-last, runs it at 42.
    """

    def __init__(self, folder: Path, threads: int | None = None, same: tuple[str, ...] = ()) -> None:
        self.same = same
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or usable_cores()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._trunk, self._tail = (
            onnxruntime.InferenceSession(folder / name, options, providers=["CPUExecutionProvider"])
            if (folder / name).exists()
            else None
            for name in (_TRUNK_FILE, _TAIL_FILE)
        )

    def trunk(self, images: NDArray[np.float32]) -> Arrays:
        """Preprocessed images (N, 3, H, W) to `cut`, the activations there, and the features that were asked for below it."""
        return _run(self._trunk, images)

    def tail(self, activations: NDArray[np.float32]) -> Arrays:
        """Activations at the cut, a batch first, to the features that were asked for above it."""
        return _run(self._tail, activations)


def compile_trunk(
    network: Network,
    cut: int,
    names: Iterable[str],
    *,
    height: int,
    width: int,
    folder: Path,
    threads: int | None = None,
) -> TrunkRuntime:
    """Write the trunk, and the tail as it is before training, as ONNX files that give the features `names` into `folder`, and
    open them. No tail when none of them lies above the cut.

    Files that are there already are opened as they are, and written anew only if ONNX Runtime can not load them.
    """
    names = tuple(dict.fromkeys(names))
    below, above = _split(network, cut, names)
    same = network.at_cut(names, cut)
    graphs = (_TRUNK_FILE, _TAIL_FILE) if above else (_TRUNK_FILE,)
    if all((folder / name).exists() for name in graphs):
        with contextlib.suppress(Fail, InvalidGraph, InvalidProtobuf):
            return TrunkRuntime(folder, threads, same)
    folded = fold_norms(network).to(memory_format=torch.contiguous_format)
    example = torch.zeros(2, 3, height, width)
    trunk = _Trunk(folded, cut, below).eval()
    write_graph(trunk, folder / _TRUNK_FILE, example=example, outputs=(CUT, *below))
    if above:
        with torch.no_grad():
            activations = folded.trunk(example, cut)
        tail = _Tail(folded, cut, above, (height, width)).eval()
        write_graph(tail, folder / _TAIL_FILE, example=activations, outputs=above)
    return TrunkRuntime(folder, threads, same)


@torch.no_grad()
def trunk_layouts(
    network: Network, cut: int, names: Iterable[str], *, height: int, width: int
) -> tuple[tuple[FeatureLayout, ...], tuple[FeatureLayout, ...]]:
    """How cached rows of the features `names` look: what the trunk gives (the activations at the cut, and what lies below it),
    and what the tail gives. Maps in half precision; pooled features, which are small, in full."""
    below, above = _split(network, cut, names)
    kept = network.eval().below(torch.zeros(1, 3, height, width), cut, below)
    made = network.above(kept, cut, above, size=(height, width))
    return tuple(_layout(*each) for each in kept.items()), tuple(_layout(*each) for each in made.items())


_TRUNK_FILE, _TAIL_FILE = "trunk.onnx", "tail.onnx"


def _layout(name: str, example: Tensor) -> FeatureLayout:
    shape = tuple(example.shape[1:])
    return FeatureLayout(name, shape, "float32" if name != CUT and len(shape) == 1 else "float16")


def _split(network: Network, cut: int, names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of features below the cut, and of those above it; without what the activations at the cut are themselves."""
    every = tuple(dict.fromkeys(names))
    below = tuple(name for name in every if network.feature(name).is_below(cut))
    return below, tuple(name for name in every if name not in {*below, *network.at_cut(every, cut)})


def _run(session: onnxruntime.InferenceSession | None, rows: NDArray[np.float32]) -> Arrays:
    if session is None:
        raise ValueError("no feature above the cut was asked for when the trunk was compiled")
    count = len(rows)
    if count < RUNTIME_BATCH:
        rows = np.concatenate([rows, np.zeros((RUNTIME_BATCH - count, *rows.shape[1:]), np.float32)])
    results = session.run(None, {session.get_inputs()[0].name: rows})
    return {
        output.name: np.asarray(result)[:count] for output, result in zip(session.get_outputs(), results, strict=True)
    }


class _Trunk(nn.Module):
    def __init__(self, network: Network, cut: int, names: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.cut = cut
        self.names = names

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network.below(images, self.cut, self.names).values())


class _Tail(_Trunk):
    def __init__(self, network: Network, cut: int, names: Sequence[str], size: tuple[int, int]) -> None:
        super().__init__(network, cut, names)
        self.size = size

    def forward(self, activations: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network.above({CUT: activations}, self.cut, self.names, size=self.size).values())
