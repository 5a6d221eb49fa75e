import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from sklearn.datasets import load_sample_image

from pocketvision.bundle import GraphManifest, Manifest, TensorInfo, read_bundle, write_bundle
from pocketvision.errors import UsageError
from pocketvision.preprocessing import Preprocessing
from pocketvision.tasks.classification.task import classifying
from pocketvision.workflows.evaluate import evaluate

LABELS = ("blue", "green", "red")
TEMPERATURE = 0.5
COLOURS = {"red": (220, 30, 20), "green": (10, 200, 40), "blue": (0, 40, 230)}


def colour_graph() -> bytes:
    """A network whose logits are the mean blue, green and red of an image, in the order of LABELS."""
    swapped = np.eye(3, dtype=np.float32)[::-1].copy()
    nodes = [
        helper.make_node("ReduceMean", ["images", "sides"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "swapped"], ["logits"]),
        helper.make_node("Div", ["logits", "temperature"], ["scaled"]),
        helper.make_node("Softmax", ["scaled"], ["probabilities"], axis=1),
    ]
    constants = [
        numpy_helper.from_array(np.array([2, 3]), "sides"),
        numpy_helper.from_array(swapped, "swapped"),
        numpy_helper.from_array(np.array(TEMPERATURE, np.float32), "temperature"),
    ]
    graph = helper.make_graph(
        nodes,
        "colour",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 3]),
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    content: bytes = model.SerializeToString()
    return content


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "colours"
    manifest = Manifest(
        architecture={"name": "colour"},
        preprocessing=Preprocessing(8, 8, 1.0, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        tasks=classifying(LABELS, TEMPERATURE),
        graphs=(
            GraphManifest(
                "colour",
                (TensorInfo("images", "float32", ("batch", 3, 8, 8)),),
                (TensorInfo("logits", "float32", ("batch", 3)), TensorInfo("probabilities", "float32", ("batch", 3))),
                ("model.onnx",),
            ),
        ),
    )
    golden = {"logits": np.zeros((1, 3), np.float32), "probabilities": np.full((1, 3), 1 / 3, np.float32)}
    write_bundle(folder, manifest, {"model.onnx": colour_graph()}, np.zeros((1, 3, 8, 8), np.float32), golden)
    return folder


def paint(path: Path, colour: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 9), COLOURS[colour]).save(path)


def test_a_folder_that_lacks_a_class_is_measured_by_name(bundle: Path, tmp_path: Path) -> None:
    for number in range(3):
        paint(tmp_path / f"data/red/{number}.png", "red")
    paint(tmp_path / "data/blue/0.png", "blue")
    paint(tmp_path / "data/blue/wrong.png", "red")
    (tmp_path / "data/red/broken.png").write_bytes(b"nothing")
    found = evaluate(bundle, tmp_path / "data", out=tmp_path / "out", lang="ko")
    assert found.class_names == LABELS and found.selection is None
    assert found.metrics.accuracy == 0.8
    assert found.metrics.per_class[1].recall is None
    assert [mistake.path for mistake in found.mistakes] == ["blue/wrong.png"]
    assert [image.path for image in found.unreadable] == ["red/broken.png"]
    assert found.calibration.temperature == TEMPERATURE
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert '<html lang="ko">' in page and "broken.png" in page
    assert json.loads((tmp_path / "out/metrics.json").read_text(encoding="utf-8"))["accuracy"] == 0.8


def test_an_unknown_class_is_named(bundle: Path, tmp_path: Path) -> None:
    paint(tmp_path / "data/red/0.png", "red")
    paint(tmp_path / "data/greene/0.png", "green")
    with pytest.raises(UsageError, match="greene"):
        evaluate(bundle, tmp_path / "data")


