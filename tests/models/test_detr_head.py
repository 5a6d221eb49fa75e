"""DETR's head: what its numbers mean, where its sines say that a place is, and the graph that ships."""

import math
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from plain_backbone import PLAIN

from pocketvision.errors import UsageError
from pocketvision.export.to_onnx import write_graph
from pocketvision.models.features import Feature
from pocketvision.models.heads.detection.detr import ROWS, DetrHead, shipped, sines
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.network import Decoded, Network

MAP = (Feature("map", 8, 32, 3),)


@pytest.fixture(scope="module")
def head() -> DetrHead:
    torch.manual_seed(0)
    return DetrHead(MAP, 3, 0.1, 2).eval()


@torch.no_grad()
def test_a_hundred_answers_of_each_layer(head: DetrHead) -> None:
    outputs = head({"map": torch.randn(2, 8, 3, 5)})
    shapes = {name: tuple(each.shape) for name, each in outputs.items()}
    assert shapes == {
        "query_logits": (2, 100, 4),
        "query_boxes": (2, 100, 4),
        "auxiliary_logits": (2, 1, 100, 4),
        "auxiliary_boxes": (2, 1, 100, 4),
        "sides": (2, 2),
    }
    assert outputs["sides"].tolist() == [[160, 96]] * 2
    assert not torch.allclose(outputs["query_boxes"][0, 0], outputs["query_boxes"][0, 1])
    assert not torch.allclose(outputs["query_logits"], outputs["auxiliary_logits"][:, 0])


@torch.no_grad()
def test_where_something_is_matters(head: DetrHead) -> None:
    """Attention alone would not see it: the same tokens in other places are other answers, with the sines."""
    level = torch.randn(1, 8, 3, 5)
    there, mirrored = (head({"map": each})["query_boxes"] for each in (level, level.flip(3)))
    assert (there - mirrored).abs().max() > 1e-3


def test_rows_differ_in_their_layers() -> None:
    for row, layers in zip(ROWS, (3, 6), strict=True):
        with torch.device("meta"):
            built = row.build(MAP, 3, 0.0)
        assert isinstance(built, DetrHead)
        assert len(built.encoder) == len(built.decoder) == layers
        assert "much data and long training" in row.remark


def test_boxes_and_scores_by_hand() -> None:
    """A query in the middle of 200 x 100, half as wide and a fifth as high, whose classes are 1 and 2 to 5 of nothing."""
    said = {
        "query_logits": torch.tensor([[[0.0, math.log(2), math.log(5)]]]),
        "query_boxes": torch.tensor([[[0.5, 0.5, 0.5, 0.2]]]),
        "sides": torch.tensor([[200.0, 100]]),
    }
    found = shipped(said)
    assert found["boxes"][0, 0].tolist() == pytest.approx([50, 40, 150, 60])
    assert found["scores"][0, 0].tolist() == pytest.approx([1 / 8, 2 / 8])


def test_sines_of_a_place_by_hand() -> None:
    """Of 2 x 4 places the third of the first row: half way down, three quarters across."""
    found = sines(2, 4)
    assert found.shape == (8, 256)
    down, across = math.pi, 1.5 * math.pi
    slower = 10_000 ** (2 / 128)
    assert found[2, :4].tolist() == pytest.approx(
        [math.sin(down), math.cos(down), math.sin(down / slower), math.cos(down / slower)], abs=1e-5
    )
    assert found[2, 128:130].tolist() == pytest.approx([math.sin(across), math.cos(across)], abs=1e-5)
    slowest = 10_000 ** (126 / 128)
    assert found[2, -2:].tolist() == pytest.approx([math.sin(across / slowest), math.cos(across / slowest)], abs=1e-5)
    assert len(found.unique(dim=0)) == 8


def test_what_is_not_one_map_can_not_be_read() -> None:
    for features in ((), (Feature("pooled", 8, None, None),), MAP * 2):
        with pytest.raises(UsageError, match="DETR reads one map"):
            DetrHead(features, 3, 0.0, 2)
    with pytest.raises(UsageError, match="at least 1 class, not 0"):
        DetrHead(MAP, 0, 0.0, 2)


@pytest.mark.slow  # the exporter
@torch.no_grad()
def test_boxes_and_scores_are_in_the_graph_that_ships(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Network(PLAIN, {"task": HeadSpec("detr", 3)}).eval()
    images, graph = torch.randn(3, 3, 64, 96), Decoded(network, {}).eval()
    write_graph(graph, tmp_path / "model.onnx", example=images[:2], outputs=graph.names)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    boxes, scores = session.run(list(graph.names), {"images": images.numpy()})
    wanted = graph(images)
    assert boxes.shape == (3, 100, 4) and scores.shape == (3, 100, 3) and scores.std() > 1e-3
    np.testing.assert_allclose(boxes, wanted[0].numpy(), rtol=0, atol=0.1)
    np.testing.assert_allclose(scores, wanted[1].numpy(), rtol=0, atol=0.001)
