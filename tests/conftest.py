"""Shared by the rooms: a bundle of a hand-made graph; real pictures, and one training of some seconds on the embedded faces."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pocketvision.bundle import Bundle, GraphManifest, Manifest, TaskManifest, TensorInfo, write_bundle
from pocketvision.data.demo_faces import faces_folder
from pocketvision.postprocessing.classification import softmax
from pocketvision.preprocessing import Preprocessing

TEMPERATURE = 2.0
# Small enough to train in seconds, with every stage, split and step of a real run.
TINY_TRAINING = {"size": 64, "epochs1": 3, "epochs2": 2, "views": 2, "batch": 8, "seed": 3, "workers": 2}


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests leave the user's cache alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def reachable(tmp_path: Path) -> Path:
    """The test's folder, open to every user: for children that drop their user id."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder == Path(tempfile.gettempdir()):
            break
        folder.chmod(0o755)
    return tmp_path


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image folder: 20 teasing and 28 other faces in the Noto design."""
    root = tmp_path_factory.mktemp("data") / "photos"
    for label, count in (("teasing", 20), ("non_teasing", 28)):
        (root / label).mkdir(parents=True)
        for file in sorted((faces_folder() / label).glob("*-noto.png"))[:count]:
            shutil.copy(file, root / label / file.name)
    return root


@pytest.fixture(scope="session")
def tiny_training() -> dict[str, int]:
    """Options that make a training take seconds."""
    return dict(TINY_TRAINING)


@pytest.fixture(scope="session")
def trained(photos: Path, tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """A finished run on `photos`, with a test split."""
    from pocketvision.workflows.train import train

    out = tmp_path_factory.mktemp("runs") / "photos"
    return train(photos, out=out, test_share=0.2, **TINY_TRAINING)  # type: ignore[arg-type]


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
