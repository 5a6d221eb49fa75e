"""torchvision's segmenters by name, and files of their weights: their outputs, from a photograph's pixels to its mask."""

import hashlib
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from random_weights import on_no_device, with_random_weights
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

PARAMETERS = {
    "lraspp_mobilenet_v3_large": 3_221_538,
    "deeplabv3_mobilenet_v3_large": 11_029_328,
    "deeplabv3_resnet50": 42_004_074,
    "deeplabv3_resnet101": 60_996_202,
    "fcn_resnet50": 35_322_218,
    "fcn_resnet101": 54_314_346,
}
"""As torchvision counts, which counts an auxiliary classifier that only trainings listen to."""
AUXILIARY = {
    "lraspp_mobilenet_v3_large": 0,
    "deeplabv3_mobilenet_v3_large": 3_851,
    **{name: 2_365_205 for name in PARAMETERS if "resnet" in name},
}
SIDES = {True: 96, False: 520}
"""Pixels of the photograph: of a network on a ResNet fewer than it is used with."""
NAMES = [pytest.param(name, marks=pytest.mark.slow) if "resnet" in name else name for name in KEYS]


def built(name: str) -> Any:
    more = {"aux_loss": True} if AUXILIARY[name] else {}
    return getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=21, **more)


@pytest.fixture(scope="module", params=NAMES)
def named(request: pytest.FixtureRequest) -> tuple[str, Any]:
    """A name, and torchvision's network of it with random weights that tell places apart."""
    theirs = with_random_weights(partial(built, request.param), seed=2)
    torch.manual_seed(2)
    with torch.no_grad():
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
    for side in (96,) if "resnet" in name else (96, 130):
        images = torch.randn(1, 3, side, side)
        expected = theirs(images)["out"]
        logits = ours.outputs(images)["segmentation.logits"]
        found = nn.functional.interpolate(logits, (side, side), mode="bilinear", align_corners=False)
        assert (expected - found).abs().max() <= 1e-4 and expected.std() > 0.01


@pytest.mark.parametrize("name", KEYS)
def test_there_are_as_many_parameters_as_published(name: str) -> None:
    theirs = on_no_device(partial(built, name))
    ours = segmenter_network(name, theirs.state_dict())
    auxiliary = sum(each.numel() for path, each in theirs.named_parameters() if path.startswith("aux_classifier."))
    assert auxiliary == AUXILIARY[name]
    assert sum(each.numel() for each in ours.parameters()) == PARAMETERS[name] - auxiliary


@torch.no_grad()
def test_a_photograph_s_mask_is_torchvision_s(
    named: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the published file, by name; of a square photograph, which torchvision does not shrink to another shape."""
    name, theirs = named
    side = SIDES["resnet" in name]
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

    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)).resize((side, side))
    pixels, placement = NETWORKS[name].weights.preprocessing.with_size(side).place(photo)
    wanted_pixels = weights.transforms(resize_size=side)(photo)
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
