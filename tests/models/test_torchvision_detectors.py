"""torchvision's detectors from their state dicts: the same boxes and scores, as many parameters, files of every age."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from random_weights import on_no_device, with_random_weights
from small_detectors import SMALL, small
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FrozenBatchNorm2d

from pocketvision.errors import WeightsError
from pocketvision.models.detector_keys import KEYS, detector_network, detector_state
from pocketvision.models.heads.detection.default_boxes import SSD300
from pocketvision.models.heads.detection.fcos import of_both
from pocketvision.models.heads.detection.ssd import moved
from pocketvision.models.named_networks import no_objects, torchvision_categories
from pocketvision.models.network import Network
from pocketvision.models.published_networks import NETWORKS
from pocketvision.tasks.detection.decode import decode
from pocketvision.tasks.detection.task import detecting
from pocketvision.tasks.task import Detail

FROZEN = (
    "retinanet_resnet50_fpn",
    "fcos_resnet50_fpn",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
)
"""Whose norms torchvision never counts as parameters: they do not learn."""

SIDE = 160
"""Pixels at which P6 has 3 places and P7 has 2, which are no whole strides apart."""


def said_by(theirs: Any, images: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes (N, A, 4) and scores (N, A, outputs) of torchvision's, before any is suppressed."""
    size = (images.shape[2], images.shape[3])
    levels = list(theirs.backbone(images).values())
    said = theirs.head(levels)
    anchors = theirs.anchor_generator(ImageList(images, [size] * len(images)), levels)
    logits, offsets = said["cls_logits"], said["bbox_regression"]
    if "bbox_ctrness" in said:
        boxes = [theirs.box_coder.decode(*each) for each in zip(offsets, anchors, strict=True)]
        return torch.stack(boxes), (logits.sigmoid() * said["bbox_ctrness"].sigmoid()).sqrt()
    boxes = [theirs.box_coder.decode_single(*each) for each in zip(offsets, anchors, strict=True)]
    shared = isinstance(theirs, detection.ssd.SSD)
    return torch.stack(boxes), logits.softmax(dim=2) if shared else logits.sigmoid()


def said_by_ours(ours: Network, images: Tensor) -> tuple[Tensor, Tensor]:
    learned = ours.on_features(ours.features(images, ours.features_read))
    found = ours.decoded(learned, {})["detection"]
    return found["boxes"], found["scores"]


@torch.no_grad()
def check_same(theirs: Any, ours: Network, images: Tensor) -> None:
    """Of the classes after the background. Boxes hold to 1e-4 of the input's side, or of theirs where that is larger."""
    boxes, scores = said_by(theirs, images)
    found_boxes, found_scores = said_by_ours(ours, images)
    torch.testing.assert_close(found_scores, scores[..., 1:], rtol=0, atol=1e-4)
    scale = boxes.abs().amax(dim=2, keepdim=True).clamp(min=images.shape[3])
    torch.testing.assert_close(found_boxes / scale, boxes / scale, rtol=0, atol=1e-4)
    assert scores.std() > 0.01  # or anything would be equal
    assert boxes.std() > 1


@pytest.mark.parametrize("name", SMALL)
def test_outputs_are_torchvisions_on_a_small_backbone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KEYS, name, SMALL[name])
    exact = KEYS[name].exact
    theirs = with_random_weights(partial(small, name, norm=FrozenBatchNorm2d if exact else nn.BatchNorm2d))
    for module in theirs.modules():
        if exact and isinstance(module, FrozenBatchNorm2d):
            module.eps = 0.0  # as torchvision does where it loads the published weights
    theirs.backbone.body.bn1.running_var[0] = 1e-4  # so that an epsilon of 1e-5 would show where there is none
    ours = detector_network(name, theirs.state_dict()).eval()
    check_same(theirs, ours, torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("name", SMALL)
def test_files_from_before_0_13_have_other_names(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KEYS, name, SMALL[name])
    theirs = on_no_device(partial(small, name)).state_dict()
    before = {today: older for older, today in KEYS[name].older.items()}
    old = {
        f"{before.get(module, module)}.{tensor}": key for key in theirs for module, _, tensor in [key.rpartition(".")]
    }
    assert len(set(old) - set(theirs)) == 2 * len(before)
    if name == "retinanet_resnet50_fpn":
        assert {"head.classification_head.conv.6.weight", "backbone.fpn.inner_blocks.2.bias"} < set(old)
    fresh = on_no_device(partial(small, name))
    fresh.load_state_dict({key: theirs[today] for key, today in old.items()})  # torchvision knows the same older names
    found = detector_state(name, {key: torch.full((), place) for place, key in enumerate(old)})
    wanted = detector_state(name, {key: torch.full((), place) for place, key in enumerate(old.values())})
    assert found == wanted


@pytest.mark.parametrize("name", KEYS)
def test_there_are_as_many_parameters_as_published(name: str) -> None:
    theirs = on_no_device(partial(torchvision.models.get_model, name, weights=None, weights_backbone=None))
    state = theirs.state_dict()
    without = (0,) if "ssd" in name or "rcnn" in name else ()
    ours = detector_network(name, state, without)
    assert detector_state(name, state).keys() <= ours.state_dict().keys()
    backbone = [ours.stem, *ours.stages, ours.head] if name in FROZEN else []
    frozen = [each for part in backbone for path, each in part.named_parameters() if "norm." in path]
    counted = sum(each.numel() for each in ours.parameters()) - sum(each.numel() for each in frozen)
    assert counted == torchvision.models.get_weight(NETWORKS[name].weights.location).meta["num_params"]
    categories = torchvision_categories(NETWORKS[name].weights.location)
    named = detector_network(name, state, no_objects(categories))
    assert named.head_specs["detection"].classes == 80


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name in KEYS if name != "ssdlite320_mobilenet_v3_large" and "rcnn" not in name]
)
def test_outputs_are_torchvisions(name: str) -> None:
    side = NETWORKS[name].weights.preprocessing.width if name == "ssd300_vgg16" else SIDE
    theirs = with_random_weights(partial(torchvision.models.get_model, name, weights=None, weights_backbone=None))
    for module in theirs.backbone.modules():
        if KEYS[name].exact and isinstance(module, nn.BatchNorm2d):
            module.eps = 0.0
    ours = detector_network(name, theirs.state_dict()).eval()
    check_same(theirs, ours, torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1)))


