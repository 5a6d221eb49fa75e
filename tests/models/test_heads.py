"""Several heads on one backbone: one pass, outputs by name, one graph; what can be no head; rows from an installed package."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from pocketvision.errors import UsageError
from pocketvision.export.to_onnx import write_graph
from pocketvision.models.catalog import ARCHITECTURES, build
from pocketvision.models.features import Feature
from pocketvision.models.heads import catalog
from pocketvision.models.heads.classification.linear import linear_head
from pocketvision.models.heads.head import Head, HeadSpec
from pocketvision.models.network import Decoded, Network, fold_norms

LEVELS = ("stride8", "stride16")


class Spots(nn.Module):
    """A score a class for every pixel of each level."""

    def __init__(self, features: tuple[Feature, ...], classes: int, dropout: float) -> None:
        super().__init__()
        del dropout
        self.strides = {each.name: each.stride for each in features}
        self.scores = nn.ModuleDict({each.name: nn.Conv2d(each.channels, classes, 1) for each in features})

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: score(features[name]) for name, score in self.scores.items()}

    def decode(self, outputs: Mapping[str, Tensor], postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
        scores = torch.cat([level.flatten(2) for level in outputs.values()], dim=2).sigmoid()
        return {"scores": scores * postprocessing.get("gain", 1.0)}


SPOTS = Head("spots", "spots", LEVELS, ("scores",), Spots)
EXIT = Head("exit", "classification", ("pool:stage3",), ("logits", "probabilities"), linear_head)
HEADS = {"photo": HeadSpec("linear", 3), "early": HeadSpec("exit", 3), "spots": HeadSpec("spots", 2)}


@pytest.fixture(autouse=True)
def rows(monkeypatch: pytest.MonkeyPatch) -> None:
    for row in (SPOTS, EXIT):
        monkeypatch.setitem(catalog.HEADS, row.name, row)


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return Network(ARCHITECTURES["mobilenet_v3_small"], HEADS).eval()


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 96, 64, generator=torch.Generator().manual_seed(1))


def test_outputs_are_by_task_and_role(network: Network, images: Tensor) -> None:
    outputs = network.outputs(images)
    assert {name: tuple(tensor.shape) for name, tensor in outputs.items()} == {
        "photo.logits": (2, 3),
        "early.logits": (2, 3),
        "spots.stride8": (2, 2, 12, 8),
        "spots.stride16": (2, 2, 6, 4),
    }
    assert network.features_read == ("pooled", "pool:stage3", *LEVELS)
    assert network(images).keys() == outputs.keys()
    alone = Network(network.architecture, {"photo": HeadSpec("linear", 3)}).eval()
    assert list(alone.outputs(images)) == ["logits"] and alone(images).shape == (2, 3)
    spots = Network(network.architecture, {"spots": HEADS["spots"]})
    assert list(spots.outputs(images)) == ["spots.stride8", "spots.stride16"]


def test_several_heads_share_one_pass(network: Network, images: Tensor) -> None:
    called: list[str] = []
    for name, module in network.named_modules():
        if name in ("stem", "head.conv") or name.removeprefix("stages.").isdigit():
            module.register_forward_hook(lambda *_, name=name: called.append(name))
    network.outputs(images)
    assert called == ["stem", *(f"stages.{stage}" for stage in range(len(network.stages))), "head.conv"]


def test_heads_that_read_low_features_need_no_more_of_the_backbone(network: Network, images: Tensor) -> None:
    called: list[int] = []
    for number, stage in enumerate(network.stages):
        stage.register_forward_hook(lambda *_, number=number: called.append(number))
    early = Network(network.architecture, {"early": HEADS["early"]}).eval()
    early.stem, early.stages = network.stem, network.stages
    early.outputs(images)
    assert called == [0, 1, 2, 3]


def test_each_head_gets_the_features_of_the_backbone(network: Network, images: Tensor) -> None:
    with torch.no_grad():
        pyramid, outputs = network.pyramid(images), network.outputs(images)
        for stride in (8, 16):
            expected = network.heads["spots"].scores[f"stride{stride}"](pyramid[stride])
            assert torch.equal(outputs[f"spots.stride{stride}"], expected)
        middle = network.trunk(images, 4).mean((2, 3))
        assert torch.equal(outputs["early.logits"], network.heads["early"].linear(middle))


@pytest.mark.slow
def test_one_graph_ships_all_of_them(network: Network, images: Tensor, tmp_path: Path) -> None:
    by_class = {"temperature": 2.0, "scales": [1.5, 0.5, 1.0], "offsets": [0.25, 0.0, -0.5]}
    postprocessing = {"photo": by_class, "spots": {"gain": 0.5}}
    graph = Decoded(fold_norms(network), postprocessing).eval()
    names = ("photo.logits", "photo.probabilities", "early.logits", "early.probabilities", "spots.scores")
    assert graph.names == names
    with torch.no_grad():
        expected = dict(zip(names, graph(images), strict=True))
        logits = network.outputs(images)["photo.logits"]
    scaled = logits / 2 * torch.tensor([1.5, 0.5, 1.0]) + torch.tensor([0.25, 0.0, -0.5])
    torch.testing.assert_close(expected["photo.probabilities"], torch.softmax(scaled, 1), rtol=1e-4, atol=1e-5)
    assert expected["spots.scores"].shape == (2, 2, 12 * 8 + 6 * 4) and expected["spots.scores"].max() <= 0.5
    write_graph(graph, tmp_path / "model.onnx", example=images, outputs=graph.names)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert tuple(each.name for each in session.get_outputs()) == names
    for name, found in zip(names, session.run(None, {"images": images.numpy()}), strict=True):
        np.testing.assert_allclose(found, expected[name].numpy(), rtol=1e-3, atol=1e-4)


def test_new_heads_leave_the_backbone(network: Network) -> None:
    before = {key: value.clone() for key, value in network.state_dict().items() if not key.startswith("heads.")}
    network.set_heads({"classification": HeadSpec("linear", 5, dropout=0.4)})
    assert all(torch.equal(network.state_dict()[key], value) for key, value in before.items())
    assert list(network.heads) == ["classification"] and network.num_classes == 5
    assert network.heads["classification"].dropout.p == 0.4


@pytest.mark.parametrize("task", ["Photo", "a.b", "", "1st", "keys", "training"])
def test_what_a_task_can_not_be_called(task: str) -> None:
    with pytest.raises(UsageError, match="A task can not be called"):
        Network(ARCHITECTURES["small_cnn"], {task: HeadSpec("linear", 2)})


def test_a_backbone_that_lacks_a_level_is_refused() -> None:
    with pytest.raises(UsageError, match=r"Unknown feature of vit_tiny_16 'stride8'\. Did you mean .*stride16"):
        Network(ARCHITECTURES["vit_tiny_16"], {"spots": HeadSpec("spots", 2)})


def test_an_unknown_head_lists_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"Unknown head 'liner'\. Did you mean linear"):
        Network(ARCHITECTURES["small_cnn"], {"photo": HeadSpec("liner", 2)})


def test_weights_of_another_task_leave_a_new_classifier(network: Network) -> None:
    from pocketvision.models.loading import load_weights

    found, _ = load_weights(network.architecture, network.state_dict(), "other")
    assert found.num_classes == 1
    assert torch.equal(found.stem.conv.weight, network.stem.conv.weight)


def test_the_names_of_0_1_load_bit_equal() -> None:
    torch.manual_seed(4)
    network = build("small_cnn", num_classes=3)
    state = network.state_dict()
    before = {key.replace("heads.classification.linear.", "classifier.1."): value for key, value in state.items()}
    assert before.keys() != state.keys()
    again = build("small_cnn", num_classes=3)
    again.load_state_dict(before)
    assert all(torch.equal(value, state[key]) for key, value in again.state_dict().items())
    whole = nn.ModuleDict({"network": build("small_cnn", num_classes=3)})
    whole.load_state_dict({f"network.{key}": value for key, value in before.items()})
    assert all(torch.equal(value, state[key]) for key, value in whole["network"].state_dict().items())
