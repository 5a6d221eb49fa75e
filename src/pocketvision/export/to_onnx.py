"""A trained network as one ONNX file with a free batch dimension and every output of its tasks."""

import contextlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketvision.atomic_files import replacing
from pocketvision.export.exportable import BATCH, SIZE, Answers, Exportable
from pocketvision.export.graph_cache import kept_or_converted
from pocketvision.export.onnx_versions import EXPORTED_OPSET, lower_versions
from pocketvision.export.region_nodes import translations
from pocketvision.export.unsupported import converted
from pocketvision.json_text import json_text
from pocketvision.runtime.backends import usable_cores
from pocketvision.runtime.batches import Outputs
from pocketvision.runtime.onnx_backend import open_file

FILE = "model.onnx"


def write_onnx(source: Exportable, folder: Path) -> None:
    """Write `model.onnx` (whole or not at all). Weights are inside the file, labels and preprocessing in its metadata."""
    write_graph(
        source.graph(), folder / FILE, example=source.example(), outputs=source.outputs, metadata=metadata(source)
    )


def metadata(source: Exportable) -> dict[str, str]:
    """What a file says of itself: labels and preprocessing, as JSON."""
    labels = {name: task.labels for name, task in source.tasks.items()}
    alone = next(iter(labels.values())) if len(labels) == 1 else labels
    return {"labels": json_text(alone), "preprocessing": json.dumps(source.preprocessing.to_dict())}


def open_onnx_answers(folder: Path, source: Exportable) -> Answers:
    """What the written file answers, in ONNX Runtime."""
    del source
    return open_file(folder / FILE, usable_cores()).run


def session_of(path: Path) -> Callable[[Mapping[str, NDArray[Any]]], Outputs]:
    """Runs an ONNX file that no backend opens in ONNX Runtime: from its inputs to its outputs, both by name."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, dict(inputs)), strict=True))


def write_graph(
    graph: nn.Module,
    path: Path,
    *,
    example: Tensor,
    outputs: Sequence[str],
    metadata: Mapping[str, str] | None = None,
    free_size: bool = False,
    anew: bool = False,
) -> None:
    """Write any module from one tensor to one or more as one ONNX file with a free batch dimension, whole or not at all.

    example: a batch of two rows: a batch of one would be taken for a constant. metadata: words that the file carries.
    free_size: height and width of the example's (N, C, H, W) are free too. anew: converted, although its structure may have been
    kept (graph_cache.py).
    """
    import onnx

    free = {0: BATCH, 2: SIZE[0], 3: SIZE[1]} if free_size else {0: BATCH}

    def convert(module: nn.Module, example: Tensor) -> torch.onnx.ONNXProgram:
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            opset_version=EXPORTED_OPSET,
            input_names=["images"],
            output_names=list(outputs) if type(module) is type(graph) else None,
            dynamic_shapes=({axis: torch.export.Dim(name) for axis, name in free.items() if axis < example.ndim},),
            verbose=False,
            custom_translation_table=translations(),
        )
        if program is None:
            raise RuntimeError("torch.onnx.export returned nothing")
        return program

    def described(module: nn.Module) -> torch.onnx.ONNXProgram:
        program = converted(convert, module, example, into="ONNX")
        _remove_machine_paths(program)
        return program

    with _quiet(), torch.no_grad():
        if anew:
            model = described(graph).model_proto
        else:
            model = kept_or_converted(described, graph, example, said=(tuple(outputs), free_size))
    onnx.helper.set_model_props(model, dict(metadata or {}))
    lower_versions(model)
    with replacing(path) as temporary:
        onnx.save(model, temporary)


def _remove_machine_paths(program: torch.onnx.ONNXProgram) -> None:
    """Drop the exporter's notes: they hold stack traces with the folders of the machine that trained."""
    graph = program.model.graph
    for node in graph.all_nodes():
        node.metadata_props.clear()
    for value in (*graph.inputs, *graph.outputs, *graph.initializers.values()):
        value.metadata_props.clear()
    graph.metadata_props.clear()
    program.model.metadata_props.clear()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress and advice, which are not for our user, off the terminal. Errors still raise."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
