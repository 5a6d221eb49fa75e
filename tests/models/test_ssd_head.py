"""SSD and SSDLite: the same network as torchvision's, the papers' default boxes, and what can be no head."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.detection import ssdlite320_mobilenet_v3_large
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList

from pocketvision.errors import UsageError, WeightsError
from pocketvision.export.to_onnx import write_graph
from pocketvision.models.catalog import ARCHITECTURES
from pocketvision.models.detector_keys import detector_network, detector_state
from pocketvision.models.features import Feature
from pocketvision.models.heads.detection.default_boxes import SSD, SSD_LITE, TENSORFLOW, scales
from pocketvision.models.heads.detection.ssd import LITE, PAPER, moved
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.mobilenet_v3 import LARGE_REDUCED
from pocketvision.models.network import Decoded, Network, fold_norms
from pocketvision.models.ssd_keys import torchvision_ssd_lite

NAME = "ssdlite320_mobilenet_v3_large"
AT_320 = [(20, 20), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)]
AT_300 = [(19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)]


@pytest.fixture(scope="module")
def theirs() -> Any:
    """torchvision's with random weights, the norms' statistics too."""
    torch.manual_seed(0)
    detector: Any = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None).eval()
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return detector


@pytest.fixture(scope="module")
def ours(theirs: Any) -> Network:
    return detector_network(NAME, theirs.state_dict()).eval()


@torch.no_grad()
def test_ssd_lite_is_torchvisions(theirs: Any, ours: Network) -> None:
    images = torch.rand(2, 3, 320, 320, generator=torch.Generator().manual_seed(1)) * 2 - 1
    levels = list(theirs.backbone(images).values())
    said = theirs.head(levels)
    defaults = theirs.anchor_generator(ImageList(images, [(320, 320)] * 2), levels)
    boxes = [theirs.box_coder.decode_single(*each) for each in zip(said["bbox_regression"], defaults, strict=True)]
    found = ours.on_features(ours.features(images, ours.features_read))
    assert found["detection"]["class_logits"].shape == (2, 3234, 91)
    torch.testing.assert_close(found["detection"]["class_logits"], said["cls_logits"], rtol=0, atol=1e-4)
    torch.testing.assert_close(found["detection"]["offsets"], said["bbox_regression"], rtol=0, atol=1e-4)
    shipped = ours.decoded(found, {})["detection"]
    assert tuple(shipped) == LITE.roles
    torch.testing.assert_close(shipped["boxes"], torch.stack(boxes), rtol=0, atol=1e-4)
    torch.testing.assert_close(shipped["scores"], said["cls_logits"].softmax(2)[..., 1:], rtol=0, atol=1e-4)
    assert said["cls_logits"].std() > 0.01  # or anything would be equal


@torch.no_grad()
def test_ssd_lite_costs_what_torchvision_says(ours: Network) -> None:
    assert sum(each.numel() for each in ours.parameters()) == 3_440_060
    with FlopCounterMode(display=False) as counter:
        ours(torch.zeros(1, 3, 320, 320))
    assert round(counter.get_total_flops() / 2e9, 3) == 0.583


def test_every_tensor_of_theirs_has_a_place_of_ours(theirs: Any, ours: Network) -> None:
    assert detector_state(NAME, theirs.state_dict()).keys() == ours.state_dict().keys()
    table = torchvision_ssd_lite(LARGE_REDUCED)
    assert len(set(table.values())) == len(table)
    assert table["stages.8.0.expand.conv"] == "backbone.features.0.13.0"
    assert table["stages.8.0.squeeze.reduce"] == "backbone.features.1.0.2.fc1"
    with pytest.raises(UsageError, match="MobileNetV3 alone, none on mobilenet_v2"):
        torchvision_ssd_lite(ARCHITECTURES["mobilenet_v2"])  # type: ignore[arg-type]


def test_other_weights_are_refused_by_name(theirs: Any) -> None:
    state = theirs.state_dict()
    with pytest.raises(WeightsError, match=r"module_list\.0\.1\.bias is missing"):
        detector_network(NAME, {"features.0.0.weight": torch.zeros(1)})
    lost = {key: value for key, value in state.items() if key != "backbone.extra.0.0.0.weight"}
    with pytest.raises(WeightsError, match=r"heads\.detection\.extras\.0\.0\.conv\.weight"):
        detector_network(NAME, lost)


def test_default_boxes_are_torchvisions() -> None:
    levels = [torch.zeros(1, 1, *grid) for grid in AT_320]
    generator = DefaultBoxGenerator([[2, 3]] * 6, min_ratio=0.2, max_ratio=0.95)
    (wanted,) = generator(ImageList(torch.zeros(1, 3, 320, 320), [(320, 320)]), levels)
    found = torch.from_numpy(SSD_LITE.boxes(AT_320, (320, 320)))
    torch.testing.assert_close(moved(found, torch.zeros_like(found)), wanted, rtol=0, atol=1e-4)


def test_default_boxes_are_as_many_as_published() -> None:
    paper = [(38, 38), (19, 19), (10, 10), (5, 5), (3, 3), (1, 1)]
    assert SSD.counts == (4, 6, 6, 6, 4, 4)
    assert len(SSD.boxes(paper, (300, 300))) == 8732  # table 7 of the paper
    assert len(SSD.boxes(AT_300, (300, 300))) == 2268
    assert len(SSD_LITE.boxes(AT_320, (320, 320))) == 3234
    assert TENSORFLOW.counts == (3, 6, 6, 6, 6, 6)
    assert len(TENSORFLOW.boxes(AT_300, (300, 300))) == 1917


def test_default_boxes_by_hand() -> None:
    assert scales(6, 0.2, 0.9) == pytest.approx((0.2, 0.34, 0.48, 0.62, 0.76, 0.9, 1.0))
    boxes = SSD.boxes(AT_300, (200, 100))
    step, root = 200 / 19, 2**0.5
    first = [40, 20, 200 * 0.068**0.5, 100 * 0.068**0.5, 40 * root, 20 / root, 40 / root, 20 * root]
    assert boxes[:4, 2:].flatten().tolist() == pytest.approx(first)
    assert boxes[:8, 0].tolist() == pytest.approx([step / 2] * 4 + [step * 1.5] * 4)
    assert boxes[-4:, :2].tolist() == [[100, 50]] * 4
    assert boxes[-1, 2:].tolist() == pytest.approx([200 * 0.9 / root, 100])  # upright, cut at the input's height
    half = TENSORFLOW.boxes(AT_300, (300, 300))[:3, 2:]
    assert half.flatten().tolist() == pytest.approx([30, 30, 60 * root, 60 / root, 60 / root, 60 * root])


@torch.no_grad()
def test_mobilenet_v2_has_the_default_boxes_of_its_authors() -> None:
    network = Network(ARCHITECTURES["mobilenet_v2"], {"detection": HeadSpec("ssd_lite_tensorflow", 90)}).eval()
    found = network.outputs(torch.zeros(1, 3, 300, 300))
    assert found["detection.class_logits"].shape == (1, 1917, 91)


@torch.no_grad()
def test_the_papers_form_on_mobilenet_v1_has_plain_convolutions() -> None:
    network = Network(ARCHITECTURES["mobilenet_v1"], {"detection": HeadSpec("ssd", 20)}).eval()
    assert network.features_read == ("stride16", "stride32")
    convolutions = [each for each in network.heads.modules() if isinstance(each, nn.Conv2d)]
    assert {each.groups for each in convolutions} == {1}
    assert [each.kernel_size for each in convolutions[-6:]] == [(3, 3)] * 6
    found = network.outputs(torch.zeros(1, 3, 300, 300))
    assert found["detection.class_logits"].shape == (1, 2268, 21)
    assert found["detection.offsets"].shape == found["detection.default_boxes"].shape == (1, 2268, 4)


def test_on_mobilenet_v2_it_reads_the_widened_channels_of_layer_15() -> None:
    network = Network(ARCHITECTURES["mobilenet_v2"], {"detection": HeadSpec("ssd_lite", 20)})
    assert network.features_read == ("expansion5", "head_conv")
    assert [network.feature(name).channels for name in network.features_read] == [576, 1280]
    assert Network(ARCHITECTURES["resnet18"], {"detection": HeadSpec("ssd_lite", 1)}).features_read == (
        "stride16",
        "stride32",
    )


def test_offsets_are_in_tenths_and_fifths_of_the_box() -> None:
    default = torch.tensor([[50.0, 40.0, 20.0, 10.0]])
    assert moved(default, torch.tensor([[1.0, -2.0, 0.0, 0.0]])).tolist() == [[42, 33, 62, 43]]
    grown = moved(default, torch.tensor([[0.0, 0.0, 5 * torch.tensor(2.0).log().item(), 1e9]]))
    assert grown[0].tolist() == pytest.approx([30, 40 - 312.5, 70, 40 + 312.5])


@pytest.mark.parametrize(
    "features",
    [
        (),
        (Feature("pooled", 8, None, None),),
        (Feature("deep", 8, 32, 2), Feature("shallow", 8, 16, 1)),
        (Feature("one", 8, 16, 1), Feature("other", 8, 16, 2)),
    ],
)
def test_what_is_no_two_maps_can_not_be_read(features: tuple[Feature, ...]) -> None:
    with pytest.raises(UsageError, match="of which the second has a larger stride; not"):
        PAPER.build(features, 3, 0.0)


def test_a_batch_of_one_picture_can_be_learned_from() -> None:
    """Its last map has one place; what the norms there know stays."""
    head = LITE.build((Feature("map", 8, 16, 1),), 1, 0.0)
    head.train()
    outputs = head({"map": torch.randn(1, 8, 4, 4)})
    outputs["class_logits"].square().sum().backward()
    assert outputs["class_logits"].isfinite().all() and outputs["class_logits"].requires_grad
    norms = [each for each in head.modules() if isinstance(each, nn.BatchNorm2d)]
    assert all(each.training and each.running_var is not None and each.running_var.min() > 0 for each in norms)


def test_no_classes_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 1 class, not 0"):
        LITE.build((Feature("map", 8, 16, 1),), 0, 0.0)


@torch.no_grad()
def test_widened_channels_are_what_the_block_computes() -> None:
    """And with them the stage gives the same as without."""
    torch.manual_seed(0)
    network = Network(ARCHITECTURES["mobilenet_v2"], {"detection": HeadSpec("ssd_lite", 1)}).eval()
    images = torch.randn(1, 3, 64, 64)
    found: dict[str, Tensor] = network.features(images, ["expansion5", "stage5", "stage4", "pooled"])
    block: Any = network.stages[5][0]  # type: ignore[index]
    assert torch.equal(found["expansion5"], block.expand(found["stage4"]))
    assert torch.equal(found["stage5"], network.stages[5](found["stage4"]))
    assert torch.equal(found["pooled"], network.tail(network.trunk(images, 0), 0))


@pytest.mark.slow  # 11 s: the exporter
def test_boxes_and_scores_are_in_the_graph_that_ships(ours: Network, tmp_path: Path) -> None:
    images = torch.rand(3, 3, 320, 320, generator=torch.Generator().manual_seed(2)) * 2 - 1
    graph = Decoded(fold_norms(ours), {}).eval()
    assert graph.names == ("detection.boxes", "detection.scores")
    write_graph(graph, tmp_path / "model.onnx", example=images[:2], outputs=graph.names)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    boxes, scores = session.run(list(graph.names), {"images": images.numpy()})
    with torch.no_grad():
        wanted = graph(images)
    assert boxes.shape == (3, 3234, 4) and scores.shape == (3, 3234, 90)
    np.testing.assert_allclose(boxes, wanted[0].numpy(), rtol=0, atol=0.1)
    np.testing.assert_allclose(scores, wanted[1].numpy(), rtol=0, atol=0.001)
