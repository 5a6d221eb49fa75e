"""A network as an ONNX file: the same answers at every batch size, folded, quiet, and without the machine's paths."""

import io
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketvision.bundle import GraphManifest
from pocketvision.errors import UsageError
from pocketvision.export.exportable import Exportable
from pocketvision.export.targets import target_named
from pocketvision.models.catalog import build
from pocketvision.models.network import Network
from pocketvision.models.published_weights import default_preprocessing
from pocketvision.runtime.backends import open_onnx
from pocketvision.tasks.classification.agreement import agreement
from pocketvision.tasks.classification.decode import softmax
from pocketvision.tasks.classification.task import classifying

SIZE = 64


@pytest.fixture(scope="module")
def network() -> Network:
    """MobileNetV2 with random weights and random norm statistics, scaled so that its answers differ."""
    torch.manual_seed(0)
    network = build("mobilenet_v2", num_classes=5).eval()
    for module in network.modules():
        if (
            isinstance(module, torch.nn.BatchNorm2d)
            and module.running_mean is not None
            and module.running_var is not None
        ):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    with torch.no_grad():
        logits = network(torch.randn(8, 3, SIZE, SIZE))
        linear = network.heads["classification"].linear
        assert isinstance(linear, torch.nn.Linear)
        linear.weight.mul_(3 / logits.std())
    return network


@dataclass(frozen=True)
class Exported:
    """One export for the module's tests (it takes seconds), and everything that was printed or warned meanwhile."""

    path: Path
    graph: GraphManifest
    noise: str


@pytest.fixture(scope="module")
def exported(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    printed = io.StringIO()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with redirect_stdout(printed), redirect_stderr(printed), warnings.catch_warnings(record=True) as caught:
        source = Exportable(network, classifying(tuple("abcde"), 1.7), default_preprocessing("", SIZE).with_size(SIZE))
        target_named("onnx").write(source, path.parent)
        graph = source.graph_manifest("onnx", (path.name,))
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    return Exported(path, graph, printed.getvalue() + "".join(str(warning.message) for warning in caught))


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_the_file_answers_like_the_network_at_every_batch_size(
    batch: int, network: Network, exported: Exported
) -> None:
    images = torch.randn(batch, 3, SIZE, SIZE)
    with torch.no_grad():
        logits = network(images).numpy()
    outputs = open_onnx(exported.path, threads=1).run(images.numpy())
    assert logits.std() > 0.1
    assert np.abs(outputs["logits"] - logits).max() <= 1e-4
    agreement(softmax(logits, 1.7), outputs["probabilities"], tolerance=1e-5).require("model.onnx")


def test_the_graph_is_described(exported: Exported) -> None:
    assert exported.graph.files == ("model.onnx",)
    assert [tensor.shape for tensor in exported.graph.inputs] == [("batch", 3, SIZE, SIZE)]
    outputs = [(tensor.name, tensor.shape) for tensor in exported.graph.outputs]
    assert outputs == [("logits", ("batch", 5)), ("probabilities", ("batch", 5))]


def test_norms_are_folded_and_nothing_tells_where_it_was_made(exported: Exported) -> None:
    import onnx

    kinds = {node.op_type for node in onnx.load(exported.path).graph.node}
    assert kinds <= {"Conv", "Clip", "Add", "ReduceMean", "Gemm", "Softmax", "Div"}
    content = exported.path.read_bytes()
    assert b".py" not in content and b"site-packages" not in content
    assert [each.name for each in exported.path.parent.iterdir()] == ["model.onnx"], "the weights are inside the file"


def test_the_exporter_is_quiet(exported: Exported) -> None:
    assert exported.noise == ""


def test_wrong_use(network: Network) -> None:
    with pytest.raises(ValueError, match="temperature is 0"):
        Exportable(network, classifying(tuple("abcde"), 0), default_preprocessing("", SIZE))
    with pytest.raises(UsageError, match=r"Unknown export target 'onx'\. Did you mean onnx"):
        target_named("onx")
