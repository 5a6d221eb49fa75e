"""ExecuTorch: `model.pte`, lowered to XNNPACK, for phones. One image at a time, as phones run it."""

from pathlib import Path

import torch
from torch import Tensor, nn

from pocketvision.atomic_files import replacing
from pocketvision.errors import MissingExtraError, UsageError
from pocketvision.export.exportable import Answers, Exportable
from pocketvision.export.quiet import quiet
from pocketvision.export.unsupported import converted

FILE = "model.pte"
_NEEDED_FOR, _EXTRA = "Writing ExecuTorch's file", "executorch"


def write_executorch(source: Exportable, folder: Path) -> None:
    """Write `model.pte` in float32. Raises MissingExtraError."""
    with quiet():

        def convert(graph: nn.Module, example: Tensor) -> bytes:
            with torch.no_grad():
                return _lowered(torch.export.export(graph, (example,)))

        content = converted(convert, source.graph(), source.example(batch=1), into="ExecuTorch")
    _write(content, folder)


def write_executorch_int8(source: Exportable, folder: Path) -> None:
    """Write `model.pte` in 8 bits: weights with a scale for each channel, activations with one for all, its range found on
    `source.calibration`, by torchao's flow and XNNPACK's own choice of operators.

    Raises UsageError without calibration images, MissingExtraError.
    """
    calibration = source.calibration
    if calibration is None or len(calibration) == 0:
        raise UsageError("executorch-int8 finds its ranges on training images, and there are none: give --data.")
    with quiet():
        try:
            from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
                XNNPACKQuantizer,
                get_symmetric_quantization_config,
            )
            from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
        except ImportError:
            raise MissingExtraError(_NEEDED_FOR, _EXTRA) from None
        quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))

        def convert(graph: nn.Module, example: Tensor) -> bytes:
            with torch.no_grad():
                prepared = prepare_pt2e(torch.export.export(graph, (example,)).module(), quantizer)
                for image in calibration if example.shape[1:] == calibration.shape[1:] else example[:1].numpy():
                    prepared(torch.from_numpy(image[None]))
                return _lowered(torch.export.export(convert_pt2e(prepared), (example,)))

        content = converted(convert, source.graph(), source.example(batch=1), into="ExecuTorch")
    _write(content, folder)


def _lowered(program: torch.export.ExportedProgram) -> bytes:
    """What XNNPACK can run goes to it, the rest to ExecuTorch's own kernels."""
    try:
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower
    except ImportError:
        raise MissingExtraError(_NEEDED_FOR, _EXTRA) from None
    return bytes(to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch().buffer)


def _write(content: bytes, folder: Path) -> None:
    with replacing(folder / FILE) as temporary:
        temporary.write_bytes(content)


def open_executorch_answers(folder: Path, source: Exportable) -> Answers:
    """What the written file answers, in ExecuTorch's Python runtime."""
    from pocketvision.runtime.executorch_backend import open_file

    size = source.preprocessing
    return open_file(folder / FILE, (size.height, size.width), source.output_shapes).run
