"""ONNX Runtime on the CPU."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.bundle import Bundle
from pocketvision.errors import BundleError


class OnnxBackend:
    """One ONNX Runtime session. Safe to call from several threads at once; each call uses the session's threads."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._input = session.get_inputs()[0]
        self._outputs = [output.name for output in session.get_outputs()]

    def run(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Preprocessed images (N, 3, H, W) to `logits` and `probabilities`, (N, classes) each.

        Raises ValueError when the images have another size or type than the graph's input.
        """
        expected = tuple(self._input.shape[1:])
        if images.dtype != np.float32 or images.ndim != 4 or images.shape[1:] != expected:
            raise ValueError(
                f"the input is {images.dtype} with the shape {images.shape}; expected float32 with (images, "
                f"{', '.join(map(str, expected))})"
            )
        values = self._session.run(self._outputs, {self._input.name: images})
        return dict(zip(self._outputs, values, strict=True))


def open_bundle(bundle: Bundle, threads: int) -> OnnxBackend:
    """Open the bundle's ONNX file. Raises BundleError when there is none or it can not be loaded."""
    for graph in bundle.manifest.graphs:
        for name in graph.files:
            if name.endswith(".onnx"):
                return open_file(bundle.path(name), threads)
    raise BundleError(f"{bundle.folder}: the bundle has no ONNX file for the onnxruntime backend")


def open_file(path: Path, threads: int) -> OnnxBackend:
    """Open an ONNX file with one image input. Raises BundleError when it can not be loaded."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1  # the graph is a chain: nothing to run side by side
    options.log_severity_level = 3  # errors only; they are raised below all the same
    try:
        return OnnxBackend(onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]))
    except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
        raise BundleError(f"{path}: ONNX Runtime {onnxruntime.__version__} can not load it ({error})") from error
