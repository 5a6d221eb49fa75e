"""Heads of objects and masks in the formats of phones, on a small backbone with random weights: what they hold is what the
network answers. Of Core ML, which only a Mac runs, the graph is looked at; LiteRT's converter is no part of the tests' extras."""

from pathlib import Path

import numpy as np
import pytest
import torch
from networks import calibrated, randomised, shallow

from pocketvision.export import to_coreml
from pocketvision.export.exportable import Exportable
from pocketvision.export.targets import target_named
from pocketvision.models.catalog import ARCHITECTURES
from pocketvision.models.heads.catalog import head_named
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.network import Network
from pocketvision.preprocessing import Preprocessing
from pocketvision.tasks.catalog import task_named
from pocketvision.tasks.manifest import TaskManifest

SIZE, LABELS = 64, ("a", "b", "c")
HEADS = ("grid", "yolo_v1", "u_net_transposed", "deeplab")
"""Each has something that one of the two converters had no word for, or the wrong one."""


def exportable(head: str) -> tuple[Exportable, np.ndarray]:
    torch.manual_seed(0)
    row = head_named(head)
    network = randomised(Network(shallow(ARCHITECTURES["mobilenet_v3_small"]), {row.kind: HeadSpec(head, len(LABELS))}))
    images = torch.nn.functional.interpolate(torch.randn(4, 3, 8, 8), size=(SIZE, SIZE), mode="bilinear")
    calibrated(network, images)
    outputs = {role: f"{row.kind}.{role}" for role in row.roles}
    task = TaskManifest(kind=row.kind, labels=LABELS, outputs=outputs, postprocessing={}, head=head)
    preprocessing = Preprocessing(SIZE, SIZE, 1.0, "bilinear", (0.5,) * 3, (0.25,) * 3)
    assert isinstance(network, Network)
    return Exportable(network, {row.kind: task}, preprocessing), images.numpy()


def runs_of_convolutions(source: Exportable) -> int:
    """In one answer: a network has layers that no head reads."""
    graph, runs = source.graph(), []
    for module in graph.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            module.register_forward_hook(lambda *_: runs.append(1))
    graph(source.example())
    return len(runs)


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_core_ml_holds_them(head: str, tmp_path: Path) -> None:
    coremltools = pytest.importorskip("coremltools")
    source, _ = exportable(head)
    target_named("coreml").write(source, tmp_path)
    spec = coremltools.models.MLModel(str(tmp_path / to_coreml.PACKAGE), skip_model_load=True).get_spec()
    shapes = {each.name: tuple(each.type.multiArrayType.shape) for each in spec.description.output}
    assert shapes == {name.replace(".", "_"): (1, *shape) for name, shape in source.output_shapes.items()}
    (block,) = spec.mlProgram.functions["main"].block_specializations.values()
    convolutions = [operation for operation in block.operations if operation.type in ("conv", "conv_transpose")]
    assert len(convolutions) == runs_of_convolutions(source)


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_litert_answers_as_the_network_does(head: str, tmp_path: Path) -> None:
    """By hand too: docs/export.md says with which versions."""
    pytest.importorskip("litert_torch")
    source, images = exportable(head)
    target = target_named("litert")
    target.write(source, tmp_path)
    found, expected = target.open_answers(tmp_path, source)(images), source.answers()(images)
    for kind, task in source.tasks.items():
        agreed = task_named(kind).agree(task.tensors(expected), task.tensors(found))
        agreed.require("model.tflite", [str(place) for place in range(len(images))])
