"""ExecuTorch's Python runtime: what a phone runs, on the machine at hand."""

from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.bundle import Bundle
from pocketvision.errors import BundleError, UsageError
from pocketvision.runtime.batches import Outputs, Shapes, checked, no_answers, writable
from pocketvision.runtime.silenced import silenced
from pocketvision.utf8_path import utf8_path


class ExecuTorchBackend:
    """One loaded method, which takes one image at a time; calls from several threads wait for each other."""

    def __init__(self, method: Any, size: tuple[int, int], outputs: Shapes) -> None:
        self._method = method
        self._running = Lock()
        self.size = size
        self.outputs = outputs

    def run(self, images: NDArray[np.float32]) -> Outputs:
        """As the protocol says (backends.py)."""
        import torch

        images = writable(checked(images, self.size))
        answers = []
        for image in images:
            with self._running:
                # Its tensors are the caller's own: the runtime clones what its buffers hold.
                answers.append([output.numpy() for output in self._method.execute([torch.from_numpy(image[None])])])
        if not answers:
            return no_answers(self.outputs)
        columns = zip(*answers, strict=True)  # the file knows its outputs by their places alone
        return {name: np.concatenate(column) for name, column in zip(self.outputs, columns, strict=True)}


def open_bundle(bundle: Bundle, file: str, threads: int, device: str) -> ExecuTorchBackend:
    """Open the bundle's .pte file. Raises BundleError when it can not be loaded, UsageError for another device than the CPU."""
    del threads  # the runtime has one thread a core and takes no other number from Python
    if device != "cpu":
        raise UsageError(f"ExecuTorch's files are made for the CPU; the device {device!r} is none of theirs.")
    preprocessing = bundle.preprocessing
    return open_file(bundle.path(file), (preprocessing.height, preprocessing.width), bundle.output_shapes(file))


def open_file(path: Path, size: tuple[int, int], outputs: Shapes) -> ExecuTorchBackend:
    """Open a .pte file for images of `size` (height, width), with its outputs in their order. Its threads are the runtime's own:
    one a core."""
    try:
        with silenced():
            from executorch.runtime import Runtime

            with utf8_path(path) as opened:
                method = Runtime.get().load_program(opened).load_method("forward")
    except (RuntimeError, ValueError) as error:
        raise BundleError(f"{path}: ExecuTorch can not load it ({error})") from error
    return ExecuTorchBackend(method, size, outputs)
