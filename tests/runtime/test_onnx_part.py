"""A part of a graph: what some outputs need and nothing else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketvision.runtime.backends import open_onnx
from pocketvision.runtime.onnx_backend import MOST_PARTS, OnnxBackend
from pocketvision.runtime.onnx_part import part_of

onnx = pytest.importorskip("onnx")


def heads(count: int, *, branching: bool = False) -> bytes:
    """A trunk of one node and heads of one node each, with a weight of its own."""
    from onnx import TensorProto, checker, helper, numpy_helper

    def tensor(name: str, *shape: int | str) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    size = ["batch", 3, 4, 4]
    nodes = [helper.make_node("Relu", ["images"], ["trunk"])]
    weights = [numpy_helper.from_array(np.float32(place + 1), f"weight{place}") for place in range(count)]
    nodes += [helper.make_node("Mul", ["trunk", f"weight{place}"], [f"head{place}"]) for place in range(count)]
    if branching:
        then = helper.make_graph([helper.make_node("Neg", ["trunk"], ["inner"])], "then", [], [tensor("inner", *size)])
        other = helper.make_graph([helper.make_node("Abs", ["trunk"], ["other"])], "else", [], [tensor("other", *size)])
        weights.append(numpy_helper.from_array(np.array(True), "yes"))
        nodes[-1] = helper.make_node("If", ["yes"], [f"head{count - 1}"], then_branch=then, else_branch=other)
    outputs = [tensor(f"head{place}", *size) for place in range(count)]
    graph = helper.make_graph(nodes, "heads", [tensor("images", *size)], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


IMAGES = np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float32)


def test_a_part_has_what_its_outputs_need() -> None:
    part = part_of(heads(4), ["head2", "head0"])
    assert part is not None
    model = onnx.load_model_from_string(part)
    onnx.checker.check_model(model, full_check=True)
    assert [node.output[0] for node in model.graph.node] == ["trunk", "head0", "head2"]
    assert [weight.name for weight in model.graph.initializer] == ["weight0", "weight2"]
    assert [output.name for output in model.graph.output] == ["head0", "head2"]
    assert part_of(heads(2), ["head0", "head1"]) == heads(2), "all of it is all of it"


def test_graphs_within_nodes_are_left_alone(tmp_path: Path) -> None:
    assert part_of(heads(2, branching=True), ["head0"]) is None
    (tmp_path / "model.onnx").write_bytes(heads(2, branching=True))
    backend = open_onnx(tmp_path / "model.onnx", threads=1)
    assert isinstance(backend, OnnxBackend) and backend.only(["head0"]) is backend


def test_a_backend_runs_a_part_with_the_same_outputs(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(heads(5))
    backend = open_onnx(tmp_path / "model.onnx", threads=1)
    assert isinstance(backend, OnnxBackend)
    whole = backend.run(IMAGES)
    part = backend.only(["head3"])
    assert list(part.run(IMAGES)) == ["head3"] == list(part.outputs)
    np.testing.assert_array_equal(part.run(IMAGES)["head3"], whole["head3"])
    assert backend.only(["head3"]) is part and backend.only(whole) is backend
    for place in range(MOST_PARTS):
        backend.only([f"head{place}"])
    assert backend.only(["head3"]) is not part, "what was not asked for of late is closed"
    (tmp_path / "model.onnx").unlink()
    assert backend.only(["head0", "head4"]) is backend, "the file is gone, and the whole answers on"
