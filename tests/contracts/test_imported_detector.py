"""A bundle made of a detector's ONNX file works as one that was trained here; what no such file is, is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from fastapi.testclient import TestClient
from served import serving
from square_detector import LABELS, detector, write_pictures

import pocketvision
from pocketvision.bundle import Bundle
from pocketvision.cli.main import main
from pocketvision.data.box_writers.catalog import write_boxes
from pocketvision.data.samples import Samples
from pocketvision.errors import UsageError

RED, BLUE = range(2)
CELLS = [[(RED, 0, 1), (BLUE, 3, 2)], [(BLUE, 1, 1)], [], [(RED, 2, 2), (RED, 0, 2)]]


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody's file: outputs of other names, for one image at a time."""
    folder = tmp_path_factory.mktemp("somebody")
    model = onnx.load(detector(folder / "bundle").path("model.onnx"))
    names = {"boxes": "output0", "scores": "output1", "images": "pixels"}
    for node in model.graph.node:
        node.input[:] = [names.get(each, each) for each in node.input]
        node.output[:] = [names.get(each, each) for each in node.output]
    for each in (*model.graph.input, *model.graph.output):
        each.name = names[each.name]
        each.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, folder / "squares.onnx")
    return folder / "squares.onnx"


@pytest.fixture(scope="module")
def bundle(graph: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return pocketvision.import_weights(graph, labels=LABELS, out=tmp_path_factory.mktemp("imported") / "bundle")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "pictures", CELLS)
    return tmp_path / "pictures"


def test_it_predicts_and_is_verified(bundle: Bundle, pictures: Path) -> None:
    answers = pocketvision.load(bundle.folder).predict_many(sorted(pictures.iterdir()))
    assert [each.headline for each in answers] == ["1 red, 1 blue", "1 blue", "no objects", "2 reds"]
    np.testing.assert_allclose(answers[1].boxes, [[32, 0, 64, 32]], atol=1e-3)
    assert set(pocketvision.verify(bundle.folder).backends) >= {"onnxruntime", "openvino"}


def test_it_is_served(bundle: Bundle, pictures: Path) -> None:
    with serving(bundle.folder) as client:
        told = posted(client, pictures / "0.png")
    assert [each["label"] for each in told["objects"]] == ["red", "blue"]


def posted(client: TestClient, picture: Path) -> dict[str, Any]:
    headers = {"content-type": "image/png"}
    answer = client.post("/predict", content=picture.read_bytes(), headers=headers).json()
    return answer["predictions"][0]["answers"]["detection"]  # type: ignore[no-any-return]


def test_it_is_measured(bundle: Bundle, tmp_path: Path) -> None:
    truth = write_pictures(tmp_path / "pictures", CELLS)
    names = [f"{number}.png" for number in range(len(CELLS))]
    write_boxes(Samples(tmp_path / "pictures", names, {"detection": truth}), "coco", tmp_path / "data")
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", str(bundle.folder), str(tmp_path / "data"), "--json", str(tmp_path / "f.json")])
    assert ended.value.code == 0
    assert json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))["ap"] == 1