def test_the_test_split_is_taken_and_a_split_of_the_training_is_flagged(bundle: Path, tmp_path: Path) -> None:
    for split, colour in (("train", "red"), ("val", "green"), ("test", "blue"), ("test", "red")):
        paint(tmp_path / f"data/{split}/{colour}/0.png", colour)
    untold = evaluate(bundle, tmp_path / "data")
    assert (untold.name, untold.metrics.images, untold.selection) == ("test", 2, None)
    assert evaluate(bundle, tmp_path / "data", split="val").selection is True


def test_a_baseline_is_written_into_the_bundle_on_request(bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(bundle, tmp_path / "bundle")
    for number, split in enumerate(["train", "val", "val", "val"]):
        paint(tmp_path / f"data/{split}/red/{number}.png", "red")
    (tmp_path / "data/val/red/broken.png").write_bytes(b"nothing")
    evaluate(copy, tmp_path / "data", split="val")
    assert read_bundle(copy).manifest == read_bundle(bundle).manifest
    found = evaluate(copy, tmp_path / "data", split="val", baseline=True)
    written = read_bundle(copy).manifest
    assert replace(written, baseline={}, versions={}) == replace(read_bundle(bundle).manifest, versions={})
    luma = (0.299 * 220 + 0.587 * 30 + 0.114 * 20) / 255
    for feature, value in (("confidence", found.probabilities.max()), ("brightness", luma)):
        measured = written.baseline[feature]
        assert measured.images == 3 and measured.split == "val"
        (place,) = np.flatnonzero(measured.counts)
        assert measured.edges[place - 1] < value <= measured.edges[place]


def test_a_baseline_is_none_of_images_that_were_trained_on(bundle: Path, tmp_path: Path) -> None:
    for split in ("train", "val"):
        paint(tmp_path / f"data/{split}/red/0.png", "red")
    before = (bundle / "manifest.json").read_bytes()
    for split in ("train", None):
        with pytest.raises(UsageError, match="not measured on training images"):
            evaluate(bundle, tmp_path / "data", split=split, baseline=True)
    with pytest.raises(UsageError, match="efficientnet_lite0 is no bundle's folder"):
        evaluate("efficientnet_lite0", tmp_path / "data", split="val", baseline=True)
    assert (bundle / "manifest.json").read_bytes() == before


def test_wrong_use_is_reported_before_the_work(bundle: Path, tmp_path: Path) -> None:
    paint(tmp_path / "data/red/0.png", "red")
    with pytest.raises(UsageError, match="no splits"):
        evaluate(bundle, tmp_path / "data", split="test")
    with pytest.raises(UsageError, match="Unknown report language"):
        evaluate(bundle, tmp_path / "missing", out=tmp_path / "out", lang="fr")
    with pytest.raises(UsageError, match="Unknown positive class"):
        evaluate(bundle, tmp_path / "data", positive="pink")


def test_a_table_with_other_column_names(bundle: Path, tmp_path: Path) -> None:
    paint(tmp_path / "a b.png", "green")
    (tmp_path / "table.csv").write_text("file,colour,part\na b.png,green,test\n", encoding="utf-8")
    found = evaluate(
        bundle, tmp_path / "table.csv", path_column="file", label_column="colour", split_column="part", split="test"
    )
    assert found.metrics.accuracy == 1.0


@pytest.mark.usefixtures("pretrained_lite0")
@pytest.mark.parametrize("names", [("n03877845", "n11939491"), ("palace", "daisy")], ids=["WordNet ids", "class names"])
def test_a_pretrained_network_on_imagenets_folders(names: tuple[str, str], tmp_path: Path) -> None:
    """Real photographs of a palace and of a flower; the network knows the first."""
    for name, photo in zip(names, ("china.jpg", "flower.jpg"), strict=True):
        (tmp_path / name).mkdir()
        Image.fromarray(load_sample_image(photo)).save(tmp_path / name / photo)
    metrics = evaluate("efficientnet_lite0", tmp_path).metrics
    assert metrics.images == 2 and metrics.top5_accuracy is not None
    recalls = {figures.name: figures.recall for figures in metrics.per_class if figures.support}
    assert recalls["palace"] == 1.0 and set(recalls) == {"palace", "daisy"}
