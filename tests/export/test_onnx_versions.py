"""The lowest opset and IR version: what old runtimes ask for, and what a graph that needs more keeps."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from plain_backbone import PLAIN

from pocketvision.export.exportable import Exportable
from pocketvision.export.onnx_versions import lower_versions
from pocketvision.export.targets import TARGETS
from pocketvision.models.catalog import build
from pocketvision.models.published_weights import default_preprocessing
from pocketvision.tasks.classification.task import classifying


def model_of(*nodes: onnx.NodeProto, opset: int, ir_version: int, **initializers: np.ndarray) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", "columns"])],
        [numpy_helper.from_array(value, name) for name, value in initializers.items()],
    )
    opsets = [
        helper.make_opsetid("", opset),
        helper.make_opsetid("com.example", 1),
        helper.make_opsetid("ai.onnx.ml", 5),
    ]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)


def versions(model: onnx.ModelProto) -> tuple[int, dict[str, int]]:
    return model.ir_version, {each.domain: each.version for each in model.opset_import}


def test_a_graph_that_needs_nothing_new_gets_the_lowest() -> None:
    model = model_of(helper.make_node("Relu", ["x"], ["y"]), opset=22, ir_version=11)
    lower_versions(model)
    assert versions(model) == (8, {"": 17})
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": np.float32([[-1, 0, 1, 2]])})[0].tolist() == [[0, 0, 1, 2]]


@pytest.mark.parametrize(
    ("node", "needed"),
    [
        (helper.make_node("Gelu", ["x"], ["y"]), (9, {"": 20})),
        (helper.make_node("ReduceMean", ["x", "axes"], ["y"]), (8, {"": 18})),
        (helper.make_node("LayerNormalization", ["x", "scale"], ["y"]), (8, {"": 17})),
        (helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT, saturate=1), (9, {"": 19})),
    ],
    ids=lambda value: getattr(value, "op_type", ""),
)
def test_what_an_operator_needs_is_kept(node: onnx.NodeProto, needed: tuple[int, dict[str, int]]) -> None:
    given = {"axes": np.int64([1]), "scale": np.ones(4, np.float32)}
    model = model_of(node, opset=22, ir_version=11, **{name: given[name] for name in node.input if name in given})
    lower_versions(model)
    assert versions(model) == needed


def test_a_lower_opset_and_a_used_domain_stay() -> None:
    model = model_of(helper.make_node("Own", ["x"], ["y"], domain="com.example"), opset=13, ir_version=7)
    lower_versions(model)
    assert versions(model) == (7, {"": 13, "com.example": 1})


def test_a_newer_type_of_numbers_keeps_its_ir_version() -> None:
    model = model_of(helper.make_node("Relu", ["x"], ["y"]), opset=21, ir_version=10)
    model.graph.initializer.append(helper.make_tensor("four_bits", TensorProto.INT4, [2], [1, 2]))
    lower_versions(model)
    assert model.ir_version == 10


@pytest.mark.parametrize(
    ("name", "target"),
    [
        pytest.param(name, target, marks=() if name == "plain" else pytest.mark.slow)
        for name in ("plain", "mobilenet_v3_small", "vit_tiny_16")
        for target in ("onnx", "onnx-uint8", "onnx-free-size")
    ],
)
def test_every_written_file_is_for_old_runtimes(name: str, target: str, tmp_path: Path) -> None:
    """By hand they were run in ONNX Runtime 1.15.1, 1.16.3 and 1.17.3 (docs/export.md)."""
    if target == "onnx-free-size" and name == "vit_tiny_16":
        pytest.skip("a Vision Transformer's size is fixed")
    torch.manual_seed(0)
    size = 224 if name == "vit_tiny_16" else 32
    source = Exportable(
        build(PLAIN if name == "plain" else name, num_classes=2).eval(),
        classifying(("a", "b")),
        default_preprocessing("", size).with_size(size),
    )
    TARGETS[target].write(source, tmp_path)
    model = onnx.load(tmp_path / TARGETS[target].files[0])
    assert model.ir_version <= 8
    assert [each.domain for each in model.opset_import] == [""] and model.opset_import[0].version <= 18
    onnx.checker.check_model(model, full_check=True)
