"""ONNX graphs without their weights, kept in the user's cache: what torch's exporter takes seconds for depends on a network's
structure alone, and a structure comes again with every run, trial and resumed training.

A graph that was kept is filled with the weights at hand and compared with the network itself before it is taken.
"""

import contextlib
import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from google.protobuf.message import DecodeError, EncodeError
from onnx import numpy_helper
from onnxruntime.capi import onnxruntime_pybind11_state as runtime_errors
from platformdirs import user_cache_path
from torch import Tensor, nn

from pocketvision.atomic_files import replacing
from pocketvision.export.structure import structure

DIFFERENCE = 1e-3
"""Of the largest output: more means that the graph is another network's."""
MOST_CONSTANTS = 65_536
"""Numbers of one constant that is kept with a graph; a larger one may be made of weights."""

_REFUSALS = (
    runtime_errors.Fail,
    runtime_errors.InvalidArgument,
    runtime_errors.InvalidGraph,
    runtime_errors.InvalidProtobuf,
    runtime_errors.NotImplemented,
    runtime_errors.RuntimeException,
)
"""How ONNX Runtime says that it does not load or run a graph: errors without a base class."""

Convert = Callable[[nn.Module], torch.onnx.ONNXProgram]


def kept_or_converted(convert: Convert, graph: nn.Module, example: Tensor, said: Sequence[object]) -> onnx.ModelProto:
    """The graph (in eval mode) as ONNX. said: what else the conversion depends on.

    EfficientNet-Lite0 takes the exporter 2.2 s of a CPU, and loading it 2 more; from what was kept it is written in 0.07 s
    (at 64 px, torch 2.14).
    """
    key = structure(graph, example, said)
    if key is None:
        return convert(graph).model_proto
    path = user_cache_path("pocketvision") / "graphs" / f"{key}.onnx"
    skeleton = _read(path)
    if skeleton is None:
        skeleton = _without_weights(convert, graph)
        with contextlib.suppress(OSError), replacing(path) as temporary:  # an unwritten cache costs seconds
            onnx.save(skeleton, temporary)
    if skeleton.graph.node:
        filled = _filled(skeleton, graph)
        if _answers_alike(filled, graph, example):
            return filled
    return convert(graph).model_proto


def _read(path: Path) -> onnx.ModelProto | None:
    """None where there is none that can be read."""
    try:
        return onnx.load(path)
    except (OSError, DecodeError):  # there is none, or it was cut short
        return None


def _without_weights(convert: Convert, graph: nn.Module) -> onnx.ModelProto:
    """The converted graph with empty tensors for its weights; an empty one where the exporter made others of them.

    Converted is a copy with random weights: the exporter drops zeros and merges equal ones.
    """
    random = copy.deepcopy(graph)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for values in _weights(random).values():
            values.uniform_(0.5, 1.5, generator=generator)
    program = convert(random)
    weights, model = _weights(random), program.model_proto
    constants = {each.name: each for each in model.graph.initializer}
    if any(name in weights and name not in constants for name in _used(program)):
        return onnx.ModelProto()
    for name, constant in constants.items():
        if name not in weights:
            if int(np.prod(constant.dims)) > MOST_CONSTANTS:
                return onnx.ModelProto()
            continue
        if tuple(constant.dims) != tuple(weights[name].shape):
            return onnx.ModelProto()
        constant.CopyFrom(onnx.TensorProto(name=name, data_type=constant.data_type, dims=constant.dims))
    return model


def _used(program: torch.onnx.ONNXProgram) -> list[str]:
    """Names of the weights that the exported program reads."""
    exported: Any = program.exported_program
    targets = {**exported.graph_signature.inputs_to_parameters, **exported.graph_signature.inputs_to_buffers}
    return [
        targets[node.name]
        for node in exported.graph.nodes
        if node.op == "placeholder" and node.name in targets and node.users
    ]


def _weights(graph: nn.Module) -> dict[str, Tensor]:
    """What is filled in: the floating-point tensors of the state."""
    return {name: values for name, values in graph.state_dict().items() if values.is_floating_point()}


def _filled(skeleton: onnx.ModelProto, graph: nn.Module) -> onnx.ModelProto:
    weights = _weights(graph)
    for constant in skeleton.graph.initializer:
        if constant.name in weights:
            values = weights[constant.name].detach().cpu().contiguous().numpy()
            constant.CopyFrom(numpy_helper.from_array(values, constant.name))
    return skeleton


@torch.no_grad()
def _answers_alike(model: onnx.ModelProto, graph: nn.Module, example: Tensor) -> bool:
    """Whether it answers random images as the network does."""
    images = torch.randn(example.shape, generator=torch.Generator().manual_seed(0))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        found = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    except (*_REFUSALS, EncodeError, ValueError):  # of more than 2 GB: protobuf's, by its version
        return False
    answered = graph(images)
    wanted = [answered] if isinstance(answered, Tensor) else list(answered)
    return len(found) == len(wanted) and all(map(_alike, found, wanted))


def _alike(found: Any, wanted: Tensor) -> bool:
    expected = wanted.numpy()
    if found.shape != expected.shape or not np.isfinite(expected).all():
        return False
    return bool(
        np.abs(found - expected).max(initial=0) <= DIFFERENCE * max(1.0, float(np.abs(expected).max(initial=0)))
    )
