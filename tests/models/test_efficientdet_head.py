"""EfficientDet: as large as its paper says, its pyramid, anchors and nets by hand, and the graph that ships."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from plain_backbone import PLAIN
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pocketvision.errors import UsageError
from pocketvision.export.to_onnx import write_graph
from pocketvision.models.catalog import ARCHITECTURES
from pocketvision.models.cost import layers, total
from pocketvision.models.features import Feature
from pocketvision.models.heads.detection.anchors import anchors
from pocketvision.models.heads.detection.bifpn import Bifpn, BifpnLayer, Fusion, Node
from pocketvision.models.heads.detection.efficientdet import SCALES, AnchorNet, EfficientDetHead, shipped
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.network import Decoded, Network, fold_norms

TABLE_1 = {
    "d0": (3.9, 2.54),
    "d1": (6.6, 6.1),
    "d2": (8.1, 11),
    "d3": (12, 25),
    "d4": (21, 55),
    "d5": (34, 135),
    "d6": (52, 226),
    "d7": (52, 325),
}
"""Millions of parameters and billions of multiply-accumulates, as published; D0's to three digits in the authors' repository."""


@pytest.mark.parametrize("size", TABLE_1)
def test_it_costs_what_its_paper_says(size: str) -> None:
    """Parameters to all digits that the table has; multiply-accumulates within 2 %, always a little below. What the backbone has
    after its last map (a 1x1 convolution for classes) is not run, and not counted."""
    scale, (parameters, macs) = SCALES[size], TABLE_1[size]
    with torch.device("meta"):
        network = Network(ARCHITECTURES[scale.backbone], {"task": HeadSpec(f"efficientdet_{size}", 90)}).eval()
        images = torch.zeros(1, 3, scale.input_size, scale.input_size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        outputs = network(images)
    count = sum(each.numel() for name, each in network.named_parameters() if not name.startswith("head."))
    assert f"{count / 1e6:.2g}" == f"{parameters:.2g}"
    found = counter.get_total_flops() / 2e9
    assert 0.98 * macs <= found <= macs
    below = [each for each in layers(ARCHITECTURES[scale.backbone], size=scale.input_size) if each.stage is not None]
    stem = [each for each in layers(ARCHITECTURES[scale.backbone], size=scale.input_size) if each.name == "stem.conv"]
    of_head = sum(
        sum(each.values()) for name, each in counter.get_flop_counts().items() if name.endswith(".heads.task")
    )
    assert total([*stem, *below]).macs + of_head / 2 == pytest.approx(1e9 * found, rel=1e-3)
    places = sum((scale.input_size // stride) ** 2 for stride in (8, 16, 32, 64, 128))
    assert outputs["task.anchors"].shape == outputs["task.anchor_offsets"].shape == (1, 9 * places, 4)
    assert outputs["task.anchor_logits"].shape == (1, 9 * places, 90)


def test_fusion_takes_shares_of_weights_above_zero() -> None:
    fusion = Fusion(3)
    with torch.no_grad():
        fusion.weights.copy_(torch.tensor([3.0, 1.0, -5.0]))
        said = fusion([torch.full((1, 1, 2, 2), value) for value in (2.0, 6.0, 100.0)])
    torch.testing.assert_close(said, torch.full((1, 1, 2, 2), (3 * 2.0 + 6.0) / 4.0001))


class Sum(nn.Module):
    """In a node's place: adds up what it is told."""

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack(maps).sum(dim=0)


def test_a_layer_goes_down_and_back_and_sees_its_input_again() -> None:
    """Figure 2d on levels of one number each, with plain sums: down 1 + 20 + 300 + 4000, and what the way back adds."""
    layer = BifpnLayer(1, (2, 2, 2))
    assert [len(node.fusion.weights) for node in (*layer.finer, *layer.coarser)] == [2, 2, 2, 3, 3, 2]  # type: ignore[union-attr,arg-type]
    for nodes in (layer.finer, layer.coarser):
        for place in range(3):
            nodes[place] = Sum()
    maps = [torch.full((1, 1, side, side), value) for side, value in ((8, 1.0), (4, 20.0), (2, 300.0), (1, 4000.0))]
    again = [1000 * each for each in maps]
    finest, second, third, last = (float(each.amax()) for each in layer(maps, again))
    assert finest == 4321
    assert second == 20_000 + 4320 + 4321
    assert third == 300_000 + 4300 + second
    assert last == 4_000_000 + third


