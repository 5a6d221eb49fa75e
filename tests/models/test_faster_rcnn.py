"""torchvision's Faster R-CNN from its state dicts: the same proposals, scores and boxes, as a graph too."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
import torchvision
from plain_backbone import PLAIN
from random_weights import on_no_device, with_random_weights
from torch import nn
from torchvision.models import detection
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import AnchorGenerator, RPNHead

from pocketvision.errors import UsageError
from pocketvision.export.exportable import Exportable
from pocketvision.export.to_onnx import session_of, write_graph
from pocketvision.export.to_program import write_program
from pocketvision.export.to_torchscript import write_torchscript
from pocketvision.models.detector_keys import KEYS, DetectorKeys, detector_network, detector_state
from pocketvision.models.heads.detection.faster_rcnn import ROWS
from pocketvision.models.heads.detection.regions import CELLS, proposals_kept, regions_of
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.network import Decoded, Network
from pocketvision.models.region_keys import torchvision_faster_rcnn
from pocketvision.models.resnet import RESNET18
from pocketvision.preprocessing import Preprocessing
from pocketvision.tasks.detection.ordering import in_order_of
from pocketvision.tasks.detection.task import detecting
from pocketvision.tasks.detection.truth import BoxLabels
from pocketvision.tasks.task import TOLERANCE
from pocketvision.training.detection.papers import paper_of
from pocketvision.training.learned_tasks import head_specs

MOBILE = "fasterrcnn_mobilenet_v3_large_320_fpn"
SMALL = ("fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2")
"""Here on a ResNet-18: the same heads, less to compute."""

SIDE = 64


def small(name: str, outputs: int = 4) -> Any:
    """torchvision's of that name. outputs: classes, the background's counted."""
    if name not in SMALL:
        return torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=outputs)
    newer = name.endswith("v2")
    backbone = resnet_fpn_backbone(backbone_name="resnet18", weights=None, norm_layer=nn.BatchNorm2d)
    if not newer:
        return detection.FasterRCNN(backbone, outputs)
    backbone.fpn = torchvision.ops.FeaturePyramidNetwork(
        [64, 128, 256, 512], 256, backbone.fpn.extra_blocks, norm_layer=nn.BatchNorm2d
    )
    reader = FastRCNNConvFCHead((256, 7, 7), [256] * 4, [1024], norm_layer=nn.BatchNorm2d)
    anchors = AnchorGenerator(((32,), (64,), (128,), (256,), (512,)), ((0.5, 1.0, 2.0),) * 5)
    rpn = RPNHead(256, anchors.num_anchors_per_location()[0], conv_depth=2)
    return detection.FasterRCNN(backbone, outputs, rpn_anchor_generator=anchors, rpn_head=rpn, box_head=reader)


def keys_of(name: str) -> DetectorKeys:
    if name not in SMALL:
        return KEYS[name]
    paths = torchvision_faster_rcnn(RESNET18, maps=4, newer=name.endswith("v2"))
    return replace(KEYS[name], backbone=RESNET18, paths=paths)


def seeing(theirs: Any) -> Any:
    """With scores far from each other, and boxes near their proposals, as after training; norms without an epsilon where
    torchvision has none of its published weights."""
    theirs.roi_heads.box_predictor.cls_score.weight.detach().mul_(3)
    theirs.roi_heads.box_predictor.bbox_pred.weight.detach().mul_(0.2)
    theirs.rpn.head.bbox_pred.weight.detach().mul_(0.2)
    return theirs


@torch.no_grad()
def check_same(theirs: Any, ours: Network, side: int, *, score: float = 1e-5) -> None:
    """What the first stage proposes, and what is answered after the second, of two images at once."""
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    listed = ImageList(images, [(side, side)] * 2)
    levels = theirs.backbone(images)
    wanted, _ = theirs.rpn(listed, levels)
    found = ours.on_features(ours.features(images, ours.features_read))["detection"]
    for proposals, boxes, proposed in zip(wanted, found["proposals"], found["proposed"], strict=True):
        count = len(proposals)
        assert 20 < count == int(proposed.sum()) and proposed[:count].all()
        torch.testing.assert_close(boxes[:count], proposals, rtol=0, atol=1e-3 * side)
    heads = theirs.roi_heads
    seen = heads.box_predictor(heads.box_head(heads.box_roi_pool(levels, wanted, listed.image_sizes)))
    shipped = {role: each.numpy() for role, each in ours.decoded({"detection": found}, {})["detection"].items()}
    counts = [len(each) for each in wanted]
    for image, (logits, offsets) in enumerate(zip(*(each.split(counts) for each in seen), strict=True)):
        scores = logits.softmax(dim=1)[:, 1:]
        boxes = heads.box_coder.decode(offsets, [wanted[image]])[:, 1:]
        best, places = scores.flatten().topk(min(scores.numel(), shipped["scores"].shape[1]))
        classes = places % scores.shape[1]
        expected = {
            "boxes": boxes.flatten(0, 1)[places][None].numpy(),
            "scores": (nn.functional.one_hot(classes, scores.shape[1]) * best[:, None])[None].numpy(),
        }
        assert best.std() > 0.01
        own = in_order_of(expected, {role: each[image : image + 1, : len(best)] for role, each in shipped.items()})
        np.testing.assert_allclose(own["scores"], expected["scores"], rtol=0, atol=score)
        np.testing.assert_allclose(own["boxes"], expected["boxes"], rtol=0, atol=1e-3 * side)
        assert not shipped["scores"][image, len(best) :].any()


@pytest.mark.parametrize(("name", "side"), [(SMALL[0], SIDE), (SMALL[1], SIDE // 2), (MOBILE, 160)])
def test_answers_are_torchvisions(name: str, side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KEYS, name, keys_of(name))
    theirs = seeing(with_random_weights(partial(small, name)))
    exact = KEYS[name].exact
    for module in theirs.modules():
        if exact and isinstance(module, nn.BatchNorm2d):
            module.eps = 0.0
    # Scales that make up for an epsilon round otherwise than its absence.
    check_same(theirs, detector_network(name, theirs.state_dict()).eval(), side, score=1e-4 if exact else 1e-5)


@pytest.mark.slow
def test_answers_of_the_published_form_are_torchvisions() -> None:
    name = "fasterrcnn_mobilenet_v3_large_fpn"
    theirs = seeing(with_random_weights(partial(small, name)))
    check_same(theirs, detector_network(name, theirs.state_dict()).eval(), 160)


def test_files_from_before_0_13_have_other_names() -> None:
    theirs = on_no_device(partial(small, MOBILE))
    before = {today: older for older, today in KEYS[MOBILE].older.items()}
    keys = theirs.state_dict()
    old = {f"{before.get(module, module)}.{tensor}" for key in keys for module, _, tensor in [key.rpartition(".")]}
    assert {"rpn.head.conv.weight", "backbone.fpn.inner_blocks.1.bias"} < old
    today = detector_state(MOBILE, keys)
    assert detector_state(MOBILE, dict.fromkeys(old, torch.empty(0))).keys() == today.keys()


def test_other_outputs_of_no_object_are_one_class() -> None:
    """Eleven of COCO's: their shares count, and none of them is answered."""
    theirs = with_random_weights(partial(small, MOBILE, outputs=14))
    state = theirs.state_dict()
    without = (0, *range(4, 14))
    ours = detector_network(MOBILE, state, without).eval()
    assert ours.head_specs["detection"].head == "faster_rcnn_mobile_320_coco"
    images = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = ours.on_features(ours.features(images, ours.features_read))["detection"]
        plain = detector_network(MOBILE, state).eval()
        wanted = plain.on_features(plain.features(images, plain.features_read))["detection"]
    shares = wanted["region_logits"].softmax(dim=2)[..., 1:4]
    torch.testing.assert_close(found["region_logits"].softmax(dim=2)[..., 1:], shares)
    torch.testing.assert_close(found["region_offsets"], wanted["region_offsets"][:, :, :3])


