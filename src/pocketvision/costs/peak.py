"""What the machine can do: the float32 operations a second that a matrix product (GEMM) reaches."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch

SIDES, REPEATS = (512, 1024), 8
"""Of the square matrices: the smaller ones stay in a core's cache, the larger ones give many cores enough to do."""


def peak_gflops_per_second(threads: int) -> float:
    """The best of REPEATS products of SIDES, by PyTorch and by ONNX Runtime, on so many threads. Two of them, because a library
    need not know every CPU: on one of AMD's, PyTorch's product reached 110, ONNX Runtime's 240 on one core."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return max(2 * side**3 / _best(product) / 1e9 for side in SIDES for product in _products(side, threads))
    finally:
        torch.set_num_threads(before)


def _best(product: Callable[[], object]) -> float:
    """Seconds."""
    best = float("inf")
    for _ in range(REPEATS):
        started = time.perf_counter()
        product()
        best = min(best, time.perf_counter() - started)
    return best


def _products(side: int, threads: int) -> Iterator[Callable[[], object]]:
    import onnxruntime

    first, second = np.random.default_rng(0).random((2, side, side), dtype=np.float32)
    of_torch = torch.from_numpy(first), torch.from_numpy(second)
    yield lambda: torch.mm(*of_torch)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(_matmul(side), options, providers=["CPUExecutionProvider"])
    yield lambda: session.run(None, {"first": first, "second": second})


def _matmul(side: int) -> bytes:
    """An ONNX file of one product."""
    from onnx import TensorProto, helper

    first, second, product = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [side, side]) for name in ("first", "second", "product")
    )
    node = helper.make_node("MatMul", ["first", "second"], ["product"])
    graph = helper.make_graph([node], "product", [first, second], [product])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    content: bytes = model.SerializeToString()
    return content
