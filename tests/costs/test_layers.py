"""What layers cost, held to published figures, to the rows, and to what can be worked out by hand and by gradients."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from plain_backbone import PLAIN
from torch import Tensor, nn

from pocketvision.bundle import Bundle
from pocketvision.compression.network_cost import network_cost
from pocketvision.costs.counting import count, units
from pocketvision.costs.layer_cost import NetworkCosts
from pocketvision.costs.profiling import ProfileSettings
from pocketvision.costs.receptive_field import Field, FieldTracing
from pocketvision.errors import BundleError, UsageError
from pocketvision.models.catalog import ARCHITECTURES, architecture, build
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.network import Network
from pocketvision.workflows.model_costs import model_costs

# Millions of multiply-accumulates and parameters as torchvision and the papers publish them, at these pixels.
PUBLISHED = {
    "efficientnet_b0": (224, 386, 5_288_548),
    "efficientnet_b1": (240, 687, 7_794_184),
    "efficientnet_b4": (380, 4_394, 19_341_616),
    "efficientnet_b7": (600, 37_746, 66_347_960),
    "efficientnet_v2_s": (384, 8_366, 21_458_488),
    "efficientnet_lite0": (224, 407, 4_652_008),
    "mobilenet_v1": (224, 569, 4_231_976),
    "mobilenet_v2": (224, 301, 3_504_872),
    "mobilenet_v3_large": (224, 217, 5_483_032),
    "mobilenet_v3_small": (224, 57, 2_542_856),
    "resnet18": (224, 1_814, 11_689_512),
    "resnet50": (224, 4_089, 25_557_032),
    "vit_tiny_16": (224, 1_258, 5_717_416),
}
# Araujo et al. 2019, https://distill.pub/2019/computing-receptive-fields, table of the appendix.
SEEN = {"mobilenet_v1": 315, "mobilenet_v2": 491}


def counted(name: str, size: int) -> NetworkCosts:
    """Without computing: its tensors have shapes alone."""
    with torch.device("meta"):
        network = build(name)
    return count(network, (size, size))


QUICK = ("efficientnet_b0", "efficientnet_lite0", "mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "vit_tiny_16")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in PUBLISHED]
)
def test_costs_are_the_published_ones(name: str) -> None:
    size, millions, parameters = PUBLISHED[name]
    found = counted(name, size).total
    assert found.macs / 1e6 == pytest.approx(millions, rel=0.06)
    assert found.trainable + found.frozen == parameters
    assert SEEN.get(name, found.field and found.field[0]) == (found.field and found.field[0])


@pytest.mark.parametrize("head", ["linear", "grid", "ssd_lite", "u_net", "lr_aspp"])
def test_networks_of_every_task_are_counted(head: str) -> None:
    network = Network(architecture("mobilenet_v3_small"), {"own": HeadSpec(head, 3)})
    found, rows = count(network, (64, 64)), network_cost(network, size=64)
    assert found.total.macs == rows.macs
    assert sum(layer.parameters for layer in found.layers if layer.shape) == rows.parameters
    assert sum(layer.parameters for layer in found.layers) == sum(each.numel() for each in network.parameters())
    assert next(part.name for part in found.parts) == "stem" and found.parts[-1].name == "own"
    assert network.training and all(each.requires_grad for each in network.parameters())  # left as it was


def test_attention_has_its_products() -> None:
    """Two of tokens x tokens x width, put down to the layer that makes queries, keys and values."""
    with torch.device("meta"):
        network = build(replace(ARCHITECTURES["vit_tiny_16"], depth=1))
    layers = {layer.name: layer for layer in count(network, (224, 224)).layers}
    tokens, width = 14 * 14 + 1, 192
    assert layers["stages.0.attention.qkv"].macs == tokens * width * 3 * width + 2 * tokens**2 * width
    assert layers["stages.0.attention.project"].macs == tokens * width * width
    assert layers["stem.conv"].macs == 14 * 14 * 16 * 16 * 3 * width and layers["stem"].macs == 0
    assert layers["stem"].parameters == width * (1 + tokens)  # class token and positions, without the convolution's


def field_of(network: nn.Module, side: int = 64) -> Field:
    images = torch.zeros(1, 1, side, side)
    tracing = FieldTracing(images)
    with torch.no_grad(), tracing:
        output = network(images)
    found = tracing.of(output)
    assert found is not None
    return found


def test_fields_worked_out_by_hand() -> None:
    conv = nn.Conv2d(1, 1, 3, padding=1)
    assert field_of(conv).size == (3, 3)
    assert field_of(nn.Sequential(conv, conv)).size == (5, 5)
    halved = nn.Sequential(nn.Conv2d(1, 1, 3, stride=2), nn.MaxPool2d(2), nn.Conv2d(1, 1, 5, dilation=2))
    assert field_of(halved).size == (3 + 1 * 2 + 4 * 2 * 4,) * 2 and field_of(halved).step == (4, 4)
    assert field_of(nn.Conv2d(1, 1, (1, 7))).size == (1, 7)
    up = nn.Sequential(nn.Conv2d(1, 1, 2, stride=2), nn.ConvTranspose2d(1, 1, 2, stride=2))
    assert field_of(up).size == (2, 2) and field_of(up).step == (1, 1)
    assert not field_of(conv).sees_all
    assert field_of(nn.Sequential(conv, nn.AdaptiveAvgPool2d(1))).sees_all
    assert field_of(nn.Sequential(nn.Flatten(), nn.Linear(64 * 64, 2))).sees_all


class Gated(nn.Module):
    """A shortcut around two convolutions, and a gate over the whole map."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 1, 5, padding=2))

    def forward(self, images: Tensor) -> Tensor:
        return images + self.inner(images) * images.mean((2, 3), keepdim=True).sigmoid()