@pytest.fixture(scope="module")
def plain() -> Network:
    torch.manual_seed(0)
    network = Network(PLAIN, {"detection": HeadSpec("faster_rcnn", 2)}).eval()
    head: Any = network.heads["detection"]
    for layer in (head.proposals.logits, head.classifier):  # scores far from each other
        nn.init.normal_(layer.weight, std=0.5)
    return network


def exportable(network: Network) -> Exportable:
    preprocessing = Preprocessing(32, 32, 1.0, "bilinear", (0.5,) * 3, (0.5,) * 3)
    return Exportable(network, detecting(("one", "two"), {}), preprocessing)


def test_a_graph_answers_alike_whatever_the_batch(plain: Network, tmp_path: Path) -> None:
    source = exportable(plain)
    write_graph(source.graph(), tmp_path / "m.onnx", example=source.example(), outputs=source.outputs, anew=True)
    run, answers = session_of(tmp_path / "m.onnx"), source.answers()
    for batch in (1, 3):
        images = np.random.default_rng(batch).standard_normal((batch, 3, 32, 32)).astype(np.float32)
        tensors = [
            {name.removeprefix("detection."): each for name, each in found.items()}
            for found in (answers(images), run({"images": images}))
        ]
        assert tensors[0]["scores"].max() > 0.5 and tensors[0]["scores"].std() > 0.01
        found = in_order_of(*tensors)
        np.testing.assert_allclose(found["scores"], tensors[0]["scores"], atol=TOLERANCE)
        np.testing.assert_allclose(found["boxes"], tensors[0]["boxes"], atol=0.1)


