"""Every head of the table: it learns from the features that it names, and ships the roles of its kind."""

import pytest
import torch
from plain_backbone import PLAIN
from torch import nn

from pocketvision.errors import UsageError
from pocketvision.models.catalog import ARCHITECTURES
from pocketvision.models.heads.catalog import HEADS, MEANS, head_named
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.network import Decoded, Network
from pocketvision.tasks.catalog import task_named

BACKBONES = ("mobilenet_v3_small", "vit_tiny_16")
LARGE = ("detr_6", "retinanet_v2", "ssd300_coco", *(f"efficientdet_d{size}" for size in range(1, 8)))
"""Like another head but for more layers and channels: put to the test by `make test-slow`."""
GIVEN = [mean.head for mean in MEANS.values()]
"""They learn nothing: they hand on what an ensemble's members say."""
ALIKE = [name for name in HEADS if name.startswith("faster_rcnn_")]
"""Two-stage heads for weights of others: tests/models/test_faster_rcnn.py."""
NAMES = [
    pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in HEADS if name not in GIVEN + ALIKE
]


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("name", NAMES)
def test_a_head_learns_and_decodes_on_any_backbone(name: str, backbone: str) -> None:
    row = head_named(name)
    assert (row.name, head_named(row.name)) == (name, row)
    torch.manual_seed(0)
    network = Network(ARCHITECTURES[backbone], {"task": HeadSpec(name, 3)}).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        features = network.features(images, network.features_read)
    outputs = network.on_features(features)["task"]
    if not row.untrained:
        sum(output.square().sum() for output in outputs.values()).backward()
        silent = [key for key, each in network.heads.named_parameters() if each.grad is None or not each.grad.any()]
        assert silent == []
    decoded = network.decoded({"task": outputs}, {})["task"]
    assert tuple(decoded) == row.roles
    assert all(len(tensor) == 2 and tensor.isfinite().all() for tensor in decoded.values())
    shipped = Decoded(network, {}).eval()
    with torch.no_grad():
        answers = dict(zip(shipped.names, shipped(images), strict=True))
    assert [name.removeprefix("task.") for name in answers] == list(row.roles)


@pytest.mark.parametrize("name", GIVEN)
def test_a_head_of_an_ensemble_is_not_for_training(name: str) -> None:
    with pytest.raises(UsageError, match="pocketvision ensemble"):
        Network(ARCHITECTURES["mobilenet_v3_small"], {"task": HeadSpec(name, 3)})


@pytest.mark.parametrize("name", HEADS)
def test_a_head_has_the_roles_of_its_kind(name: str) -> None:
    assert HEADS[name].roles == task_named(HEADS[name].kind).role_names


@pytest.mark.parametrize("name", NAMES)
def test_features_in_half_precision_give_whole_numbers(name: str) -> None:
    """A backbone that learns in bfloat16 hands such features over; heads compute as their weights are."""
    network = Network(PLAIN, {"task": HeadSpec(name, 3)}).eval()
    features = network.features(torch.randn(2, 3, 32, 32), network.features_read)
    halved = {name: feature.to(torch.bfloat16) for name, feature in features.items()}
    for output in network.on_features(halved)["task"].values():
        assert output.dtype == next(each for each in network.heads.parameters() if isinstance(each, nn.Parameter)).dtype