def test_a_gate_adds_a_glance_at_everything_and_no_window() -> None:
    found = field_of(Gated())
    assert found.size == (7, 7) and found.sees_all


def extent_by_gradient(network: nn.Module, size: int) -> tuple[int, int]:
    """Pixels, height and width, that the middle of the output depends on: positive weights, so that nothing cancels out."""
    with torch.no_grad():
        for each in network.parameters():
            each.abs_().add_(0.01)
    images = torch.rand(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    output = network.double()(images)
    output[0, :, output.shape[2] // 2, output.shape[3] // 2].sum().backward()
    assert images.grad is not None
    rows, columns = torch.nonzero(images.grad[0, 0], as_tuple=True)
    return int(rows.max() - rows.min() + 1), int(columns.max() - columns.min() + 1)


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(
            nn.Conv2d(1, 2, 3, stride=2), nn.ReLU(), nn.Conv2d(2, 1, 3, padding=1, stride=2), nn.AvgPool2d(2)
        ),
        nn.Sequential(nn.Conv2d(1, 2, (5, 3), dilation=(1, 2)), nn.Conv2d(2, 2, 3, groups=2, stride=2)),
        nn.Sequential(nn.AvgPool2d(3, 2, 1), nn.Conv2d(1, 1, 3)),
    ],
    ids=["strides", "oblong and dilated", "overlapping windows"],
)
def test_fields_are_what_gradients_reach(network: nn.Module) -> None:
    assert field_of(network).size == extent_by_gradient(network, 64)


def test_layers_at_a_path_and_unknown_ones() -> None:
    whole = counted("mobilenet_v1", 64)
    assert {layer.part for layer in whole.only("stages.3").layers} == {"stage 3"}
    assert len(whole.only("stages.3.0.depthwise").layers) == 1
    with pytest.raises(
        UsageError, match=r"Unknown layer 'stages\.3\.0\.depthwize'\. Did you mean stages\.3\.0\.depthwise"
    ):
        whole.only("stages.3.0.depthwize")
    with pytest.raises(UsageError, match="Unknown layer 'stage 3'"):
        whole.only("stage 3")


