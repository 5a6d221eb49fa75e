"""What a backend is, and the table of them. A new runtime is a file beside this and a row here."""

import importlib.util
import logging
import math
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pocketvision.bundle import Bundle
from pocketvision.errors import BundleError, MissingExtraError, UsageError, unknown_name
from pocketvision.runtime import executorch_backend, onnx_backend, openvino_backend, torch_backend
from pocketvision.runtime.batches import Outputs, Shapes
from pocketvision.runtime.cpu_quota import cpu_quota
from pocketvision.tasks.manifest import NOVEL_FROM, NOVELTY, TaskManifest


class Backend(Protocol):
    """A graph, ready to run. `run` may be called from several threads at once.

    size: height and width of its input in pixels. outputs: the shape of each output for one image, by name.
    """

    size: tuple[int, int]
    outputs: Shapes

    def run(self, images: NDArray[np.float32]) -> Outputs:
        """Preprocessed images (N, 3, H, W), N from 0, to the graph's outputs by name, (N, …) each.

        Raises ValueError when the images have another size or type.
        """
        ...


@dataclass(frozen=True)
class BackendRow:
    """A runtime: which of a bundle's files it runs, the best first; how one is opened, on so many threads and on a device by its
    own names ("cpu" …); the module that has to be installed, and the extra that brings it."""

    files: tuple[str, ...]
    open: Callable[[Bundle, str, int, str], Backend]
    module: str
    extra: str

    @property
    def installed(self) -> bool:
        """Whether its package is here. Imports nothing."""
        return importlib.util.find_spec(self.module) is not None

    @property
    def install(self) -> str:
        """The line that installs it. What has no extra is part of every installation."""
        return f'pip install "pocketvision[{self.extra}]"' if self.extra else f"pip install {self.module}"

    def file(self, bundle: Bundle) -> str | None:
        """The bundle's file that it would run, None when there is none."""
        return next((name for name in self.files if name in bundle.manifest.files), None)


BACKENDS: dict[str, BackendRow] = {
    "onnxruntime": BackendRow(("model.onnx",), onnx_backend.open_bundle, "onnxruntime", ""),
    "openvino": BackendRow(("model.xml", "model.onnx"), openvino_backend.open_bundle, "openvino", "openvino"),
    "torch": BackendRow(("model.safetensors",), torch_backend.open_eager, "torch", "train"),
    "torch-compiled": BackendRow(("model.safetensors",), torch_backend.open_compiled, "torch", "train"),
    "executorch": BackendRow(("model.pte",), executorch_backend.open_bundle, "executorch", "executorch"),
}
"""From a backend's name to what runs a bundle."""


def open_backend(
    bundle: Bundle, name: str | None = None, *, threads: int | None = None, device: str = "cpu"
) -> Backend:
    """Open the bundle with the backend called `name` (None: the first of the table that has a file in it and is installed) on
    `threads` threads (None: every core it may use).

    Raises UsageError for an unknown name, listing near matches, and for fewer threads than one; MissingExtraError when it is not
    installed, and BundleError when the bundle has no file for it.
    """
    if name is None:
        name = default_backend(bundle)
    if name not in BACKENDS:
        raise unknown_name("backend", name, BACKENDS)
    row = BACKENDS[name]
    if not row.installed and not row.extra:
        raise UsageError(f"The backend {name} needs {row.module}, which is part of every installation: {row.install}")
    if not row.installed:
        raise MissingExtraError(f"The backend {name}", row.extra)
    file = row.file(bundle)
    if file is None:
        raise BundleError(
            f"{bundle.folder}: the bundle has no file for the {name} backend ({' or '.join(row.files)}); it has some for "
            f"{', '.join(each for each, other in BACKENDS.items() if other.file(bundle)) or 'no other'}. "
            "`pocketvision export` adds files."
        )
    try:
        opened = row.open(bundle, file, usable_threads(threads), device)
    except ImportError as error:
        raise UsageError(f"The backend {name} is installed but can not be loaded: {error}") from error
    if any(NOVEL_FROM in task.postprocessing for task in bundle.tasks.values()) and NOVELTY not in opened.outputs:
        logging.getLogger(__name__).warning(
            "%s: its answers were to say none of these, which is told by ONNX Runtime from the very model.onnx it was fitted "
            "on; %s by %s does not. Give `pocketvision threshold %s DATA --none-of-these 0.05` again, or --reset.",
            bundle.folder,
            file,
            name,
            bundle.folder,
        )
    return opened


def only(backend: Backend, tasks: Mapping[str, TaskManifest], wanted: Collection[str]) -> Backend:
    """A backend that runs what the wanted ones of a bundle's tasks need and nothing else, where a runtime can (ONNX Runtime);
    else the same one."""
    outputs = {output for name, task in tasks.items() if name in wanted for output in task.outputs.values()}
    return backend.only(outputs) if isinstance(backend, onnx_backend.OnnxBackend) else backend


def file_size(bundle: Bundle, name: str | None = None) -> int:
    """Bytes of the model's file that the backend called `name` runs, with the weights beside it; None is the default one."""
    file = BACKENDS[name or default_backend(bundle)].file(bundle) or ""
    parts = (file, file.removesuffix(".xml") + ".bin") if file.endswith(".xml") else (file,)
    return sum(bundle.manifest.files[part].size for part in parts if part in bundle.manifest.files)


def default_backend(bundle: Bundle) -> str:
    """The backend that the bundle was fitted to, then the first of the table: one that is installed and has a file in the bundle,
    else the first that has one."""
    order = sorted(BACKENDS, key=lambda name: name != bundle.manifest.backend)
    fitting = [name for name in order if BACKENDS[name].file(bundle)]
    if not fitting:
        raise BundleError(f"{bundle.folder}: the bundle has no file that any backend runs")
    return next((name for name in fitting if BACKENDS[name].installed), fitting[0])


def answers_as_measured(bundle: Bundle, name: str) -> bool:
    """Whether the bundle's golden answers are those of the backend called `name`: runtimes compute floats alike, but each rounds
    8 bits its own way. A quantized bundle's are of the runtime that it was fitted to, else of the one its file was made for."""
    if "quantization" not in bundle.manifest.compression:
        return True
    file = BACKENDS[name].file(bundle)
    made_for = next((other for other, row in BACKENDS.items() if file in row.files), None)
    return name == (bundle.manifest.backend or made_for)


def open_onnx(path: Path, *, threads: int | None = None) -> Backend:
    """Open an ONNX file that is not, or not yet, in a bundle. Raises BundleError when it can not be loaded."""
    return onnx_backend.open_file(path, usable_threads(threads))


def usable_threads(wanted: int | None) -> int:
    """That many threads; None for every core this process may use. UsageError for fewer than one."""
    if wanted is not None and wanted < 1:
        raise UsageError(f"threads is {wanted}; expected 1 or more.")
    return usable_cores() if wanted is None else wanted


def usable_cores() -> int:
    """The number of cores this process may run on, which can be fewer than the machine has. A container's share of their time
    (`docker run --cpus 1.5`) counts as so many cores, rounded up: more threads than that would only wait for each other."""
    affinity = hasattr(os, "sched_getaffinity")  # not on macOS and Windows
    cores = len(os.sched_getaffinity(0)) if affinity else os.cpu_count() or 1
    quota = cpu_quota()
    return cores if quota is None else min(cores, max(1, math.ceil(quota)))