def test_each_box_is_of_one_class(plain: Network) -> None:
    shipped = Decoded(plain, {}).eval()
    with torch.no_grad():
        boxes, scores = shipped(torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    assert boxes.shape[:2] == scores.shape[:2] and ((scores > 0).sum(dim=2) <= 1).all()
    assert (scores.amax(dim=2).diff(dim=1) <= 0).all()  # the best first
    assert (scores[:, -1] == 0).all()  # filled up


@pytest.mark.parametrize("write", [write_torchscript, write_program])
def test_a_file_of_torchs_can_not_hold_it(plain: Network, write: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"network of two stages.* Export to onnx"):
        write(exportable(plain), tmp_path)


def test_proposals_are_suppressed_by_better_ones_of_their_level() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10], [0, 0, 10, 10], [0, 0, 9, 10]])[None]
    scores = torch.tensor([[0.5, 0.9, 0.1, 0.4, -1.0]])
    # The first overlaps the better second by 0.9; the fourth is of another level, and the fifth of none.
    assert proposals_kept(boxes, scores, [3, 2], 0.7).tolist() == [[0, 1, 1, 1, 0]]
    assert proposals_kept(boxes, scores, [3, 2], 0.95).tolist() == [[1, 1, 1, 1, 0]]


def test_a_region_shows_what_its_map_has_there() -> None:
    """A map that rises by 1 a pixel: a cell's mean is where its centre lies, half a pixel of the map off."""
    fine = torch.arange(16.0).expand(2, 1, 16, 16).contiguous()
    coarse = torch.full((2, 1, 8, 8), 5.0)
    boxes = torch.tensor([[8.0, 8, 36, 36], [0, 0, 64, 64]])
    found = regions_of([fine, coarse], [4, 8], boxes, torch.tensor([1, 0]), torch.tensor([0, 1]))
    assert found.shape == (2, 1, CELLS, CELLS)
    torch.testing.assert_close(found[0, 0, 3], torch.arange(7.0) + 2.5)
    assert (found[1] == 5).all()


def test_training_it_is_refused() -> None:
    truth = {"detection": BoxLabels.of([], ("one",))}
    for row in ROWS:
        with pytest.raises(UsageError, match=f"head {row.name} can not be trained here: its second stage .* Take grid"):
            head_specs(truth, head=row.name)
    paper = paper_of({"region_logits": torch.zeros(1, 1, 2)})
    with pytest.raises(UsageError, match=r"Faster R-CNN can not be trained here"):
        cast(Any, paper).loss({}, [])
