"""Heads of masks: how large they are, what they give, and that LR-ASPP and DeepLab are torchvision's."""

import numpy as np
import pytest
import torch

from pocketvision.errors import UsageError
from pocketvision.models.catalog import ARCHITECTURES
from pocketvision.models.features import Feature
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.heads.segmentation.deeplab import (
    DeepLabHead,
    DeepLabPlusHead,
    deepest,
    fine_and_deepest,
    rates_at,
)
from pocketvision.models.heads.segmentation.lr_aspp import LrAsppHead
from pocketvision.models.heads.segmentation.u_net import UNetHead, pyramid_of
from pocketvision.models.network import Network

LITE0 = ARCHITECTURES["efficientnet_lite0"]
PYRAMID = tuple(
    Feature(f"stride{stride}", channels, stride, place)
    for place, (stride, channels) in enumerate(((4, 24), (8, 40), (16, 112), (32, 320)))
)


def maps(side: int, features: tuple[Feature, ...] = PYRAMID) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        each.name: torch.randn(2, each.channels, -(-side // (each.stride or 1)), -(-side // (each.stride or 1)))
        for each in features
    }


@pytest.mark.parametrize(("transposed", "count"), [(False, 171_275), (True, 172_475)])
def test_a_u_net_on_lite0_has_about_170_000_parameters(transposed: bool, count: int) -> None:
    assert pyramid_of(LITE0) == ("stride4", "stride8", "stride16", "stride32")
    head = UNetHead(PYRAMID, 11, 0.0, transposed=transposed).eval()
    assert sum(each.numel() for each in head.parameters()) == count
    for side in (64, 72, 100):  # also where strides do not divide the side
        assert head(maps(side))["logits"].shape == (2, 11, -(-side // 4), -(-side // 4))


@pytest.mark.parametrize("features", [PYRAMID[:1], PYRAMID[2:], PYRAMID[1:], PYRAMID])
def test_any_pyramid_is_decoded_at_its_finest_stride(features: tuple[Feature, ...]) -> None:
    head = UNetHead(features, 3, 0.0).eval()
    found = maps(64, features)
    assert head(found)["logits"].shape[2:] == found[features[0].name].shape[2:]


def test_the_coarsest_map_comes_in_through_a_gate() -> None:
    head, found = UNetHead(PYRAMID, 3, 0.0).eval(), maps(64)
    assert head.gate is not None and head.gate.bias is not None
    with torch.no_grad():
        head.gate.weight.zero_()
        head.gate.bias.fill_(-100)
        shut = head(found)["logits"]
        moved = head({**found, "stride32": found["stride32"] + 3})["logits"]
        head.gate.bias.fill_(100)
        opened = head(found)["logits"]
    assert torch.equal(shut, moved) and not torch.allclose(shut, opened)


def test_pooled_features_and_a_single_class_are_refused() -> None:
    with pytest.raises(UsageError, match="is none"):
        UNetHead((Feature("pooled", 8, None, None),), 3, 0.0)
    with pytest.raises(UsageError, match="at least 2 classes"):
        UNetHead(PYRAMID, 1, 0.0)
    with pytest.raises(UsageError, match="fine map and a coarse one"):
        LrAsppHead(PYRAMID, 3, 0.0)
    with pytest.raises(UsageError, match="deepest map alone, not 4"):
        DeepLabHead(PYRAMID, 3, 0.0)
    with pytest.raises(UsageError, match="a fine map and the deepest, not 4"):
        DeepLabPlusHead(PYRAMID, 3, 0.0)


def test_lr_aspp_equals_torchvision_s_head() -> None:
    segmentation = pytest.importorskip("torchvision.models.segmentation.lraspp")
    torch.manual_seed(1)
    theirs = segmentation.LRASPPHead(40, 960, 21, 128).eval()
    ours = LrAsppHead((Feature("stride8", 40, 8, 4), Feature("head_conv", 960, 16, None)), 21, 0.0).eval()
    keys = {
        "cbr.0.": "value.conv.",
        "cbr.1.": "value.norm.",
        "scale.1.": "gate.",
        "low_classifier.": "of_fine.",
        "high_classifier.": "of_coarse.",
    }
    state = {}
    for key, value in theirs.state_dict().items():
        prefix = next(each for each in keys if key.startswith(each))
        state[keys[prefix] + key.removeprefix(prefix)] = value
    ours.load_state_dict(state)
    low, high = torch.randn(2, 40, 28, 28), torch.randn(2, 960, 14, 14)
    with torch.no_grad():
        expected = theirs({"low": low, "high": high})
        found = ours({"stride8": low, "head_conv": high})["logits"]
    assert np.abs((expected - found).numpy()).max() <= 1e-5


def test_a_network_with_a_u_net_gives_logits_at_stride_4() -> None:
    network = Network(ARCHITECTURES["mobilenet_v3_small"], {"segmentation": HeadSpec("u_net", 5)}).eval()
    with torch.no_grad():
        found = network.outputs(torch.randn(1, 3, 96, 96))
    logits = found["segmentation.logits"]
    assert logits.shape == (1, 5, 24, 24)


def test_deeplab_s_rates_are_the_same_pixels_at_any_stride() -> None:
    assert [rates_at(stride) for stride in (8, 16, 32)] == [(12, 24, 36), (6, 12, 18), (3, 6, 9)]
    head = DeepLabHead(PYRAMID[-1:], 11, 0.0)
    assert [branch.conv.dilation for branch in head.pyramid.branches] == [(3, 3), (6, 6), (9, 9)]
    assert deepest(LITE0) == ("stride32",)


def test_the_slim_deeplab_reads_a_fine_map_too() -> None:
    assert fine_and_deepest(LITE0) == ("stride4", "stride32")
    assert fine_and_deepest(ARCHITECTURES["vit_tiny_16"]) == ("stride16",)
    features = PYRAMID[0], PYRAMID[-1]
    head = DeepLabPlusHead(features, 11, 0.0).eval()
    assert sum(each.numel() for each in head.parameters()) == 189_091
    for side in (64, 72, 100):
        assert head(maps(side))["logits"].shape == (2, 11, -(-side // 4), -(-side // 4))


@pytest.mark.parametrize("build", [DeepLabHead, DeepLabPlusHead])
def test_deeplab_learns_from_a_batch_of_one(build: type[torch.nn.Module]) -> None:
    """The mean over its map has no variance that a norm could learn."""
    head = build(PYRAMID[-1:], 3, 0.0).train()
    found = {name: each[:1] for name, each in maps(128).items()}
    assert head(found)["logits"].isfinite().all()