@torch.no_grad()
def test_a_square_photographs_boxes_are_torchvisions(monkeypatch: pytest.MonkeyPatch) -> None:
    """From its pixels, enlarged, to boxes in them after suppression."""
    name = "fcos_resnet50_fpn"
    monkeypatch.setitem(KEYS, name, SMALL[name])
    theirs = with_random_weights(partial(small, name), seed=3)
    theirs.transform.min_size, theirs.transform.max_size = (SIDE,), SIDE
    theirs.score_thresh, theirs.detections_per_img = 0.6, 1000
    ours = detector_network(name, theirs.state_dict(), ()).eval()
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIDE // 2, SIDE // 2, 3), np.uint8))
    pixels, placement = NETWORKS[name].weights.preprocessing.with_size(SIDE).place(photo)
    tensor = torch.from_numpy(np.array(photo)).permute(2, 0, 1) / 255
    prepared = theirs.transform([tensor])[0].tensors[0].numpy()
    assert np.abs(pixels - prepared).max() < 0.02  # Pillow rounds to 8 bits where it enlarges
    monkeypatch.setattr(theirs.transform, "forward", lambda _, targets=None: (_listed(pixels), targets))
    wanted = theirs([tensor])[0]
    seen = (wanted["boxes"][:, 2:] > wanted["boxes"][:, :2]).all(dim=1)  # torchvision keeps what is cut to nothing
    (task,) = detecting(("none", "one", "two", "three"), {**NETWORKS[name].postprocessing, "most": 1000}).values()
    boxes, scores = (each.numpy() for each in said_by_ours(ours, torch.from_numpy(pixels)[None]))
    detail = Detail(min_score=theirs.score_thresh, most=theirs.detections_per_img)
    (found,) = decode({"boxes": boxes, "scores": scores}, [placement], task, detail)
    assert 20 < len(found) < 1000
    np.testing.assert_allclose(found.scores, wanted["scores"][seen].numpy(), rtol=0, atol=1e-4)
    assert (np.array(found.classes) == wanted["labels"][seen].numpy()).all()
    np.testing.assert_allclose(found.boxes, wanted["boxes"][seen].numpy(), rtol=0, atol=1e-3)


def _listed(pixels: Any) -> ImageList:
    return ImageList(torch.from_numpy(pixels)[None], [(SIDE, SIDE)])


def test_default_boxes_of_ssd300_are_torchvisions() -> None:
    grids = [(38, 38), (19, 19), (10, 10), (5, 5), (3, 3), (1, 1)]
    generator: DefaultBoxGenerator = on_no_device(
        partial(detection.ssd300_vgg16, weights_backbone=None)
    ).anchor_generator
    levels = [torch.zeros(1, 1, *grid) for grid in grids]
    (wanted,) = generator(ImageList(torch.zeros(1, 3, 300, 300), [(300, 300)]), levels)
    found = torch.from_numpy(SSD300.boxes(grids, (300, 300)))
    assert len(found) == 8732
    torch.testing.assert_close(moved(found, torch.zeros_like(found)), wanted, rtol=0, atol=1e-4)


def test_a_score_of_two_shares_is_their_geometric_mean() -> None:
    one, other = torch.tensor([-3.0, 0, 40, -90]), torch.tensor([2.0, 0, 40, -90])
    logits = of_both(one.requires_grad_(), other)
    torch.testing.assert_close(logits.sigmoid(), (one.sigmoid() * other.sigmoid()).sqrt(), rtol=1e-4, atol=1e-6)
    logits.sum().backward()
    assert one.grad is not None and one.grad.isfinite().all()


def test_weights_of_another_are_refused() -> None:
    state = on_no_device(partial(small, "retinanet_resnet50_fpn")).state_dict()
    with pytest.raises(WeightsError, match=r"not torchvision's fcos_resnet50_fpn: .*Missing key"):
        detector_network("fcos_resnet50_fpn", state)
    with pytest.raises(WeightsError, match="not of torchvision's ssd300_vgg16"):
        detector_network("ssd300_vgg16", state)
