"""U-Net as in its paper, and a small one of its kind: how large they are, and that each half finds the other."""

import pytest
import torch
from torch import nn

from pocketvision.errors import UsageError
from pocketvision.models.catalog import WHOLE, architecture
from pocketvision.models.cost import cost
from pocketvision.models.features import Feature
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.heads.segmentation.plain_u_net import PlainUNetHead, every_map
from pocketvision.models.network import Network, fold_norms
from pocketvision.training.recipe_file import recipe_of
from pocketvision.training.setting_values import given_settings

COUNTS = {("u_net_paper", 1): 31_030_658, ("u_net_small", 3): 482_754}
"""Of two classes, by channels of the picture. The paper's is counted from its figure 1, with two classes."""


def network(name: str, channels: int = 3) -> Network:
    return Network(architecture(name), {"segmentation": HeadSpec(name, 2)}, in_channels=channels)


@pytest.mark.parametrize(("name", "channels"), COUNTS)
def test_it_has_the_published_number_of_parameters(name: str, channels: int) -> None:
    with torch.device("meta"):
        built = network(name, channels)
    assert sum(each.numel() for each in built.parameters()) == COUNTS[name, channels]


@pytest.mark.parametrize("name", WHOLE)
def test_its_rows_tell_what_its_backbone_costs(name: str) -> None:
    with torch.device("meta"):
        built = network(name)
    own = sum(each.numel() for part, each in built.named_parameters() if not part.startswith("heads."))
    counted = cost(architecture(name), size=64, num_classes=2)
    assert counted.parameters == own + 2 * built.feature_channels + 2


def test_the_paper_s_has_no_norms_and_halves_by_pooling() -> None:
    with torch.device("meta"):
        paper = network("u_net_paper")
    kinds = [type(each) for each in paper.modules()]
    assert nn.BatchNorm2d not in kinds and kinds.count(nn.MaxPool2d) == 4 and kinds.count(nn.ConvTranspose2d) == 4
    assert paper.features_read == ("stride1", "stride2", "stride4", "stride8", "stride16")


def test_a_mask_is_as_large_as_the_picture_whatever_its_size() -> None:
    torch.manual_seed(0)
    small = network("u_net_small").eval()
    for height, width in ((32, 32), (37, 50)):
        images = torch.randn(1, 3, height, width)
        with torch.no_grad():
            logits = small.outputs(images)["segmentation.logits"]
            folded = fold_norms(small).outputs(images)["segmentation.logits"]
        assert logits.shape == (1, 2, height, width) and (logits - folded).abs().max() < 1e-4


def test_activations_keep_their_size_without_norms() -> None:
    torch.manual_seed(0)
    features = tuple(Feature(f"stride{2**place}", 8 * 2**place, 2**place, place) for place in range(5))
    head = PlainUNetHead(features, 2, 0.5, norms=False).eval()
    maps = {
        each.name: torch.randn(2, each.channels, 32 // (each.stride or 1), 32 // (each.stride or 1)).relu()
        for each in features
    }
    with torch.no_grad():
        assert 0.2 < float(head(maps)["logits"].std()) < 5


def test_any_backbone_s_maps_do() -> None:
    assert every_map(architecture("efficientnet_lite0")) == ("stride2", "stride4", "stride8", "stride16", "stride32")
    assert every_map(architecture("vit_tiny_16")) == ("stride16",)


def test_who_names_one_half_gets_the_other_and_a_random_start() -> None:
    for given in ({"model.head": "u_net_small"}, {"model.name": "u_net_small"}):
        model = recipe_of(None, given_settings(given)).model
        assert (model.name, model.head, model.weights) == ("u_net_small", "u_net_small", "none")
    other = recipe_of(None, given_settings({"model.head": "u_net_small", "model.name": "efficientnet_lite0"})).model
    assert (other.name, other.head, other.weights) == ("efficientnet_lite0", "u_net_small", "auto")
    mixed = recipe_of(None, given_settings({"model.name": "u_net_paper", "model.head": "u_net"})).model
    assert (mixed.name, mixed.head, mixed.weights) == ("u_net_paper", "u_net", "none")


def test_a_name_that_is_nearly_right_is_told() -> None:
    with pytest.raises(UsageError, match="u_net_small"):
        architecture("u_net_smal")
