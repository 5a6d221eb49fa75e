"""Fixtures that several rooms' tests share."""

from pathlib import Path

import numpy as np
import pytest

from pocketvision.bundle import Bundle, GraphManifest, Manifest, TaskManifest, TensorInfo, write_bundle
from pocketvision.postprocessing.classification import softmax
from pocketvision.preprocessing import Preprocessing

TEMPERATURE = 2.0


@pytest.fixture
def tiny_bundle(tmp_path: Path) -> Bundle:
    """A bundle that tells red, green and blue 16 x 16 images apart: logits = 4 x the channels' means; temperature 2."""
    images = np.random.default_rng(0).normal(size=(3, 3, 16, 16)).astype(np.float32)
    logits = 4 * images.mean(axis=(2, 3))
    manifest = Manifest(
        architecture={"name": "channel_means"},
        preprocessing=Preprocessing(16, 16, 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        tasks={
            "classification": TaskManifest(
                kind="classification",
                labels=("red", "green", "파랑"),
                outputs=("logits", "probabilities"),
                postprocessing={"temperature": TEMPERATURE},
            )
        },
        graphs=(
            GraphManifest(
                name="classifier",
                inputs=(TensorInfo("images", "float32", ("batch", 3, 16, 16)),),
                outputs=(
                    TensorInfo("logits", "float32", ("batch", 3)),
                    TensorInfo("probabilities", "float32", ("batch", 3)),
                ),
                files=("model.onnx",),
            ),
        ),
    )
    outputs = {"logits": logits, "probabilities": softmax(logits, TEMPERATURE)}
    return write_bundle(tmp_path / "tiny_bundle", manifest, {"model.onnx": channel_means_graph()}, images, outputs)


def channel_means_graph() -> bytes:
    """The ONNX file of `tiny_bundle`."""
    from onnx import TensorProto, checker, helper, numpy_helper

    def tensor(name: str, shape: list[str | int]) -> object:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["means"]),
        helper.make_node("Mul", ["means", "four"], ["logits"]),
        helper.make_node("Div", ["logits", "temperature"], ["scaled"]),
        helper.make_node("Softmax", ["scaled"], ["probabilities"], axis=1),
    ]
    constants = {"four": np.float32(4), "temperature": np.float32(TEMPERATURE)}
    graph = helper.make_graph(
        nodes,
        "channel_means",
        [tensor("images", ["batch", 3, 16, 16])],
        [tensor("logits", ["batch", 3]), tensor("probabilities", ["batch", 3])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
