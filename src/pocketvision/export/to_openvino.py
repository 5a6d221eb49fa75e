"""OpenVINO's own files: `model.xml` (the graph) and `model.bin` (the weights, in float32 or halved to float16)."""

import tempfile
from pathlib import Path

from pocketvision.errors import MissingExtraError
from pocketvision.export import to_onnx
from pocketvision.export.exportable import Answers, Exportable
from pocketvision.runtime.backends import usable_cores

FILES = ("model.xml", "model.bin")


def write_openvino(source: Exportable, folder: Path) -> None:
    """Write both files with float32 weights. Raises MissingExtraError."""
    _write(source, folder, half=False)


def write_openvino_fp16(source: Exportable, folder: Path) -> None:
    """Write both files with float16 weights: half the size; the CPU computes in float32 all the same."""
    _write(source, folder, half=True)


def open_openvino_answers(folder: Path, source: Exportable) -> Answers:
    """What the written files answer, in OpenVINO."""
    from pocketvision.runtime.openvino_backend import open_file

    del source
    return open_file(folder / FILES[0], usable_cores()).run


def _write(source: Exportable, folder: Path, *, half: bool) -> None:
    try:
        import openvino
    except ImportError:
        raise MissingExtraError("Writing OpenVINO's files", "openvino") from None
    # Through ONNX, which every target of ours is compared with, not through a second tracer.
    with tempfile.TemporaryDirectory() as temporary:
        to_onnx.write_onnx(source, Path(temporary))
        model = openvino.Core().read_model(Path(temporary) / to_onnx.FILE)
        openvino.save_model(model, folder / FILES[0], compress_to_fp16=half)
