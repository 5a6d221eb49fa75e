"""The linear head on several stages: what it reads, that a bundle keeps it, what its exports are and which can not be."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from pocketvision.bundle import read_bundle
from pocketvision.compression.quantize_onnx import prepare_onnx, weighted_layers
from pocketvision.errors import UsageError
from pocketvision.export.exportable import Exportable
from pocketvision.export.shipping import ship
from pocketvision.export.targets import target_named
from pocketvision.models.catalog import ARCHITECTURES
from pocketvision.models.features import features_of, grid_features, multiscale_features
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.loading import load_weights
from pocketvision.models.network import Network
from pocketvision.models.rebuild import WEIGHTS_FILE, rebuilt
from pocketvision.models.state_files import load_state
from pocketvision.preprocessing import Placement, Preprocessing
from pocketvision.tasks.classification.task import classifying

SIZE, LABELS = 64, ("cat", "dog", "owl")


def _network(name: str = "mobilenet_v2", features: tuple[str, ...] = ()) -> Network:
    torch.manual_seed(0)
    return Network(ARCHITECTURES[name], {"classification": HeadSpec("multiscale_linear", 3, 0.0, features)}).eval()


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((6, 3, SIZE, SIZE)).astype(np.float32)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, images: np.ndarray) -> Path:
    folder = tmp_path_factory.mktemp("multiscale") / "bundle"
    placement = Placement((SIZE, SIZE), np.eye(3), (SIZE, SIZE))
    ship(
        _network(features=("pool:stage3", "max:stage5", "grid:stage6", "pooled")),
        folder,
        tasks=classifying(LABELS),
        preprocessing=Preprocessing(SIZE, SIZE, 1.0, "bilinear", (0.5,) * 3, (0.5,) * 3),
        load=lambda index: (images[index], placement),
        names=[str(index) for index in range(len(images))],
    )
    return folder


def test_mean_and_maximum_of_the_deepest_stages_are_read() -> None:
    assert multiscale_features(ARCHITECTURES["efficientnet_lite0"]) == (
        "pool:stage5", "max:stage5", "pool:stage6", "max:stage6", "pooled", "max:head_conv",
    )  # fmt: skip
    assert multiscale_features(ARCHITECTURES["resnet18"], 2) == ("pool:stage2", "max:stage2", "pooled", "max:stage3")
    assert all(len(multiscale_features(row)) >= 2 for row in ARCHITECTURES.values())
    assert _network("efficientnet_lite0").heads["classification"].linear.in_features == 3584


def test_a_maximum_is_that_of_its_map(images: np.ndarray) -> None:
    network, pictures = _network(), torch.from_numpy(images)
    with torch.no_grad():
        found = network.features(pictures, ["stage2", "max:stage2", "head_conv", "max:head_conv"])
        low = network.below(pictures, 5, ["max:stage2", "max:head_conv"])
        again = network.above(low, 5, ["max:stage2", "max:head_conv"])
    for name in ("stage2", "head_conv"):
        torch.testing.assert_close(found[f"max:{name}"], found[name].flatten(2).max(2).values)
        torch.testing.assert_close(again[f"max:{name}"], found[f"max:{name}"])
    assert set(low) == {"cut", "max:stage2"}
    assert features_of(network.architecture)["max:stage2"].channels == found["max:stage2"].shape[1]


def test_a_grid_keeps_where_in_its_map(images: np.ndarray) -> None:
    network, pictures, names = _network(), torch.from_numpy(images), ["grid:stage1", "grid:stage2", "grid:head_conv"]
    with torch.no_grad():
        found = network.features(pictures, ["stage1", *names])
        again = network.above(network.below(pictures, 5, names), 5, names)
    level = found["stage1"]
    parts = level.unflatten(2, (4, -1)).unflatten(4, (4, -1)).mean((3, 5))
    torch.testing.assert_close(found["grid:stage1"], parts.flatten(1))
    for name in names:
        assert found[name].shape[1] == features_of(network.architecture)[name].channels
        torch.testing.assert_close(again[name], found[name])


def test_grids_of_the_middle_are_read_where_none_are_named() -> None:
    assert grid_features(ARCHITECTURES["efficientnet_lite0"]) == ("grid:stage3", "grid:stage4", "grid:stage5")
    assert grid_features(ARCHITECTURES["resnet18"]) == ("grid:stage0", "grid:stage1", "grid:stage2")
    network = Network(ARCHITECTURES["efficientnet_lite0"], {"classification": HeadSpec("grid_linear", 2)})
    assert network.features_read == grid_features(network.architecture)


def test_logits_are_linear_in_the_features_side_by_side(images: np.ndarray) -> None:
    network = _network()
    with torch.no_grad():
        features = network.features(torch.from_numpy(images), network.features_read)
        head = network.heads["classification"]
        expected = torch.cat([features[name] for name in head.names], 1) @ head.linear.weight.T + head.linear.bias
        torch.testing.assert_close(network(torch.from_numpy(images)), expected)


def test_a_bundle_keeps_which_features_are_read(bundle: Path, images: np.ndarray) -> None:
    task = read_bundle(bundle).tasks["classification"]
    assert (task.head, task.features) == ("multiscale_linear", ("pool:stage3", "max:stage5", "grid:stage6", "pooled"))
    network = rebuilt(read_bundle(bundle))
    with torch.no_grad():
        logits = network(torch.from_numpy(images)).numpy()
    session = onnxruntime.InferenceSession(bundle / "model.onnx", providers=["CPUExecutionProvider"])
    answered = session.run(["logits"], {session.get_inputs()[0].name: images})[0]
    np.testing.assert_allclose(answered, logits, atol=1e-4)
    assert np.ptp(logits, axis=0).min() > 1e-3


def test_its_graph_can_be_prepared_for_8_bits(bundle: Path, tmp_path: Path) -> None:
    """ONNX Runtime's symbolic shapes do not know what a maximum over a map is."""
    prepare_onnx(bundle / "model.onnx", tmp_path / "prepared.onnx")
    assert max(weighted_layers(tmp_path / "prepared.onnx").values()) >= 3 * (64 + 96 + 1280)


@pytest.mark.parametrize("target", ["timm", "torchvision"])
def test_layouts_of_one_linear_layer_are_refused(bundle: Path, tmp_path: Path, target: str) -> None:
    opened = read_bundle(bundle)
    source = Exportable(rebuilt(opened), opened.tasks, opened.preprocessing)
    with pytest.raises(UsageError, match=r"multiscale_linear, reads 4 features of several stages.*--head linear"):
        target_named(target).write(source, tmp_path)


def test_the_backbone_of_such_weights_starts_another_training(bundle: Path) -> None:
    state = load_state(bundle / WEIGHTS_FILE)
    network, _ = load_weights(ARCHITECTURES["mobilenet_v2"], state, "here")
    torch.testing.assert_close(
        dict(network.stages[3].state_dict()), dict(rebuilt(read_bundle(bundle)).stages[3].state_dict())
    )
    assert network.num_classes == 1


def test_a_map_is_no_feature_of_it() -> None:
    with pytest.raises(UsageError, match=r"stage3 is a map\. Take pool:stage3"):
        _network(features=("stage3",))
    with pytest.raises(UsageError, match="stage33"):
        _network(features=("pool:stage33",))
