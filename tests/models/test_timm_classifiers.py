"""Classifiers of timm's networks: as convolutions, several, with a norm, or none."""

import pytest
import timm
import torch
from networks import assert_equal, calibrated, randomised
from torch import nn

from pocketvision.errors import UsageError, WeightsError
from pocketvision.models.catalog import architecture
from pocketvision.models.key_layouts import LAYOUTS, from_ours
from pocketvision.models.loading import load_weights
from pocketvision.models.timm_parts import timm_keys


def test_several_classifiers_are_refused() -> None:
    spec = architecture("timm:levit_128s")
    with pytest.raises(UsageError, match=r"timm:levit_128s has several classifiers \(head.linear, head_dist.linear\)"):
        timm_keys(spec)
    with pytest.raises(UsageError, match="several classifiers"):
        load_weights(spec, timm.create_model("levit_128s").state_dict(), "x")


def test_a_classifier_that_timm_has_as_a_convolution_is_taken_over() -> None:
    torch.manual_seed(7)
    theirs = calibrated(randomised(timm.create_model("dla46_c", num_classes=7)), torch.randn(8, 3, 96, 96))
    nn.init.normal_(theirs.fc.weight)
    assert isinstance(theirs.fc, nn.Conv2d)
    ours, _ = load_weights(architecture("timm:dla46_c"), theirs.state_dict(), "x")
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        assert_equal(ours(images), theirs(images))
    back = from_ours(LAYOUTS["timm"], ours.architecture, ours.state_dict())
    assert all(torch.equal(back[key], value) for key, value in theirs.state_dict().items())


@pytest.mark.parametrize("name", ["efficientvit_m0", "iformer_t"])
def test_a_classifier_that_is_more_than_a_linear_layer_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=rf"timm:{name}'s classifier is more than a linear layer \(head\..*bn\."):
        load_weights(architecture(f"timm:{name}"), timm.create_model(name).state_dict(), "x")


@pytest.mark.parametrize("name", ["convnext_atto", "vit_tiny_patch16_dinov3_qkvb"])  # the second is published so
def test_weights_without_a_classifier_get_a_new_one_of_one_class(name: str) -> None:
    torch.manual_seed(7)
    theirs = timm.create_model(name, num_classes=0).eval()
    before = torch.get_rng_state()
    ours, layout = load_weights(architecture(f"timm:{name}"), theirs.state_dict(), "x")
    assert torch.equal(torch.get_rng_state(), before)
    assert layout.name == "timm" and ours.num_classes == 1
    images = torch.randn(2, 3, 256, 256)
    with torch.no_grad():
        assert torch.equal(ours.tail(ours.trunk(images, 0), 0), theirs(images))
    ours, _ = load_weights(
        ours.architecture, {k: v for k, v in ours.state_dict().items() if not k.startswith("heads.")}, "x"
    )
    assert ours.num_classes == 1


def test_weights_that_lack_more_than_the_classifier_are_refused_and_both_are_reported() -> None:
    spec = architecture("timm:convnext_atto")
    state = timm.create_model("convnext_atto", num_classes=0).state_dict()
    del state["stem.0.bias"]
    with pytest.raises(WeightsError, match=r": 1 key missing: stem\.stem\.0\.bias\. It has no classifier\.$"):
        load_weights(spec, state, "x")
    state = timm.create_model("convnext_atto").state_dict()
    del state["head.fc.bias"]  # half of one
    with pytest.raises(WeightsError, match=r": 1 key missing: heads\.classification\.linear\.bias\.$"):
        load_weights(spec, state, "x")
