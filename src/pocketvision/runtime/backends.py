"""What a backend is, and the table of them. A new runtime is a file beside this and a row here."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pocketvision.bundle import Bundle
from pocketvision.errors import unknown_name
from pocketvision.runtime import onnx_backend


class Backend(Protocol):
    """A graph, ready to run. `run` may be called from several threads at once."""

    def run(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Preprocessed images (N, 3, H, W) to `logits` and `probabilities`, (N, classes) each."""
        ...


BACKENDS: dict[str, Callable[[Bundle, int], Backend]] = {"onnxruntime": onnx_backend.open_bundle}
"""From a backend's name to what opens a bundle on a number of threads."""


def open_backend(bundle: Bundle, name: str = "onnxruntime", *, threads: int | None = None) -> Backend:
    """Open the bundle's graph with the backend called `name` on `threads` threads (None: every core it may use).

    Raises UsageError for an unknown name, listing near matches, and BundleError when the bundle has no file for it.
    """
    if name not in BACKENDS:
        raise unknown_name("backend", name, BACKENDS)
    return BACKENDS[name](bundle, threads or usable_cores())


def open_onnx(path: Path, *, threads: int | None = None) -> Backend:
    """Open an ONNX file that is not, or not yet, in a bundle. Raises BundleError when it can not be loaded."""
    return onnx_backend.open_file(path, threads or usable_cores())


def usable_cores() -> int:
    """The number of cores this process may run on, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
