"""A detector without training: bright red and blue squares of 16 pixels on a grid, in inputs of 64 x 64."""

from pathlib import Path

import numpy as np
from PIL import Image

from pocketvision.bundle import Bundle, GraphManifest, Manifest, TensorInfo, write_bundle
from pocketvision.preprocessing import Preprocessing
from pocketvision.tasks.detection.truth import BoxLabels
from pocketvision.tasks.manifest import TaskManifest

LABELS = ("red", "blue")
COLOURS = ((255, 0, 0), (0, 0, 255))
SIDE, CELL = 64, 16
CELLS = (SIDE // CELL) ** 2
SCALE = 2
"""Pictures are so many times as large as the input, and half as high as wide: the rest is padding."""


def detector(folder: Path) -> Bundle:
    """scores: the mean of a cell's channel less that of green, which white has as well."""
    images = np.random.default_rng(0).random((2, 3, SIDE, SIDE)).astype(np.float32)
    cells = images.reshape(2, 3, SIDE // CELL, CELL, SIDE // CELL, CELL).mean(axis=(3, 5)).reshape(2, 3, CELLS)
    scores = np.clip(cells[:, [0, 2]] - cells[:, [1]], 0, 1).transpose(0, 2, 1)
    names = {"boxes": "boxes", "scores": "scores"}
    manifest = Manifest(
        architecture={"name": "squares"},
        preprocessing=Preprocessing(SIDE, SIDE, 1.0, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), fit="pad"),
        tasks={"detection": TaskManifest("detection", LABELS, names, postprocessing={"iou": 0.5, "most": 20})},
        graphs=(
            GraphManifest(
                name="detector",
                inputs=(TensorInfo("images", "float32", ("batch", 3, SIDE, SIDE)),),
                outputs=(
                    TensorInfo("boxes", "float32", ("batch", CELLS, 4)),
                    TensorInfo("scores", "float32", ("batch", CELLS, len(LABELS))),
                ),
                files=("model.onnx",),
            ),
        ),
    )
    outputs = {"boxes": np.tile(anchors(), (2, 1, 1)), "scores": scores}
    return write_bundle(folder, manifest, {"model.onnx": _graph()}, images, outputs)


def anchors() -> np.ndarray:  # type: ignore[type-arg]
    """(CELLS, 4) boxes of the cells, row by row."""
    rows, columns = np.divmod(np.arange(CELLS), SIDE // CELL)
    corner = np.stack([columns, rows], axis=1) * CELL
    return np.concatenate([corner, corner + CELL], axis=1).astype(np.float32)


def _graph() -> bytes:
    from onnx import TensorProto, checker, helper, numpy_helper

    def tensor(name: str, shape: list[str | int]) -> object:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    constants = {
        "anchors": anchors()[None],
        "nothing": np.float32(0),
        "one": np.float32(1),
        "flat": np.array([0, 3, CELLS], np.int64),
        "red_blue": np.array([0, 2], np.int64),
        "green": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("AveragePool", ["images"], ["pooled"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]),
        helper.make_node("Reshape", ["pooled", "flat"], ["cells"]),
        helper.make_node("Gather", ["cells", "red_blue"], ["bright"], axis=1),
        helper.make_node("Gather", ["cells", "green"], ["grey"], axis=1),
        helper.make_node("Sub", ["bright", "grey"], ["coloured"]),
        helper.make_node("Clip", ["coloured", "nothing", "one"], ["shares"]),
        helper.make_node("Transpose", ["shares"], ["scores"], perm=[0, 2, 1]),
        helper.make_node("ReduceMean", ["scores"], ["mean"], axes=[2], keepdims=1),
        helper.make_node("Mul", ["mean", "nothing"], ["none"]),
        helper.make_node("Add", ["anchors", "none"], ["boxes"]),
    ]

    graph = helper.make_graph(
        nodes,
        "squares",
        [tensor("images", ["batch", 3, SIDE, SIDE])],
        [tensor("boxes", ["batch", CELLS, 4]), tensor("scores", ["batch", CELLS, len(LABELS)])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def write_pictures(folder: Path, cells: list[list[tuple[int, int, int]]]) -> BoxLabels:
    """A picture for each list of (class, column, row), the row 1 or 2 of the input's four: above and below is padding. Returns
    what is on them, in their own pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    side, rows = CELL * SCALE, []
    for number, squares in enumerate(cells):
        pixels = np.zeros((2 * side, 4 * side, 3), np.uint8)
        boxes = []
        for place, column, row in squares:
            left, top = column * side, (row - 1) * side
            pixels[top : top + side, left : left + side] = COLOURS[place]
            boxes.append([left, top, left + side, top + side])
        Image.fromarray(pixels).save(folder / f"{number}.png")
        rows.append((boxes, [place for place, *_ in squares]))
    return BoxLabels.of(rows, LABELS)
