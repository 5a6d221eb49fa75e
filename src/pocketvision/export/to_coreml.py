"""Core ML: the folder `model.mlpackage`, for Apple's devices. One image at a time. Only macOS runs it."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketvision.atomic_files import replacing
from pocketvision.errors import MissingExtraError
from pocketvision.export import to_onnx
from pocketvision.export.exportable import Answers, Exportable
from pocketvision.export.quiet import quiet
from pocketvision.export.unsupported import converted
from pocketvision.runtime.batches import Outputs

PACKAGE = "model.mlpackage"
FILES = tuple(
    f"{PACKAGE}/{name}"
    for name in ("Manifest.json", "Data/com.apple.CoreML/model.mlmodel", "Data/com.apple.CoreML/weights/weight.bin")
)
SYSTEM = "Darwin"
"""What platform.system() says where it can be run."""


def write_coreml(source: Exportable, folder: Path) -> None:
    """Write the package, an ML program in float32 for iOS 15 and macOS 12 or later: input `images` (1, 3, H, W), outputs as the
    graph's, with _ for a dot; labels and preprocessing in its metadata. Raises MissingExtraError."""
    with quiet():
        coremltools = _coremltools("Writing Core ML's package")

        def convert(graph: nn.Module, example: Tensor) -> Any:
            with torch.no_grad():
                program = _without_aliases(torch.export.export(graph, (example,)).run_decompositions({}))
            outputs = len(program.graph_signature.user_outputs)  # one, where a layer is tried alone
            names = [_allowed(name) for name in source.outputs[:outputs]]
            return coremltools.convert(
                program,
                inputs=[coremltools.TensorType(name="images", shape=tuple(example.shape))],
                outputs=[coremltools.TensorType(name=name) for name in names],
                minimum_deployment_target=coremltools.target.iOS15,
                compute_precision=coremltools.precision.FLOAT32,
                skip_model_load=True,
            )

        model = converted(convert, source.graph(), source.example(batch=1), into="Core ML")
        model.user_defined_metadata.update(to_onnx.metadata(source))
        with tempfile.TemporaryDirectory() as temporary:
            model.save(str(Path(temporary) / PACKAGE))
            # It leaves notes for debuggers beside these.
            for file in FILES:
                with replacing(folder / file) as written:
                    written.write_bytes((Path(temporary) / file).read_bytes())


def open_coreml_answers(folder: Path, source: Exportable) -> Answers:
    """What the written package answers, in Core ML on the CPU: on macOS only. Raises MissingExtraError."""
    names = {name: _allowed(name) for name in source.outputs}
    with quiet():
        coremltools = _coremltools("Running Core ML's package")
        model = coremltools.models.MLModel(str(folder / PACKAGE), compute_units=coremltools.ComputeUnit.CPU_ONLY)

    def answers(images: NDArray[np.float32]) -> Outputs:
        found = [model.predict({"images": image[None]}) for image in images]
        return {name: np.concatenate([each[here] for each in found]).astype(np.float32) for name, here in names.items()}

    return answers


def _without_aliases(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """The same program with tensors in place of their aliases (what is left of a slice that cuts nothing), which Core ML's
    converter has no word for. Of outputs they stay: those are named after them."""
    graph = program.graph_module.graph
    for node in list(graph.nodes):
        if node.target is torch.ops.aten.alias.default and all(user.op != "output" for user in node.users):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
    program.graph_module.recompile()
    return program


def _allowed(name: str) -> str:
    """An output's name as Core ML takes it, which has no dots."""
    return name.replace(".", "_")


def _coremltools(needed_for: str) -> Any:
    try:
        import coremltools
    except ImportError:
        raise MissingExtraError(needed_for, "coreml") from None
    return coremltools
