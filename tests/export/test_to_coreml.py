"""Core ML's package: what it holds. Its answers need a Mac; here they are those of a stand-in for its runtime."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketvision.errors import MissingExtraError
from pocketvision.export import to_coreml
from pocketvision.export.exportable import Exportable
from pocketvision.export.targets import target_named
from pocketvision.models.catalog import build
from pocketvision.models.published_weights import default_preprocessing
from pocketvision.tasks.classification.task import classifying

coremltools = pytest.importorskip("coremltools")
TARGET = target_named("coreml")


@pytest.fixture(scope="module", params=[pytest.param("efficientnet_lite0", marks=pytest.mark.slow), "mobilenet_v2"])
def source(request: pytest.FixtureRequest) -> Exportable:
    torch.manual_seed(0)
    network = build(request.param, num_classes=3).eval()
    return Exportable(
        network, classifying(("개", "b", "c"), 1.7), replace(default_preprocessing("", 64), height=64, width=96)
    )


@pytest.fixture(scope="module")
def package(source: Exportable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coreml")
    TARGET.write(source, folder)
    return folder / to_coreml.PACKAGE


def test_inputs_outputs_and_metadata_are_described(package: Path) -> None:
    spec = coremltools.models.MLModel(str(package), skip_model_load=True).get_spec()
    (images,) = spec.description.input
    assert (images.name, list(images.type.multiArrayType.shape)) == ("images", [1, 3, 64, 96])
    outputs = {each.name: list(each.type.multiArrayType.shape) for each in spec.description.output}
    assert outputs == {"logits": [1, 3], "probabilities": [1, 3]}
    described = (*spec.description.input, *spec.description.output)
    assert {each.type.multiArrayType.dataType for each in described} == {65568}, "float32"
    metadata = spec.description.metadata.userDefined
    assert json.loads(metadata["labels"]) == ["개", "b", "c"]
    assert json.loads(metadata["preprocessing"])["height"] == 64


def test_the_operations_are_the_networks(package: Path, source: Exportable) -> None:
    spec = coremltools.models.MLModel(str(package), skip_model_load=True).get_spec()
    (block,) = spec.mlProgram.functions["main"].block_specializations.values()
    kinds = [operation.type for operation in block.operations]
    convolutions = sum(isinstance(module, torch.nn.Conv2d) for module in source.network.modules())
    assert kinds.count("conv") == convolutions and kinds.count("batch_norm") == 0
    assert kinds.count("linear") == 1 and kinds[-1] == "softmax"


def test_every_weight_is_in_it(package: Path, source: Exportable) -> None:
    content = (package / "Data/com.apple.CoreML/weights/weight.bin").read_bytes()
    folded = source.graph().state_dict()
    large = {name: tensor for name, tensor in folded.items() if tensor.numel() >= 16}
    assert large and [name for name, tensor in large.items() if tensor.numpy().tobytes() not in content] == []


def test_only_a_mac_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    assert not TARGET.runs_here and target_named("onnx").runs_here
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    assert TARGET.runs_here


def test_on_a_mac_images_are_asked_for_one_by_one(
    package: Path, source: Exportable, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Model:
        def __init__(self, path: str, compute_units: object) -> None:
            assert path == str(package) and compute_units == coremltools.ComputeUnit.CPU_ONLY

        def predict(self, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            assert given["images"].shape == (1, 3, 64, 96)
            return dict.fromkeys(("logits", "probabilities"), np.full((1, 3), given["images"].mean()))

    monkeypatch.setattr(coremltools.models, "MLModel", Model)
    answers = TARGET.open_answers(package.parent, source)
    images = np.stack([np.full((3, 64, 96), value, np.float32) for value in (0.25, 0.5)])
    found = answers(images)["probabilities"]
    assert found.tolist() == [[0.25] * 3, [0.5] * 3] and found.dtype == np.float32


def test_without_coremltools_the_install_line_is_reported(
    source: Exportable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "coremltools", None)
    with pytest.raises(MissingExtraError, match=r'pip install "pocketvision\[coreml\]"'):
        TARGET.write(source, tmp_path)
