"""What every row of the architecture catalogue promises."""

import json
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pocketvision.models.catalog import ARCHITECTURES, build
from pocketvision.models.key_layouts import LAYOUTS, from_ours, recognise, to_ours
from pocketvision.models.loading import load_weights
from pocketvision.models.network import Network, fold_norms
from pocketvision.models.spec import Architecture
from pocketvision.models.summary import COSTS, summaries

ROWS = sorted(ARCHITECTURES)

# Published figures: exact parameters at 1000 classes, and multiply-accumulates in millions.
PUBLISHED = {
    "efficientnet_b0": (5_288_548, 386),
    "tf_efficientnet_b0": (5_288_548, 386),
    "efficientnet_lite0": (4_652_008, 407),
    "efficientnet_lite1": (5_416_680, 631),
    "efficientnet_lite2": (6_092_072, 899),
    "mobilenet_v2": (3_504_872, 301),
}

# Our row, their library, their name.
REFERENCES = [
    ("efficientnet_b0", "timm", "efficientnet_b0"),
    ("efficientnet_b0", "torchvision", "efficientnet_b0"),
    ("tf_efficientnet_b0", "timm", "tf_efficientnet_b0"),
    ("efficientnet_lite0", "timm", "tf_efficientnet_lite0"),
    ("efficientnet_lite0", "timm", "efficientnet_lite0"),
    ("efficientnet_lite1", "timm", "tf_efficientnet_lite1"),
    ("efficientnet_lite1", "timm", "efficientnet_lite1"),
    ("efficientnet_lite2", "timm", "tf_efficientnet_lite2"),
    ("efficientnet_lite2", "timm", "efficientnet_lite2"),
    ("mobilenet_v2", "timm", "mobilenetv2_100"),
    ("mobilenet_v2", "torchvision", "mobilenet_v2"),
]


def reference(library: str, name: str) -> nn.Module:
    """Their network with random weights and randomised norm statistics, so that no output is near zero."""
    torch.manual_seed(7)
    models = {"timm": timm.create_model, "torchvision": torchvision.models.get_model}
    return randomised(models[library](name))


def randomised(network: nn.Module) -> nn.Module:
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.5)
                module.running_var.uniform_(0.5, 2)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.5)
            if isinstance(module, nn.Linear):
                module.weight.normal_(0, 0.1)
    return network.eval()


def as_built_by(row: Architecture, library: str, name: str) -> Architecture:
    """The row with the conventions of that library's network of that name."""
    if library == "timm" and not name.startswith("tf_"):
        return replace(row, padding="symmetric", norm_epsilon=1e-5)
    return row


def assert_equal(found: Tensor, expected: Tensor) -> None:
    """Equal to within 1e-4 of the expected numbers' standard deviation, which must not be near zero."""
    assert expected.std() >= 0.1
    assert (found - expected).abs().max() <= 1e-4 * expected.std()


@pytest.fixture(scope="module", params=ROWS)
def network(request: pytest.FixtureRequest) -> Network:
    torch.manual_seed(1)
    return randomised(build(request.param, num_classes=10))


def test_every_row_is_in_the_tables_of_figures() -> None:
    assert set(PUBLISHED) == set(COSTS) == set(ARCHITECTURES)
    assert {row for row, _, _ in REFERENCES} == set(ARCHITECTURES)
    assert [summary.name for summary in summaries()] == list(ARCHITECTURES)


@pytest.mark.parametrize("name", ROWS)
def test_parameters_and_macs_are_the_published_ones(name: str) -> None:
    network, (parameters, million_macs) = build(name).eval(), PUBLISHED[name]
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters == COSTS[name].parameters
    size = network.architecture.input_size
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, size, size))
    assert counter.get_total_flops() // 2 == COSTS[name].macs
    assert COSTS[name].macs == pytest.approx(million_macs * 1e6, rel=0.06)


