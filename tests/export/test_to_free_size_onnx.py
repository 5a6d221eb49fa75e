"""ONNX with a free size answers like the network at every size, whichever way the network pads."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from networks import randomised
from plain_backbone import PLAIN

from pocketvision.errors import UsageError
from pocketvision.export.exportable import Exportable
from pocketvision.export.targets import target_named
from pocketvision.export.to_free_size_onnx import FILE
from pocketvision.models.catalog import ARCHITECTURES, build
from pocketvision.models.published_weights import default_preprocessing
from pocketvision.models.spec import Architecture, Padding
from pocketvision.tasks.classification.task import classifying

TARGET = target_named("onnx-free-size")
# One a family, TensorFlow's padding among them: kernels of 3, 5 and 7 at odd and even sizes.
NAMES = ("efficientnet_lite0", "mobilenet_v3_small", "mobilenet_v1", "resnet18", "plain")
SIZES = ((64, 64), (33, 97), (50, 31), (1, 1), (7, 300))


def padded(name: str, padding: Padding) -> Architecture:
    """The catalogue's row with that padding, its stages cut to two blocks each, which stand for the others."""
    row = PLAIN if name == "plain" else ARCHITECTURES[name]
    assert isinstance(row, Architecture)
    stages = [replace(stage, repeats=min(stage.repeats, 2)) for stage in row.stages]
    return replace(row, stages=tuple(stages), depth=1.0, padding=padding)


QUICK = {("plain", "symmetric"), ("plain", "same")}


@pytest.mark.parametrize(
    ("name", "padding"),
    [
        pytest.param(*each, marks=() if each in QUICK else pytest.mark.slow)
        for each in itertools.product(NAMES, ("same", "symmetric"))
    ],
)
def test_it_answers_like_the_network_at_every_size(name: str, padding: Padding, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = randomised(build(padded(name, padding), num_classes=5))
    size = default_preprocessing("", 64).with_size(64)
    TARGET.write(Exportable(network, classifying(tuple("abcde"), 1.7), size), tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / FILE)
    for batch, (height, width) in enumerate(SIZES, start=1):
        images = torch.randn(batch, 3, height, width)
        with torch.no_grad():
            expected = network(images).numpy()
        logits, probabilities = session.run(None, {"images": images.numpy()})
        assert np.abs(logits - expected).max() <= 1e-4 * max(1, np.abs(expected).max()), (height, width)
        assert np.abs(probabilities.sum(axis=1) - 1).max() < 1e-5


def test_what_is_free_is_said_in_the_file_and_in_the_manifest(tmp_path: Path) -> None:
    size = default_preprocessing("", 64).with_size(64)
    network = build(PLAIN, num_classes=5).eval()
    padding = network.stem.conv.pads_same  # type: ignore[union-attr]
    source = Exportable(network, classifying(tuple("abcde")), size)
    TARGET.write(source, tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / FILE)
    assert session.get_inputs()[0].shape == ["batch", 3, "height", "width"]
    assert session.get_outputs()[0].shape == ["batch", 5]
    assert {"labels", "preprocessing"} <= session.get_modelmeta().custom_metadata_map.keys()
    (described,) = source.graph_manifest("onnx-free-size", (FILE,), free_size=True).inputs
    assert described.shape == ("batch", 3, "height", "width")
    assert network.stem.conv.pads_same == padding, "the network is left as it was"  # type: ignore[union-attr]
    answers = TARGET.open_answers(tmp_path, source)
    assert answers(np.zeros((2, 3, 40, 30), np.float32))["probabilities"].shape == (2, 5)


@pytest.mark.parametrize("name", ["vit_tiny_16", "small_cnn"])
def test_a_network_of_one_size_is_refused(name: str, tmp_path: Path) -> None:
    size = default_preprocessing("", 64).with_size(64)
    source = Exportable(build(name, num_classes=5).eval(), classifying(tuple("abcde")), size)
    with pytest.raises(UsageError, match=rf"{name} can not be exported with a free size.*--to onnx .* 64 x 64 pixels"):
        TARGET.write(source, tmp_path)
    assert list(tmp_path.iterdir()) == []
