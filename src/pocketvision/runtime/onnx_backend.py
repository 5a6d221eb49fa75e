"""ONNX Runtime, on the CPU or on any device that the installed build has a provider for."""

import hashlib
import logging
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from pocketvision.bundle import Bundle
from pocketvision.errors import BundleError, unknown_name
from pocketvision.runtime.batches import Outputs, Shapes, checked, no_answers, one_by_one
from pocketvision.runtime.novelty import NovelBackend, novelty_of
from pocketvision.runtime.onnx_part import part_of, with_outputs
from pocketvision.utf8_path import utf8_path

CPU = "CPUExecutionProvider"
Options = dict[str, str]
# Devices by the names users give, as ONNX Runtime's providers and their options. TensorRT builds an engine for minutes, so it is
# kept between runs.
_TENSORRT: Options = {"trt_engine_cache_enable": "1", "trt_timing_cache_enable": "1"}
DEVICES: dict[str, tuple[str, Options]] = {
    "cpu": (CPU, {}),
    "cuda": ("CUDAExecutionProvider", {}),
    "tensorrt": ("TensorrtExecutionProvider", _TENSORRT),
    "tensorrt-fp16": ("TensorrtExecutionProvider", {**_TENSORRT, "trt_fp16_enable": "1"}),
    "tensorrt-int8": ("TensorrtExecutionProvider", {**_TENSORRT, "trt_int8_enable": "1"}),
    "openvino": ("OpenVINOExecutionProvider", {}),
    "coreml": ("CoreMLExecutionProvider", {}),
    "directml": ("DmlExecutionProvider", {}),
    "xnnpack": ("XnnpackExecutionProvider", {}),
}


MOST_PARTS = 3
"""Parts of a graph that are open at once, each with its own copy of the weights that it needs."""


class OnnxBackend:
    """One ONNX Runtime session. Safe to call from several threads at once; each call uses the session's threads."""

    def __init__(self, session: Any, open_part: "Callable[[Sequence[str]], OnnxBackend | None] | None" = None) -> None:
        """open_part: opens what some of the outputs need, None where that can not be had."""
        self._session = session
        self._open_part = open_part
        self._parts: dict[tuple[str, ...], OnnxBackend] = {}
        self._opening = Lock()
        self._input = session.get_inputs()[0]
        self.outputs: Shapes = {output.name: tuple(output.shape[1:]) for output in session.get_outputs()}
        batch, _, height, width = self._input.shape
        self._alone = batch == 1  # a graph that somebody else made, for one image at a time
        self.size: tuple[int, int] = (height, width)

    def run(self, images: NDArray[np.float32]) -> Outputs:
        """As the protocol says (backends.py)."""
        images = checked(images, self.size)
        if len(images) == 0:
            return no_answers(self.outputs)
        return one_by_one(self._run, images) if self._alone else self._run(images)

    def only(self, outputs: Collection[str]) -> "OnnxBackend":
        """What gives these outputs and runs nothing that they do not need; itself where they are all, or that can not be had. It
        is opened when it is first asked for, and the MOST_PARTS that were asked for last stay open."""
        names = tuple(name for name in self.outputs if name in outputs)
        if len(names) == len(self.outputs) or self._open_part is None:
            return self
        with self._opening:
            found = self._parts.pop(names, None) or self._open_part(names) or self
            self._parts[names] = found
            if len(self._parts) > MOST_PARTS:
                del self._parts[next(iter(self._parts))]
            return found

    def _run(self, images: NDArray[np.float32]) -> Outputs:
        values = self._session.run(list(self.outputs), {self._input.name: images})
        return dict(zip(self.outputs, values, strict=True))


def open_bundle(bundle: Bundle, file: str, threads: int, device: str) -> OnnxBackend | NovelBackend:
    """Open the bundle's ONNX file, with what tells novelty where the bundle keeps that. Raises BundleError when it can not be
    loaded."""
    path, novelty = bundle.path(file), novelty_of(bundle, file)
    if novelty is None:
        return open_file(path, threads, device)
    import onnxruntime

    providers = providers_for(device, onnxruntime.get_available_providers(), path)
    model = with_outputs(path.read_bytes(), [novelty.value])
    return NovelBackend(OnnxBackend(_session(model, str(path), threads, providers)), novelty)


def open_model(model: bytes, where: str) -> OnnxBackend:
    """Open the content of an ONNX file on every core. where: for messages. Raises BundleError when it can not be loaded."""
    return OnnxBackend(_session(model, where, 0, [(CPU, {})]))


def open_file(path: Path, threads: int, device: str = "cpu") -> OnnxBackend:
    """Open an ONNX file with one image input on a device of DEVICES; the CPU, with a warning, where its provider is absent.

    Raises BundleError when the file can not be loaded, UsageError for an unknown device.
    """
    import onnxruntime

    providers = providers_for(device, onnxruntime.get_available_providers(), path)
    with utf8_path(path) as opened:
        session = _session(opened, str(path), threads, providers)

    def open_part(outputs: Sequence[str]) -> OnnxBackend | None:
        try:
            part = part_of(path.read_bytes(), outputs)
            return None if part is None else OnnxBackend(_session(part, str(path), threads, providers))
        except Exception as error:  # the whole graph gives the same
            logging.getLogger(__name__).warning("%s: no part of it can be opened (%s)", path, error)
            return None

    return OnnxBackend(session, open_part)


def _session(model: Any, where: str, threads: int, providers: Sequence[tuple[str, Options]]) -> Any:
    """model: a file's path, or its content. threads: 0 takes every core. Raises BundleError when it can not be loaded."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1  # the graph is a chain: nothing to run side by side
    options.log_severity_level = 3  # errors only; they are raised below all the same
    try:
        return onnxruntime.InferenceSession(model, options, providers=[*providers])
    except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
        raise BundleError(f"{where}: ONNX Runtime {onnxruntime.__version__} can not load it ({error})") from error


def providers_for(device: str, available: list[str], path: Path) -> list[tuple[str, Options]]:
    """ONNX Runtime's providers for a device, the CPU last, for what the first can not run.

    TensorRT's engines are kept in a folder of the file `path`'s own, named by its contents: ONNX Runtime names them by the graph
    without its weights. Warns on this module's logger when the device's provider is not among `available`.
    """
    if device not in DEVICES:
        raise unknown_name("device of ONNX Runtime's", device, DEVICES)
    provider, options = DEVICES[device]
    if provider == CPU:
        return [(CPU, {})]
    if provider not in available:
        logging.getLogger(__name__).warning(
            "ONNX Runtime has no %s here, so the device %s can not be used: running on the CPU. Installed are %s; the packages "
            "onnxruntime-gpu, onnxruntime-openvino and onnxruntime-directml bring others.",
            provider,
            device,
            ", ".join(available),
        )
        return [(CPU, {})]
    if options:
        with path.open("rb") as file:
            contents = hashlib.file_digest(file, "sha256").hexdigest()
        folder = user_cache_path("pocketvision") / "tensorrt" / contents[:32]
        folder.mkdir(parents=True, exist_ok=True)
        options = {**options, "trt_engine_cache_path": str(folder)}
    return [(provider, options), (CPU, {})]