@pytest.mark.parametrize(("name", "library", "theirs"), REFERENCES)
def test_outputs_equal_the_reference(name: str, library: str, theirs: str) -> None:
    expected = reference(library, theirs)
    row = as_built_by(ARCHITECTURES[name], library, theirs)
    network, layout = load_weights(row, expected.state_dict(), theirs)
    assert layout.name == library
    # The published size, and one with odd and even sides, where the paddings differ most.
    for height, width in ((row.input_size, row.input_size), (75, 98)):
        images = torch.randn(2, 3, height, width)
        with torch.no_grad():
            assert_equal(network(images), expected(images))


@pytest.mark.parametrize(("name", "library", "theirs"), REFERENCES)
def test_key_layouts_are_complete_both_ways(name: str, library: str, theirs: str) -> None:
    row, state = ARCHITECTURES[name], reference(library, theirs).state_dict()
    layout = recognise(row, state)
    ours = to_ours(layout, row, state)
    assert set(ours) == set(build(name).state_dict())
    back = from_ours(layout, row, ours)
    assert list(back) == list(state) and all(back[key] is state[key] for key in state)


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)
def test_layouts_name_every_module_once(name: str, layout: object) -> None:
    paths = layout.module_paths(ARCHITECTURES[name])  # type: ignore[attr-defined]
    modules = {key.rpartition(".")[0] for key in build(name).state_dict()}
    assert set(paths) == modules and len(set(paths.values())) == len(paths)


def test_the_rows_rebuild_the_network(network: Network) -> None:
    rows = Architecture.from_dict(json.loads(json.dumps(network.architecture.to_dict())))
    assert rows == network.architecture
    rebuilt = build(rows, num_classes=10).eval()
    rebuilt.load_state_dict(network.state_dict())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(rebuilt(images), network(images))


def test_trunk_and_tail_make_the_network_at_every_cut(network: Network) -> None:
    images = torch.randn(2, 3, 70, 97)
    with torch.no_grad():
        expected = network(images)
        for cut in network.cuts:
            activations = network.trunk(images, cut)
            stride = network.strides[cut]
            assert activations.shape == (2, network.channels[cut], -(-70 // stride), -(-97 // stride))
            features = network.tail(activations, cut)
            assert features.shape == (2, network.feature_channels)
            assert torch.equal(network.classifier(features), expected)
    assert len(network.cuts) == len(network.channels) == len(network.strides) == 8


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_gradient_reaches_every_parameter(network: Network, training: bool) -> None:
    network.zero_grad()
    state = {key: value.clone() for key, value in network.state_dict().items()}
    network.train(training)(torch.randn(4, 3, 64, 64)).square().sum().backward()
    without = [name for name, parameter in network.named_parameters() if not parameter.grad.abs().sum() > 0]
    network.eval().load_state_dict(state)
    assert without == []


def test_channels_last_gives_the_same_numbers(network: Network) -> None:
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        expected = network(images)
        found = network.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
        network.to(memory_format=torch.contiguous_format)
    assert_equal(found, expected)


def test_folded_norms_give_the_same_numbers(network: Network) -> None:
    folded = fold_norms(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert_equal(folded(images), network(images))
    # With gradients recorded, norms are folded on the fly.
    assert_equal(network(images).detach(), folded(images).detach())


def test_exports_with_a_free_batch(network: Network, tmp_path_factory: pytest.TempPathFactory) -> None:
    """torch.export's program and the ONNX graph made of it answer like the network, for other batch sizes too."""
    program = torch.export.export(
        fold_norms(network), (torch.zeros(2, 3, 64, 64),), dynamic_shapes={"images": {0: torch.export.Dim("batch")}}
    )
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    graph = torch.onnx.export(program, dynamo=True, input_names=["images"], output_names=["logits"], verbose=False)
    assert graph is not None
    graph.save(path, external_data=False)
    session = onnxruntime.InferenceSession(path)
    for batch in (1, 5):
        images = torch.randn(batch, 3, 64, 64)
        with torch.no_grad():
            expected = network(images)
            assert_equal(program.module()(images), expected)
        (logits,) = session.run(["logits"], {"images": images.numpy()})
        assert_equal(torch.from_numpy(np.asarray(logits)), expected)
