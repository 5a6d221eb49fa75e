"""A layer that a format has no word for is reported by its name; nothing is written."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pocketvision.errors import UsageError
from pocketvision.export.exportable import Exportable
from pocketvision.export.targets import TARGETS
from pocketvision.export.unsupported import converted
from pocketvision.models.catalog import ARCHITECTURES, build
from pocketvision.models.network import Network
from pocketvision.models.published_weights import default_preprocessing
from pocketvision.models.spec import Architecture
from pocketvision.tasks.classification.task import classifying


class Bessel(nn.Module):
    """A function that ONNX and Core ML lack."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.special.bessel_j0(images)


class Undecided(nn.Module):
    """Runs otherwise for other numbers: no graph can hold that."""

    def forward(self, images: Tensor) -> Tensor:
        return images if images.sum() > 0 else -images


def with_layer(layer: nn.Module) -> Network:
    row = ARCHITECTURES["small_cnn"]
    assert isinstance(row, Architecture)
    stages = tuple(replace(stage, repeats=1) for stage in row.stages[:1])  # a single block: it is exported many times
    network = build(replace(row, stages=stages), num_classes=3).eval()
    network.stem.act = layer  # type: ignore[union-attr]
    return network


@pytest.mark.parametrize(
    ("name", "into", "layer"),
    [
        ("onnx", "ONNX", Bessel()),
        pytest.param("onnx-uint8", "ONNX", Bessel(), marks=pytest.mark.slow),
        pytest.param("openvino", "ONNX", Bessel(), marks=pytest.mark.slow),
        ("coreml", "Core ML", Bessel()),
        ("program", "torch.export's program", Undecided()),
        pytest.param("executorch", "ExecuTorch", Undecided(), marks=pytest.mark.slow),
    ],
)
def test_the_layer_is_named(name: str, into: str, layer: nn.Module, tmp_path: Path) -> None:
    source = Exportable(with_layer(layer), classifying(("a", "b", "c")), default_preprocessing("", 32).with_size(32))
    words = (
        rf"^{into} can not hold this network: the layer network\.stem\.act \({type(layer).__name__}\) is not supported"
    )
    with pytest.raises(UsageError, match=words):
        TARGETS[name].write(source, tmp_path)
    assert not [each for each in tmp_path.rglob("*") if each.is_file()]


def test_what_no_single_layer_is_to_blame_for_is_reported_with_its_cause() -> None:
    def convert(graph: nn.Module, _: Tensor) -> None:
        if len(list(graph.children())):
            raise ValueError("too deep\nand more") from KeyError("the root")

    graph = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
    with pytest.raises(UsageError, match=r"^X can not hold this network: KeyError: 'the root'\. Replace"):
        converted(convert, graph, torch.zeros(1, 3, 4, 4), into="X")


def test_a_full_disk_is_no_layers_fault() -> None:
    def convert(_: nn.Module, __: Tensor) -> None:
        raise OSError("No space left")

    with pytest.raises(OSError, match="No space left"):
        converted(convert, nn.ReLU(), torch.zeros(1, 3, 4, 4), into="X")
