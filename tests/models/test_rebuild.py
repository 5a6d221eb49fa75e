"""A bundle's network again: the same answers, and what it refuses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from pocketvision.bundle import Bundle, GraphManifest, Manifest, TensorInfo, write_bundle
from pocketvision.errors import BundleError, UsageError
from pocketvision.models.catalog import build
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.network import Network
from pocketvision.models.rebuild import WEIGHTS_FILE, rebuilt
from pocketvision.preprocessing import Preprocessing
from pocketvision.tasks.manifest import TaskManifest, output_names

OUTPUTS = tuple(TensorInfo(name, "float32", ("batch", 3)) for name in ("logits", "probabilities"))
GRAPH = GraphManifest("onnx", (), OUTPUTS, ("model.onnx",))


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return build("small_cnn", num_classes=3)


def written(network: Network, folder: Path, *, weights: bytes | None = None, name: str = WEIGHTS_FILE) -> Bundle:
    """A bundle of the network; its graph is no matter here."""
    task = TaskManifest(
        "classification", ("a", "b", "c"), {"logits": "logits", "probabilities": "probabilities"}, "linear"
    )
    manifest = Manifest(
        architecture=network.architecture.to_dict(),
        preprocessing=Preprocessing(32, 32, 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        tasks={"classification": task},
        graphs=(GRAPH,),
    )
    content = safetensors.torch.save(network.state_dict()) if weights is None else weights
    blank = np.zeros((1, 3), np.float32)
    return write_bundle(
        folder,
        manifest,
        {"model.onnx": b"graph", name: content},
        np.zeros((1, 3, 32, 32), np.float32),
        {"logits": blank, "probabilities": blank},
    )


@pytest.fixture(scope="module")
def bundle(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return written(network, tmp_path_factory.mktemp("rebuild") / "bundle")


def test_it_is_the_network_in_eval_mode(bundle: Bundle, network: Network) -> None:
    found, state = rebuilt(bundle), network.state_dict()
    assert not any(module.training for module in found.modules())
    assert found.architecture == network.architecture
    assert found.state_dict().keys() == state.keys()
    assert all(torch.equal(values, state[name]) for name, values in found.state_dict().items())
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(found(images), network.eval()(images))


def test_random_numbers_go_on_as_before(bundle: Bundle) -> None:
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    rebuilt(bundle)
    assert torch.equal(torch.rand(4), expected)


def test_a_bundle_without_weights_was_quantized(network: Network, tmp_path: Path) -> None:
    bare = written(network, tmp_path / "int8", name="notes.txt")
    with pytest.raises(
        UsageError, match=r"int8 holds no model\.safetensors, .* quantized, or made of an ONNX file\. Take the bundle"
    ):
        rebuilt(bare)


@pytest.mark.parametrize("change", ["labels", "rows", "tensor"])
def test_weights_that_do_not_fit_are_a_bundle_error(
    change: str, bundle: Bundle, network: Network, tmp_path: Path
) -> None:
    if change == "labels":
        task = replace(bundle.task, labels=("a", "b"))
        other = replace(bundle, manifest=replace(bundle.manifest, tasks={"classification": task}))
    elif change == "rows":
        architecture = {**bundle.manifest.architecture, "stem_channels": 48}
        other = replace(bundle, manifest=replace(bundle.manifest, architecture=architecture))
    else:
        state = network.state_dict()
        state.pop("stem.conv.weight")
        other = written(network, tmp_path / "less", weights=safetensors.torch.save(state))
    with pytest.raises(BundleError, match="its rows and weights do not make a network: ") as raised:
        rebuilt(other)
    assert str(other.folder) in str(raised.value)


def test_rows_of_no_kind_are_a_bundle_error(bundle: Bundle) -> None:
    for rows in ({"name": "channel_means"}, {**bundle.manifest.architecture, "activation": "sin"}):
        other = replace(bundle, manifest=replace(bundle.manifest, architecture=rows))
        with pytest.raises(BundleError, match="its rows and weights do not make a network"):
            rebuilt(other)


@pytest.mark.parametrize("weights", [b"", b"no tensors at all", b"\xff" * 100], ids=["empty", "text", "ones"])
def test_a_file_that_is_no_tensors_is_a_bundle_error(weights: bytes, network: Network, tmp_path: Path) -> None:
    """Its hash is the one in the manifest, so only reading it tells."""
    with pytest.raises(BundleError, match="bundle"):
        rebuilt(written(network, tmp_path / "bundle", weights=weights))


def test_every_head_is_rebuilt_from_the_manifest(network: Network, tmp_path: Path) -> None:
    whole = Network(network.architecture, {"photo": HeadSpec("linear", 3), "grain": HeadSpec("linear", 2)})
    outputs = {name: output_names(name, ("logits", "probabilities"), alone=False) for name in ("photo", "grain")}
    tasks = {
        name: TaskManifest("classification", labels, outputs[name], "linear")
        for name, labels in (("photo", ("a", "b", "c")), ("grain", ("fine", "coarse")))
    }
    other = written(whole, tmp_path / "bundle")
    other = replace(other, manifest=replace(other.manifest, tasks=tasks))
    found = rebuilt(other)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = whole.eval().outputs(images)
        assert {name: tuple(tensor.shape) for name, tensor in expected.items()} == {
            "photo.logits": (2, 3),
            "grain.logits": (2, 2),
        }
        assert all(torch.equal(tensor, expected[name]) for name, tensor in found.outputs(images).items())


def test_a_head_that_is_not_known_is_a_bundle_error(bundle: Bundle) -> None:
    other = replace(bundle, manifest=replace(bundle.manifest, tasks={"photo": replace(bundle.task, head="liner")}))
    with pytest.raises(BundleError, match=r"do not make a network: Unknown head 'liner'\. Did you mean linear"):
        rebuilt(other)
