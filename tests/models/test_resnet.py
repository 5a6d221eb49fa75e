"""ResNets beyond what every row promises: the paper's table at every cut, bottlenecks from a file, other input channels."""

from pathlib import Path

import pytest
import torch
from torch import nn

from pocketvision.errors import UsageError
from pocketvision.models.catalog import ARCHITECTURES, architecture, build
from pocketvision.models.cost import cost
from pocketvision.models.loading import load_weights

BOTTLENECKS = """
name = "found"
family = "searched"
stem_channels = 16
stem_kernel = 7
stem_pool = true
head_channels = 0
activation = "relu"
padding = "symmetric"
norm_epsilon = 1e-5
input_size = 64
dropout = 0.0

[[stages]]
block = "bottleneck"
kernel = 3
stride = 1
expansion = 0.25
channels = 64
repeats = 2

[[stages]]
block = "bottleneck"
kernel = 5
stride = 2
expansion = 0.5
channels = 96
repeats = 1
"""


@pytest.mark.parametrize(
    ("name", "channels"), [("resnet18", (64, 64, 128, 256, 512)), ("resnet50", (64, 256, 512, 1024, 2048))]
)
def test_cuts_are_the_papers(name: str, channels: tuple[int, ...]) -> None:
    network = build(name, num_classes=2).eval()
    assert network.channels == channels and network.strides == (4, 4, 8, 16, 32)
    with torch.no_grad():
        for cut, side in zip(network.cuts, (24, 24, 12, 6, 3), strict=True):
            assert network.trunk(torch.zeros(1, 3, 96, 96), cut).shape == (1, channels[cut], side, side)


def test_bottlenecks_from_a_file_are_narrow_inside(tmp_path: Path) -> None:
    path = tmp_path / "found.toml"
    path.write_text(BOTTLENECKS)
    rows = architecture(str(path))
    network = build(rows, num_classes=3)
    assert network.channels == (16, 64, 96) and network.strides == (4, 4, 8)
    kernels = {name: tuple(each.weight.shape) for name, each in network.named_modules() if isinstance(each, nn.Conv2d)}
    assert kernels == {
        "stem.conv": (16, 3, 7, 7),
        "stages.0.0.conv1.conv": (16, 16, 1, 1),
        "stages.0.0.conv2.conv": (16, 16, 3, 3),
        "stages.0.0.conv3.conv": (64, 16, 1, 1),
        "stages.0.0.shortcut.conv": (64, 16, 1, 1),
        "stages.0.1.conv1.conv": (16, 64, 1, 1),
        "stages.0.1.conv2.conv": (16, 16, 3, 3),
        "stages.0.1.conv3.conv": (64, 16, 1, 1),
        "stages.1.0.conv1.conv": (48, 64, 1, 1),
        "stages.1.0.conv2.conv": (48, 48, 5, 5),
        "stages.1.0.conv3.conv": (96, 48, 1, 1),
        "stages.1.0.shortcut.conv": (96, 64, 1, 1),
    }
    assert sum(each.numel() for each in network.parameters()) == cost(rows, num_classes=3).parameters
    assert network(torch.randn(2, 3, 64, 64)).shape == (2, 3)
    path.write_text(BOTTLENECKS.replace('"bottleneck"', '"bottlenek"', 1))
    with pytest.raises(UsageError, match=r"In row 1 of stages 'block' is 'bottlenek', expected .*'bottleneck'"):
        architecture(str(path))


@pytest.mark.parametrize("channels", [1, 4])
def test_a_stem_for_other_channels_keeps_its_shape_and_its_answers_to_grey(channels: int) -> None:
    torch.manual_seed(1)
    source = build(ARCHITECTURES["resnet18"], num_classes=3).eval()
    network, _ = load_weights(source.architecture, source.state_dict(), "x", in_channels=channels)
    assert network.stem.conv.weight.shape == (64, channels, 7, 7) and network.stem.conv.in_channels == channels
    grey = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        expected = source(grey.expand(-1, 3, -1, -1))
        torch.testing.assert_close(network(grey.expand(-1, channels, -1, -1)), expected, rtol=1e-3, atol=1e-4)
    assert network(torch.randn(2, channels, 64, 64)).shape == (2, 3)
    again, _ = load_weights(source.architecture, network.state_dict(), "x")  # the weights tell their channels
    assert again.stem.conv.in_channels == channels
