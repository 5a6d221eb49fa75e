"""Architectures as data."""

from dataclasses import replace

import pytest
import timm
import torch

from pocketvision.errors import UsageError
from pocketvision.models.catalog import ARCHITECTURES, architecture, build
from pocketvision.models.loading import load_weights
from pocketvision.models.spec import Architecture, round_channels


@pytest.mark.parametrize(
    ("channels", "rounded"),
    [(3, 8), (8, 8), (11.9, 16), (12, 16), (16 * 1.1, 16), (24 * 0.75, 24), (35.2, 32), (352, 352)],
)
def test_channels_round_to_multiples_of_eight_never_far_down(channels: float, rounded: int) -> None:
    assert round_channels(channels) == rounded


def test_compound_scaling_gives_lite2s_published_table() -> None:
    row = ARCHITECTURES["efficientnet_lite2"]
    assert row.scaled_stem_channels() == 32 and row.scaled_head_channels() == 1280
    assert [stage.channels for stage in row.scaled_stages()] == [16, 24, 48, 88, 120, 208, 352]
    assert [stage.repeats for stage in row.scaled_stages()] == [1, 3, 3, 4, 4, 5, 1]
    assert row.trunk_strides() == (2, 2, 4, 8, 16, 16, 32, 32)


# Width, depth and exact parameters at 1000 classes, as published.
SCALED = {
    "efficientnet_b0": [
        (1.0, 1.1, 7_794_184),
        (1.1, 1.2, 9_109_994),
        (1.2, 1.4, 12_233_232),
        (1.4, 1.8, 19_341_616),
        (1.6, 2.2, 30_389_784),
        (1.8, 2.6, 43_040_704),
        (2.0, 3.1, 66_347_960),
    ],
    "efficientnet_lite0": [(1.2, 1.4, 8_197_096), (1.4, 1.8, 13_006_568)],
}


@pytest.mark.parametrize("name", list(SCALED))
def test_the_larger_members_of_a_family_are_rows(name: str) -> None:
    for width, depth, parameters in SCALED[name]:
        with torch.device("meta"):
            network = build(replace(ARCHITECTURES[name], width=width, depth=depth))
        assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize("alpha", [0.5, 1.4])
def test_alpha_is_a_width(alpha: float) -> None:
    """A narrower network keeps its head, a wider one widens it (MobileNetV2, section 6.1)."""
    expected = timm.create_model(f"mobilenetv2_{alpha * 100:03.0f}").eval()
    row = replace(ARCHITECTURES["mobilenet_v2"], width=alpha)
    network, _ = load_weights(row, expected.state_dict(), "timm")
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        logits = expected(images)
        assert (network(images) - logits).abs().max() <= 1e-4 * logits.std()


def test_an_unknown_model_lists_near_matches() -> None:
    with pytest.raises(UsageError, match=r"'eficientnet_lite'.*efficientnet_lite0"):
        architecture("eficientnet_lite")
    with pytest.raises(UsageError, match="Known: efficientnet_b0"):
        build("zzz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": None}, "'depth' is None, expected float"),
        ({"stem_channels": True}, "'stem_channels' is True, expected int"),
        ({"padding": 3}, "'padding' is 3, expected 'symmetric' or 'same'"),
        ({"padding": "valid"}, "'padding' is 'valid', expected 'symmetric' or 'same'"),
        ({"colour": 1}, "unknown field 'colour'"),
        ({"stages": 7}, "'stages' must be a list"),
        ({"stages": [{"kernel": 3}]}, "StageRow: field 'channels' is missing"),
    ],
)
def test_a_damaged_description_names_the_field(change: dict[str, object], message: str) -> None:
    content = ARCHITECTURES["mobilenet_v2"].to_dict() | change
    with pytest.raises(UsageError, match=message):
        Architecture.from_dict(content)


def test_a_missing_field_is_named() -> None:
    content = ARCHITECTURES["mobilenet_v2"].to_dict()
    del content["width"]
    with pytest.raises(UsageError, match="field 'width' is missing"):
        Architecture.from_dict(content)
