"""Every row, as torch.export's program and as ONNX, answers like the network."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from networks import assert_equal, each_row, randomised

from pocketvision.models.catalog import ARCHITECTURES, build
from pocketvision.models.network import fold_norms
from pocketvision.models.spec import Architecture
from pocketvision.models.vit import VisionTransformer

# Between them they have every operator of the catalogue.
QUICK = ("mobilenet_v3_small", "small_cnn", "vit_tiny_16")


@pytest.mark.parametrize("name", each_row(quick=QUICK))
def test_exports_with_a_free_batch(name: str, tmp_path: Path) -> None:
    """Other batch sizes too. A stage's first two blocks stand for the rest, which are the second one over again."""
    row = ARCHITECTURES[name]
    if isinstance(row, Architecture):
        stages = tuple(replace(stage, repeats=min(stage.repeats, 2)) for stage in row.stages)
        row = replace(row, stages=stages, depth=1.0)
    elif isinstance(row, VisionTransformer):
        row = replace(row, depth=2)
    torch.manual_seed(1)
    network = randomised(build(row, num_classes=10))
    program = torch.export.export(
        fold_norms(network), (torch.zeros(2, 3, 64, 64),), dynamic_shapes={"images": {0: torch.export.Dim("batch")}}
    )
    graph = torch.onnx.export(program, dynamo=True, input_names=["images"], output_names=["logits"], verbose=False)
    assert graph is not None
    graph.save(tmp_path / "model.onnx", external_data=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for batch in (1, 5):
        images = torch.randn(batch, 3, 64, 64)
        with torch.no_grad():
            expected = network(images)
            assert_equal(program.module()(images), expected)
        (logits,) = session.run(["logits"], {"images": images.numpy()})
        assert_equal(torch.from_numpy(np.asarray(logits)), expected)
