"""Shared by the rooms: a bundle of a hand-made graph; real pictures, and one training of some seconds on the embedded faces."""

import json
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import browser  # noqa: F401 (a fixture)
from filelock import FileLock
from PIL import Image

from pocketvision.bundle import Bundle, GraphManifest, Manifest, TensorInfo, write_bundle
from pocketvision.data.demo_faces import faces_folder
from pocketvision.preprocessing import Preprocessing
from pocketvision.tasks.classification.decode import softmax
from pocketvision.tasks.manifest import TaskManifest

TEMPERATURE = 2.0
# Small enough to train in seconds, with every stage, split and step of a real run.
TINY_TRAINING = {
    "size": 64, "epochs1": 3, "epochs2": 2, "lr2": 1e-4, "schedule": "plateau", "views": 2, "batch": 8, "seed": 3, "workers": 2,
}  # fmt: skip
LEARNING_RATES = {"lr1": 1e-2, "lr2": 1e-3}
SLOW_LEFT_OUT = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SLOW_LEFT_OUT] = 0


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        item.config.stash[SLOW_LEFT_OUT] += item.get_closest_marker("slow") is not None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process of pytest-xdist tells the one that prints."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["slow_left_out"] = session.config.stash[SLOW_LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Every process deselects the same tests."""
    node.config.stash[SLOW_LEFT_OUT] = getattr(node, "workeroutput", {}).get("slow_left_out", 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if count := config.stash[SLOW_LEFT_OUT]:
        terminalreporter.write_line(f"{count} slow tests were left out; run them with: make test-slow")


MadeOnce = Callable[[str, Callable[[Path], Any]], Any]


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Makes a thing in a new folder of this name, once for all the processes of pytest-xdist: the others wait for it and read it.

    The thing may hold that folder's path; it is copied between the processes by pickle.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def made(name: str, make: Callable[[Path], Any]) -> Any:
        folder, kept = root / name, root / f"{name}.pickle"
        with FileLock(root / f"{name}.lock"):
            if not kept.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                kept.write_bytes(pickle.dumps(make(folder)))
        return pickle.loads(kept.read_bytes())

    return made


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests leave the user's cache alone. The structures of graphs (export/graph_cache.py) are shared between the processes of
    pytest-xdist: a good part of what the tests compute would be conversions of the same networks."""
    root = tmp_path_factory.getbasetemp()
    shared = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "graphs"
    shared.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        (folder / "pocketvision").mkdir()
        (folder / "pocketvision" / "graphs").symlink_to(shared)
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield


def write_blank(path: Path, *_: object) -> None:
    """In a chart's place: a picture of one pixel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (1, 1), 255).save(path)


@pytest.fixture(scope="session", autouse=True)
def blank_charts() -> Iterator[None]:
    """Trainings of tests write blank charts beside their reports, whose page has the same ones drawn: 0.6 s of each. Tests of
    reports (evaluation/) draw them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pocketvision.evaluation.report.write.write_chart", write_blank)
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
def photos(made_once: MadeOnce) -> Path:
    """An image folder: 20 teasing and 28 other faces in the Noto design."""

    def make(folder: Path) -> Path:
        for label, count in (("teasing", 20), ("non_teasing", 28)):
            (folder / label).mkdir()
            for file in sorted((faces_folder() / label).glob("*-noto.png"))[:count]:
                shutil.copy(file, folder / label / file.name)
        return folder

    return made_once("photos", make)  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def small_network(photos: Path, made_once: MadeOnce) -> dict[str, str]:
    """Options of a training for a network of 0.12 M weights: its rows, and weights to start from. It is exported in a second."""

    def make(folder: Path) -> dict[str, str]:
        import safetensors.torch
        import torch

        from pocketvision.models.catalog import build
        from pocketvision.models.spec import Architecture, StageRow

        rows = Architecture(
            name="small",
            family="test",
            stages=(
                StageRow(3, 1, 1, 16, 1),
                StageRow(3, 2, 4, 32, 1),
                StageRow(5, 2, 4, 48, 1),
                StageRow(3, 2, 6, 96, 1),
            ),
            stem_channels=16,
            head_channels=512,
            activation="relu6",
            padding="same",
            norm_epsilon=1e-3,
            input_size=64,
            dropout=0.2,
        )
        torch.manual_seed(0)
        network = build(rows, num_classes=2)
        pixels = Preprocessing(64, 64, 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        images = torch.from_numpy(np.stack([pixels(path) for path in sorted(photos.glob("*/*.png"))]))
        with torch.no_grad():  # the norms get to know the pictures
            for _ in range(30):
                network.train()(images)
        safetensors.torch.save_file(network.state_dict(), folder / "weights.safetensors")
        (folder / "rows.json").write_text(json.dumps(rows.to_dict()))
        return {"model": str(folder / "rows.json"), "weights": str(folder / "weights.safetensors")}

    return made_once("small_network", make)  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def tiny_training(small_network: dict[str, str]) -> dict[str, Any]:
    """Options that make a training take seconds."""
    return TINY_TRAINING | LEARNING_RATES | small_network


@pytest.fixture(scope="session")
def trained(photos: Path, tiny_training: dict[str, Any], made_once: MadeOnce):  # type: ignore[no-untyped-def]
    """A finished run on `photos`, with a test split."""
    from pocketvision.workflows.train import train

    return made_once("run", lambda out: train(photos, out=out / "photos", test_share=0.2, **tiny_training))


@pytest.fixture(scope="session")
def trained_lite0(photos: Path, made_once: MadeOnce):  # type: ignore[no-untyped-def]
    """`trained` with the network that users get: for slow tests, where a small one's figures say little."""
    from pocketvision.workflows.train import train

    return made_once("run_lite0", lambda out: train(photos, out=out / "photos", test_share=0.2, **TINY_TRAINING))


@pytest.fixture(scope="session")
def pretrained_lite0(made_once: MadeOnce) -> Path:
    """The bundle that `efficientnet_lite0` stands for, converted once for all processes and found in the tests' cache."""

    def make(folder: Path) -> Path:
        from pocketvision.workflows.pretrained import open_bundle

        return shutil.copytree(open_bundle("efficientnet_lite0").folder, folder / "bundle")

    converted = made_once("lite0", make)
    cached = Path(os.environ["XDG_CACHE_HOME"]) / "pocketvision" / "bundles" / "efficientnet_lite0"
    if not cached.exists():
        shutil.copytree(converted, cached)
    return cached


@pytest.fixture
def tiny_bundle(shared_bundle: Bundle, tmp_path: Path) -> Bundle:
    """A `shared_bundle` of the test's own."""
    folder = shutil.copytree(shared_bundle.folder, tmp_path / "tiny_bundle")
    return replace(shared_bundle, folder=folder)


@pytest.fixture(scope="session")
def shared_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle that no test changes.

    It tells red, green and blue 16 x 16 images apart: logits = 4 x the channels' means; temperature 2.
    """
    images = np.random.default_rng(0).normal(size=(3, 3, 16, 16)).astype(np.float32)
    logits = 4 * images.mean(axis=(2, 3))
    manifest = Manifest(
        architecture={"name": "channel_means"},
        preprocessing=Preprocessing(16, 16, 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        tasks={
            "classification": TaskManifest(
                kind="classification",
                labels=("red", "green", "파랑"),
                outputs={"logits": "logits", "probabilities": "probabilities"},
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
    folder = tmp_path_factory.mktemp("shared") / "tiny_bundle"
    return write_bundle(folder, manifest, {"model.onnx": channel_means_graph()}, images, outputs)


def channel_means_graph() -> bytes:
    """The ONNX file of `shared_bundle`."""
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
