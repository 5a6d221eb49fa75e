"""OpenVINO, on the CPU or another device of Intel's. Runs its own files and ONNX files."""

from collections.abc import Sequence
from pathlib import Path
from threading import local
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.bundle import Bundle
from pocketvision.errors import BundleError, UsageError
from pocketvision.runtime.batches import Outputs, Shapes, checked, no_answers, one_by_one
from pocketvision.utf8_path import utf8_path


class OpenVinoBackend:
    """One compiled model; each thread that calls has an inference request of its own."""

    def __init__(self, compiled: Any, names: Sequence[str]) -> None:
        """names: of the outputs, as the file has them. Compiling adds the names of what it folds into one with them."""
        self._compiled = compiled
        self._own = local()
        batch, _, height, width = compiled.input(0).partial_shape
        self._alone = batch.is_static and batch.get_length() == 1
        self.size: tuple[int, int] = (height.get_length(), width.get_length())
        self.outputs: Shapes = {
            name: tuple(side.get_length() for side in list(port.partial_shape)[1:])
            for name, port in zip(names, compiled.outputs, strict=True)
        }

    def run(self, images: NDArray[np.float32]) -> Outputs:
        """As the protocol says (backends.py)."""
        images = checked(images, self.size)
        if len(images) == 0:
            return no_answers(self.outputs)
        return one_by_one(self._run, images) if self._alone else self._run(images)

    def _run(self, images: NDArray[np.float32]) -> Outputs:
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        request = self._own.request
        request.infer([images], share_inputs=True)
        # A copy: the request's memory is written again by the next call.
        return {name: np.array(request.get_output_tensor(place).data) for place, name in enumerate(self.outputs)}


def open_bundle(bundle: Bundle, file: str, threads: int, device: str) -> OpenVinoBackend:
    """Open the bundle's .xml or .onnx file. Raises BundleError when it can not be loaded."""
    return open_file(bundle.path(file), threads, device)


def open_file(path: Path, threads: int, device: str = "cpu") -> OpenVinoBackend:
    """Open an .xml or .onnx file on a device that OpenVINO lists (cpu, gpu, npu, auto …).

    It computes in float32: left to itself OpenVINO computes in bfloat16 where the CPU has it, and a logit of EfficientNet-Lite0
    then differs by 0.18. Raises BundleError when it can not be loaded, UsageError for a device that is not there.
    """
    import openvino

    core = openvino.Core()
    name = device.upper()
    # "GPU" stands for the first of several, "AUTO" for any; what follows a colon is theirs to read.
    found = {each for here in core.available_devices for each in (here, here.partition(".")[0])}
    if name.partition(":")[0] not in (*found, "AUTO"):
        raise UsageError(
            f"OpenVINO {openvino.__version__} finds no device {device!r} here; it finds {', '.join(core.available_devices)}."
        )
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
    if name == "CPU":
        settings["INFERENCE_NUM_THREADS"] = threads
    try:
        with utf8_path(path) as opened:
            model = core.read_model(opened)
            names = [port.get_any_name() for port in model.outputs]
            return OpenVinoBackend(core.compile_model(model, name, settings), names)
    except RuntimeError as error:
        raise BundleError(f"{path}: OpenVINO {openvino.__version__} can not load it ({error})") from error