def test_what_learns_is_told_from_what_is_frozen(tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps(PLAIN.to_dict()))
    everything = model_costs(rows, size=32)
    heads = model_costs(rows, size=32, unfreeze=0)
    last = model_costs(rows, size=32, unfreeze=1)
    assert everything.total.frozen == 0
    assert [part.name for part in heads.parts if part.trainable] == ["classification"]
    learning = [part.name for part in last.parts if part.trainable]
    assert learning[0] == f"stage {len(PLAIN.stages) - 1}" and learning[-1] == "classification"
    total = everything.total.trainable
    assert heads.total.trainable + heads.total.frozen == last.total.trainable + last.total.frozen == total


@pytest.mark.parametrize(
    "runtimes", [("torch",), pytest.param(("torch", "onnxruntime", "openvino"), marks=pytest.mark.slow)]
)
def test_layers_are_timed_by_every_runtime(tmp_path: Path, runtimes: tuple[str, ...]) -> None:
    rows, trace = tmp_path / "rows.json", tmp_path / "trace.json"
    stages = tuple(replace(stage, repeats=1) for stage in PLAIN.stages[:2])
    rows.write_text(json.dumps(replace(PLAIN, stages=stages).to_dict()))
    found = model_costs(rows, size=32, profile=ProfileSettings(runtimes, 2, passes=2, threads=1), trace=trace)
    assert [profile.runtime for profile in found.profiles] == list(runtimes)
    assert found.peak_gflops_per_second and found.peak_gflops_per_second > 1
    for profile in found.profiles:
        times = [layer.timings[profile.runtime] for layer in found.layers if profile.runtime in layer.timings]
        assert len(times) == len(
            list(units(build(str(rows))))
        )  # every one of them, whatever the runtime made of the graph
        assert 0 < sum(each.share for each in times) <= 1 + 1e-9 and profile.milliseconds > 0 and profile.kinds
        work = 2e-9 * 2 * found.total.macs
        assert profile.gflops_per_second == pytest.approx(work / (profile.milliseconds / 1e3))
        written = trace if len(runtimes) == 1 else trace.with_name(f"trace.{profile.runtime}.json")
        events = json.loads(written.read_text())["traceEvents"]
        assert any(each.get("ph") == "X" and each["dur"] >= 0 for each in events)
    assert found.profiles[0].peak_memory and found.profiles[0].peak_memory >= 4 * 2 * 32 * 32
    assert json.loads(json.dumps(found.to_dict()))["parts"][0]["milliseconds"].keys() == set(runtimes)


def test_wrong_wishes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Unknown backend 'tflite'\. Known: torch, onnxruntime, openvino"):
        ProfileSettings(("tflite",))
    with pytest.raises(UsageError, match="--batch is 0"):
        ProfileSettings(batch=0)
    with pytest.raises(UsageError, match="--passes is 0"):
        ProfileSettings(passes=0)
    with pytest.raises(UsageError, match="threads is 0"):
        ProfileSettings(threads=0)
    with pytest.raises(UsageError, match="give --profile as well"):
        model_costs("mobilenet_v1", trace=tmp_path / "trace.json")
    with pytest.raises(UsageError, match=r"ends in \.json"):
        model_costs("mobilenet_v1", profile=ProfileSettings(), trace=tmp_path / "trace.txt")
    with pytest.raises(UsageError, match="unfreeze is 9: mobilenet_v1 has 5 stages"):
        model_costs("mobilenet_v1", size=32, unfreeze=9)
    with pytest.raises(UsageError, match="--size is 4"):
        model_costs("mobilenet_v1", size=4)


def test_a_bundle_without_weights_is_refused(shared_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="there is no such folder"):
        model_costs(tmp_path / "nothing")
    with pytest.raises(UsageError, match=r"holds no model\.safetensors"):
        model_costs(shared_bundle.folder)
