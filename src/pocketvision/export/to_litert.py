"""LiteRT (once TensorFlow Lite): `model.tflite`, for Android and microcontrollers' bigger kin. One image at a time."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketvision.atomic_files import replacing
from pocketvision.errors import MissingExtraError
from pocketvision.export.exportable import Answers, Exportable
from pocketvision.export.quiet import quiet
from pocketvision.export.unsupported import converted
from pocketvision.runtime.backends import usable_cores
from pocketvision.runtime.batches import Outputs
from pocketvision.runtime.silenced import silenced

FILE = "model.tflite"
_SIGNATURE = "serving_default"


def write_litert(source: Exportable, folder: Path) -> None:
    """Write `model.tflite` in float32: input `images` (1, 3, H, W), outputs as the graph's. MissingExtraError."""
    with quiet(), silenced():
        try:
            import litert_torch
        except ImportError:
            raise MissingExtraError("Writing LiteRT's file", "litert") from None

        def convert(graph: nn.Module, example: Tensor) -> object:
            with torch.no_grad():
                return litert_torch.convert(_Named(graph, source.outputs).eval(), sample_kwargs={"images": example})

        model = converted(convert, source.graph(), source.example(batch=1), into="LiteRT")
        with replacing(folder / FILE) as temporary:
            # It wants its own ending, else it writes another kind of file.
            inner = temporary.with_name(FILE)
            model.export(str(inner))  # type: ignore[attr-defined]
            inner.replace(temporary)


def open_litert_answers(folder: Path, source: Exportable) -> Answers:
    """What the written file answers, in LiteRT's runtime. Raises MissingExtraError."""
    with quiet(), silenced():
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise MissingExtraError("Running LiteRT's file", "litert") from None
        interpreter = Interpreter(model_path=str(folder / FILE), num_threads=usable_cores())
        run = interpreter.get_signature_runner(_SIGNATURE)

    def answers(images: NDArray[np.float32]) -> Outputs:
        # Copies: the interpreter writes its outputs again.
        found = [{name: np.array(values) for name, values in run(images=image[None]).items()} for image in images]
        return {name: np.concatenate([each[name] for each in found]) for name in source.outputs}

    return answers


class _Named(nn.Module):
    """A graph whose outputs have names, which the file then has too."""

    def __init__(self, graph: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self._names = names
        self.network = graph  # "graph" is what torch.fx calls something else

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """(1, 3, H, W) preprocessed images to the graph's outputs, (1, …) each."""
        found = self.network(images)
        found = found if isinstance(found, tuple) else (found,)  # a layer tried alone has one output
        return dict(zip(self._names, found, strict=False))
