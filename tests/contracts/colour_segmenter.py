"""A segmenter without training: of each pixel the brightest of red, green and blue, at a stride of 4 in inputs of 32 x 32."""

from pathlib import Path

import numpy as np
from PIL import Image

from pocketvision.bundle import Bundle, GraphManifest, Manifest, TensorInfo, write_bundle
from pocketvision.preprocessing import Preprocessing
from pocketvision.tasks.manifest import TaskManifest

LABELS = ("red", "green", "blue")
SIDE, STRIDE = 32, 4
CELLS = SIDE // STRIDE
SURE = 20.0
"""A channel's brightness times this is its logit."""


def segmenter(folder: Path) -> Bundle:
    """Pictures are stretched to the input."""
    images = np.random.default_rng(0).random((2, 3, SIDE, SIDE)).astype(np.float32)
    logits = SURE * images.reshape(2, 3, CELLS, STRIDE, CELLS, STRIDE).mean(axis=(3, 5))
    manifest = Manifest(
        architecture={"name": "colours"},
        preprocessing=Preprocessing(SIDE, SIDE, 1.0, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), fit="stretch"),
        tasks={"segmentation": TaskManifest("segmentation", LABELS, {"logits": "logits"})},
        graphs=(
            GraphManifest(
                name="segmenter",
                inputs=(TensorInfo("images", "float32", ("batch", 3, SIDE, SIDE)),),
                outputs=(TensorInfo("logits", "float32", ("batch", 3, CELLS, CELLS)),),
                files=("model.onnx",),
            ),
        ),
    )
    return write_bundle(folder, manifest, {"model.onnx": _graph()}, images, {"logits": logits})


def _graph() -> bytes:
    from onnx import TensorProto, checker, helper, numpy_helper

    graph = helper.make_graph(
        [
            helper.make_node(
                "AveragePool", ["images"], ["means"], kernel_shape=[STRIDE, STRIDE], strides=[STRIDE, STRIDE]
            ),
            helper.make_node("Mul", ["means", "sure"], ["logits"]),
        ],
        "colours",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3, CELLS, CELLS])],
        [numpy_helper.from_array(np.float32(SURE), "sure")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def write_pictures(folder: Path, count: int = 3) -> list[np.ndarray]:  # type: ignore[type-arg]
    """Pictures of 64 x 48 in images/ with their masks in masks/, and classes.txt. Returns the masks: cells of 16 x 12, which
    are two cells of the output."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in LABELS))
    masks = []
    for number in range(count):
        cells = np.random.default_rng(number).integers(0, 3, (4, 4)).astype(np.uint8)
        mask = cells.repeat(12, 0).repeat(16, 1)
        Image.fromarray(np.eye(3, dtype=np.uint8)[mask] * 255).save(folder / f"images/{number}.png")
        Image.fromarray(mask).save(folder / f"masks/{number}.png")
        masks.append(mask)
    return masks