def test_the_shell_imports_it(graph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bundle"
    with pytest.raises(SystemExit) as ended:
        main(["import", str(graph), "--labels", "red,blue", "--fit", "stretch", "--out", str(out)])
    assert ended.value.code == 0 and "2 classes" in capsys.readouterr().out
    assert json.loads((out / "manifest.json").read_text(encoding="utf-8"))["preprocessing"]["fit"] == "stretch"


def test_what_has_a_graph_alone_is_not_made_smaller(bundle: Bundle) -> None:
    from pocketvision.models.rebuild import rebuilt

    with pytest.raises(UsageError, match=r"only a graph: it was quantized, or made of an ONNX file"):
        rebuilt(bundle)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ("boxes: Identity(shares) scores: Identity(s)", "boxes of up to 0.5: shares of the input"),
        ("boxes: Identity(turned) scores: Identity(s)", "right lies left of their left: centres and sides"),
        ("boxes: Identity(b) scores: Neg(s)", "scores from -0.9 to -0.1; expected shares from 0 to 1"),
        ("boxes: Identity(b) scores: Log(shares_of_none)", "values that are not finite numbers"),
        ("boxes: Identity(b) other: Transpose(s)", r"puts out boxes \[1, 2, 4\], other .*expected boxes \(N, A, 4\)"),
    ],
)
def test_other_numbers_are_refused(outputs: str, message: str, tmp_path: Path) -> None:
    small(tmp_path / "small.onnx", outputs)
    with pytest.raises(UsageError, match=message):
        pocketvision.import_weights(tmp_path / "small.onnx", labels=["a", "b", "c"], out=tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_other_files_are_refused(graph: Path, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no graph")
    with pytest.raises(UsageError, match=r"text\.onnx: ONNX Runtime can not load it"):
        pocketvision.import_weights(tmp_path / "text.onnx", labels=LABELS)
    with pytest.raises(UsageError, match=r"output1 \[1, 16, 2\]; expected boxes \(N, A, 4\) and scores"):
        pocketvision.import_weights(graph, labels=["a", "b", "c"], out=tmp_path / "bundle")
    small(tmp_path / "named.onnx", "boxes: Identity(b) scores: Identity(s)")
    with pytest.raises(UsageError, match=r"scores of 3 classes and 2 labels were given"):
        pocketvision.import_weights(tmp_path / "named.onnx", labels=LABELS, out=tmp_path / "bundle")
    small(tmp_path / "free.onnx", "boxes: Identity(b) scores: Identity(s)", side="side")
    with pytest.raises(UsageError, match=r"height and width fixed. Export it for one size"):
        pocketvision.import_weights(tmp_path / "free.onnx", labels=["a", "b", "c"])
    with pytest.raises(UsageError, match=r"takes 64 x 64 pixels and nothing else, so --size"):
        pocketvision.import_weights(graph, labels=LABELS, size=32, out=tmp_path / "bundle")
    shutil.copy(graph, tmp_path / "weights.pth")
    with pytest.raises(
        UsageError, match=r"say of which architecture, detector or segmenter the weights are \(--model\)"
    ):
        pocketvision.import_weights(tmp_path / "weights.pth", labels=LABELS)
    with pytest.raises(UsageError, match=r"pedestrian_ssdlite is had by its name alone"):
        pocketvision.import_weights(tmp_path / "weights.pth", model="pedestrian_ssdlite")


def small(path: Path, outputs: str, side: int | str = 8) -> None:
    """A graph of constants: boxes b, their shares, and turned ones; scores s of three classes."""
    from onnx import TensorProto, helper, numpy_helper

    constants = {
        "b": np.array([[[0, 0, 4, 4], [2, 2, 8, 8]]], np.float32),
        "s": np.array([[[0.1, 0.9, 0.3], [0.2, 0.1, 0.8]]], np.float32),
        "shares": np.array([[[0, 0, 0.5, 0.5], [0.25, 0.25, 1, 1]]], np.float32),
        "turned": np.array([[[6, 6, 4, 4], [5, 5, 2, 2]]], np.float32),
        "shares_of_none": np.zeros((1, 2, 3), np.float32),
    }
    words = outputs.split()
    nodes, values = [], []
    for name, made in zip(words[::2], words[1::2], strict=True):
        operation, _, source = made.rstrip(")").partition("(")
        nodes.append(helper.make_node(operation, [source], [name.rstrip(":")]))
        shape = list(constants[source].shape)
        shape = shape[::-1] if operation == "Transpose" else shape
        values.append(helper.make_tensor_value_info(name.rstrip(":"), TensorProto.FLOAT, shape))
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, side, side])
    kept = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    made = helper.make_graph(nodes, "small", [image], values, kept)
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
