"""torchvision's segmenters by name, and files of their weights: their outputs, from a photograph's pixels to its mask."""

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn
from torchvision.models import segmentation

from pocketvision.errors import UsageError, WeightsError
from pocketvision.models import weights as weights_module
from pocketvision.models.named_networks import load_named, read_named
from pocketvision.models.published_networks import NETWORKS, published_network
from pocketvision.models.segmenter_keys import KEYS, segmenter_network
from pocketvision.tasks.segmentation.decode import decode
from pocketvision.tasks.segmentation.task import segmenting
from pocketvision.tasks.task import Detail

PARAMETERS = {"lraspp_mobilenet_v3_large": 3_221_538, "deeplabv3_mobilenet_v3_large": 11_029_328}
"""As torchvision counts, which counts an auxiliary classifier that only trainings listen to."""
AUXILIARY = {"lraspp_mobilenet_v3_large": 0, "deeplabv3_mobilenet_v3_large": 3_851}


@pytest.fixture(scope="module", params=list(KEYS))
def named(request: pytest.FixtureRequest) -> tuple[str, Any]:
    """A name, and torchvision's network of it with random weights that tell places apart."""
    torch.manual_seed(2)
    more = {"aux_loss": True} if AUXILIARY[request.param] else {}
    build = getattr(segmentation, request.param)
    theirs: Any = build(weights=None, weights_backbone=None, num_classes=21, **more).eval()
    with torch.no_grad():
        for module in theirs.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_var.uniform_(0.5, 1.5)
                module.running_mean.normal_(std=0.1)
        images = nn.functional.interpolate(torch.randn(1, 3, 9, 9), size=(96, 96), mode="bilinear")
        last = [each for each in theirs.classifier.modules() if getattr(each, "out_channels", 0) == 21]
        for each in last:  # else one class is the most probable everywhere
            each.bias.zero_()
        out = theirs(images)["out"]
        mean = out.mean(dim=(2, 3), keepdim=True)
        for each in last:
            each.weight /= (out - mean).std()
        last[0].bias -= theirs(images)["out"].mean(dim=(0, 2, 3))
    return request.param, theirs


@torch.no_grad()
def test_outputs_and_size_are_torchvision_s(named: tuple[str, Any]) -> None:
    name, theirs = named
    ours = segmenter_network(name, theirs.state_dict()).eval()
    counted = [sum(each.numel() for each in network.parameters()) for network in (ours, theirs)]
    assert counted == [PARAMETERS[name] - AUXILIARY[name], PARAMETERS[name]]
    for side in (96, 130):
        images = torch.randn(1, 3, side, side)
        expected = theirs(images)["out"]
        logits = ours.outputs(images)["segmentation.logits"]
        found = nn.functional.interpolate(logits, (side, side), mode="bilinear", align_corners=False)
        assert (expected - found).abs().max() <= 1e-4 and expected.std() > 0.01


@torch.no_grad()
def test_a_photograph_s_mask_is_torchvision_s(
    named: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the published file, by name; of a square photograph, which torchvision does not shrink to another shape."""
    name, theirs = named
    location = NETWORKS[name].weights.location
    weights: Any = torchvision.models.get_weight(location)
    torch.save(theirs.state_dict(), tmp_path / "plain.pth")
    digest = hashlib.sha256((tmp_path / "plain.pth").read_bytes()).hexdigest()
    file = (tmp_path / "plain.pth").rename(tmp_path / f"{name}-{digest[:8]}.pth")
    here = SimpleNamespace(url=file.as_uri(), meta=weights.meta)
    monkeypatch.setattr(torchvision.models, "get_weight", lambda wanted: {location: here}[wanted])
    monkeypatch.setattr(weights_module, "user_cache_path", lambda _: tmp_path / "cache")
    loaded = load_named(name)
    assert loaded.labels == ("background", *weights.meta["categories"][1:]) and loaded.labels[15] == "person"
    assert loaded.origin["licence"] == "BSD-3-Clause" and loaded.origin["sha256"].startswith(digest)

    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)).resize((520, 520))
    pixels, placement = NETWORKS[name].weights.preprocessing.place(photo)
    wanted_pixels = weights.transforms()(photo)
    np.testing.assert_allclose(pixels, wanted_pixels.numpy(), rtol=0, atol=1e-5)
    wanted = theirs(wanted_pixels[None])["out"][0].argmax(dim=0).numpy()
    logits = loaded.network.outputs(torch.from_numpy(pixels)[None])["segmentation.logits"].numpy()
    (found,) = decode({"logits": logits}, [placement], segmenting(loaded.labels, {})["segmentation"], Detail())
    assert found.mask is not None and len(np.unique(wanted)) > 1
    assert (found.mask == wanted).mean() >= 0.999


def test_rows_are_torchvision_s() -> None:
    assert set(KEYS) == {name for name, row in NETWORKS.items() if row.task == "segmentation"}
    for name in KEYS:
        row, weights = NETWORKS[name], torchvision.models.get_weight(NETWORKS[name].weights.location)
        preprocessing, transforms = row.weights.preprocessing, weights.transforms()
        assert weights.meta["num_params"] == PARAMETERS[name]
        assert row.figure == f"mean IoU {weights.meta['_metrics']['COCO-val2017-VOC-labels']['miou']} %"
        assert transforms.resize_size == [preprocessing.width] == [preprocessing.height]
        assert (preprocessing.mean, preprocessing.std) == (tuple(transforms.mean), tuple(transforms.std))
    with pytest.raises(UsageError, match=r"fcn_resnet50 can not be had by name: its ResNet .*G multiply-accumulates"):
        published_network("fcn_resnet50")
    with pytest.raises(UsageError, match="Did you mean deeplabv3_mobilenet_v3_large"):
        published_network("deeplabv3_mobilenet_v3")


def test_a_fine_tuned_file_has_its_own_classes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3)
    file, name = tmp_path / "best.pth", "lraspp_mobilenet_v3_large"
    torch.save(theirs.state_dict(), file)
    for labels in (["crack", "stain"], ["background", "crack", "stain"], ["__background__", "crack", "stain"]):
        assert read_named(file, name, labels).labels == ("background", "crack", "stain")
    for labels in (["crack"], []):
        with pytest.raises(UsageError, match=r"3 outputs.* names were given .*expected 2, in index order"):
            read_named(file, name, labels)
    with pytest.raises(WeightsError, match="not of torchvision's deeplabv3_mobilenet_v3_large"):
        read_named(file, "deeplabv3_mobilenet_v3_large", ["crack", "stain"])


def test_other_weights_are_named() -> None:
    with pytest.raises(WeightsError, match="low_classifier"):
        segmenter_network("lraspp_mobilenet_v3_large", {})
    with pytest.raises(WeightsError, match="Missing key"):
        segmenter_network("lraspp_mobilenet_v3_large", {"classifier.low_classifier.bias": torch.zeros(3)})