def test_levels_after_the_backbones_are_pooled() -> None:
    neck = Bifpn([4, 6, 10], [8, 16, 32], 8, 2).eval()
    assert neck.strides == (8, 16, 32, 64, 128)
    levels = neck([torch.randn(2, 4, 13, 9), torch.randn(2, 6, 7, 5), torch.randn(2, 10, 4, 3)])
    assert [tuple(each.shape) for each in levels] == [
        (2, 8, *size) for size in ((13, 9), (7, 5), (4, 3), (2, 2), (1, 1))
    ]
    assert sum(isinstance(each, Node) for each in neck.modules()) == 2 * 8
    one = Bifpn([4], [16], 8, 1).eval()  # a transformer's
    assert [tuple(each.shape[2:]) for each in one([torch.randn(1, 4, 4, 4)])] == [(4, 4), (2, 2), (1, 1)]


def test_anchors_by_hand() -> None:
    """Two levels: 1 x 2 places of 8 pixels, then one of 16; the smallest squares four strides wide."""
    found = anchors([(1, 2), (1, 1)], (8, 16), 4.0)
    assert found.shape == (27, 4) and found.dtype == np.float32
    assert found[:3].flatten().tolist() == pytest.approx([4, 4, 32, 32, 4, 4, 44.8, 22.4, 4, 4, 22.4, 44.8])
    octave = 32 * 2 ** (1 / 3)
    assert found[3].tolist() == pytest.approx([4, 4, octave, octave])
    assert found[6, 2] == pytest.approx(32 * 2 ** (2 / 3))
    assert found[9, :2].tolist() == [12, 4] and found[18].tolist() == [8, 8, 64, 64]


def test_offsets_are_in_sides_of_the_anchor() -> None:
    said = {
        "anchors": torch.tensor([[[50.0, 40, 20, 10]]]),
        "anchor_offsets": torch.tensor([[[0.1, -0.2, np.log(2), 0]]]),
        "anchor_logits": torch.tensor([[[0.0, np.log(3)]]]),
    }
    found = shipped(said)
    assert found["boxes"][0, 0].tolist() == pytest.approx([32, 33, 72, 43])
    assert found["scores"][0, 0].tolist() == pytest.approx([0.5, 0.75])


def test_levels_share_convolutions_and_have_norms_of_their_own() -> None:
    """Of maps that are the same two levels say the same until their norms differ."""
    net = AnchorNet(4, 2, 2, 3, -1.0).eval()
    level = torch.randn(1, 4, 3, 3)
    one, other = net([level, level]).chunk(2, dim=1)
    assert one.shape == (1, 81, 3) and torch.equal(one, other)
    norm = net.norms[1][0]  # type: ignore[index]
    assert isinstance(norm, nn.BatchNorm2d)
    nn.init.constant_(norm.bias, 5.0)
    again, changed = net([level, level]).chunk(2, dim=1)
    assert torch.equal(one, again) and not torch.allclose(one, changed)


def test_a_batch_of_one_picture_can_be_learned_from() -> None:
    """Its coarsest map has one place; what the norms there know stays."""
    network = Network(PLAIN, {"task": HeadSpec("efficientdet_d0", 2)})
    features = network.features(torch.randn(1, 3, 32, 32), network.features_read)
    outputs = network.heads.train()["task"]({name: each.detach() for name, each in features.items()})
    outputs["anchor_logits"].square().sum().backward()
    assert outputs["anchor_logits"].isfinite().all()


def test_what_is_no_map_can_not_be_read() -> None:
    scale = SCALES["d0"]
    with pytest.raises(UsageError, match="it was given pooled"):
        EfficientDetHead((Feature("pooled", 8, None, None),), 2, 0.0, scale)
    with pytest.raises(UsageError, match="it was given nothing"):
        EfficientDetHead((), 2, 0.0, scale)
    with pytest.raises(UsageError, match="at least 1 class, not 0"):
        EfficientDetHead((Feature("map", 8, 16, 1),), 0, 0.0, scale)


@pytest.mark.slow  # the exporter
@torch.no_grad()
def test_boxes_and_scores_are_in_the_graph_that_ships(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Network(PLAIN, {"task": HeadSpec("efficientdet_d0", 3)}).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    images, graph = torch.randn(3, 3, 128, 128), Decoded(fold_norms(network), {}).eval()
    write_graph(graph, tmp_path / "model.onnx", example=images[:2], outputs=graph.names)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    boxes, scores = session.run(list(graph.names), {"images": images.numpy()})
    wanted = Decoded(network, {}).eval()(images)
    assert boxes.shape == wanted[0].shape and scores.std() > 1e-5  # or anything would be equal
    np.testing.assert_allclose(boxes, wanted[0].numpy(), rtol=0, atol=0.1)
    np.testing.assert_allclose(scores, wanted[1].numpy(), rtol=0, atol=0.001)
