"""PyTorch: the bundle's own network, rebuilt from its rows and weights; eager, or compiled by torch.compile."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.bundle import Bundle
from pocketvision.errors import UsageError
from pocketvision.runtime.batches import Outputs, Shapes, checked, no_answers, writable


class TorchBackend:
    """A module from images to the bundle's outputs. torch runs it on its own threads, whoever calls."""

    def __init__(self, module: Any, size: tuple[int, int], outputs: Shapes, device: str) -> None:
        self._module = module
        self._device = device
        self.size = size
        self.outputs = outputs

    def run(self, images: NDArray[np.float32]) -> Outputs:
        """As the protocol says (backends.py)."""
        import torch

        images = writable(checked(images, self.size))
        if len(images) == 0:
            return no_answers(self.outputs)
        with torch.inference_mode():
            batch = torch.from_numpy(images).to(self._device, memory_format=torch.channels_last)
            found = self._module(batch)
        return {name: values.float().cpu().numpy() for name, values in zip(self.outputs, found, strict=True)}


def open_eager(bundle: Bundle, file: str, threads: int, device: str) -> TorchBackend:
    """The network as it is. `threads` are the process's: torch has one pool for all. Raises UsageError, BundleError."""
    return _opened(bundle, file, threads, device, compiles=False)


def open_compiled(bundle: Bundle, file: str, threads: int, device: str) -> TorchBackend:
    """The network through torch.compile: the first call takes half a minute, and a C++ compiler."""
    return _opened(bundle, file, threads, device, compiles=True)


def _opened(bundle: Bundle, file: str, threads: int, device: str, *, compiles: bool) -> TorchBackend:
    import torch

    from pocketvision.models.network import Decoded, fold_norms
    from pocketvision.models.rebuild import rebuilt

    try:
        torch.device(device)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"torch {torch.__version__} finds no device {device!r} here: {str(error).splitlines()[0]}"
        ) from None
    torch.set_num_threads(threads)
    graph = Decoded(
        fold_norms(rebuilt(bundle)), {name: task.postprocessing for name, task in bundle.tasks.items()}
    ).eval()
    network: Any = graph.to(device).to(memory_format=torch.channels_last)
    if compiles:
        network = torch.compile(network, dynamic=True)
    preprocessing = bundle.preprocessing
    return TorchBackend(network, (preprocessing.height, preprocessing.width), bundle.output_shapes(file), device)
