"""ExecuTorch: `model.pte`, lowered to XNNPACK, for phones. One image at a time, as phones run it."""

from pathlib import Path

import torch
from torch import Tensor, nn

from pocketvision.atomic_files import replacing
from pocketvision.errors import MissingExtraError
from pocketvision.export.exportable import Answers, Exportable
from pocketvision.export.quiet import quiet
from pocketvision.export.unsupported import converted

FILE = "model.pte"


def write_executorch(source: Exportable, folder: Path) -> None:
    """Write `model.pte` in float32. Raises MissingExtraError."""
    with quiet():
        try:
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
            from executorch.exir import to_edge_transform_and_lower
        except ImportError:
            raise MissingExtraError("Writing ExecuTorch's file", "executorch") from None

        def convert(graph: nn.Module, example: Tensor) -> bytes:
            with torch.no_grad():
                program = torch.export.export(graph, (example,))
            lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
            return bytes(lowered.buffer)

        content = converted(convert, source.graph(), source.example(batch=1), into="ExecuTorch")
    with replacing(folder / FILE) as temporary:
        temporary.write_bytes(content)


def open_executorch_answers(folder: Path, source: Exportable) -> Answers:
    """What the written file answers, in ExecuTorch's Python runtime."""
    from pocketvision.runtime.executorch_backend import open_file

    size = source.preprocessing
    backend = open_file(folder / FILE, (size.height, size.width), len(source.labels))
    return lambda images: backend.run(images)["probabilities"]
