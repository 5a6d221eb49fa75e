"""Architectures as data."""

from dataclasses import MISSING, fields, replace

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


ALPHAS = {
    "mobilenet_v1_125": "mobilenetv1_125",
    "mobilenet_v2_035": "mobilenetv2_035",
    "mobilenet_v2_050": "mobilenetv2_050",
    "mobilenet_v2_140": "mobilenetv2_140",
    "mobilenet_v3_large_075": "mobilenetv3_large_075",
    "mobilenet_v3_small_075": "mobilenetv3_small_075",
    "mobilenet_v3_small_050": "mobilenetv3_small_050",
}


@pytest.mark.parametrize(("name", "theirs"), ALPHAS.items())
def test_alpha_is_a_width(name: str, theirs: str) -> None:
    """A narrower MobileNetV2 keeps its head, a wider one widens it (section 6.1); a narrow V3 keeps its stem."""
    torch.manual_seed(3)
    expected = timm.create_model(theirs).eval()
    row = architecture(name)
    assert row.name == name and row.width == int(name[-3:]) / 100
    network, _ = load_weights(replace(row, padding="symmetric", norm_epsilon=1e-5), expected.state_dict(), "timm")
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        logits = expected(images)
        assert (network(images) - logits).abs().max() <= 1e-4 * logits.std()


ROW = {"kernel": 3, "stride": 1, "expansion": 6, "channels": 24, "repeats": 2}
DEFAULTED = {field.name for field in fields(Architecture) if field.default is not MISSING}


def test_an_unknown_model_lists_near_matches() -> None:
    with pytest.raises(UsageError, match=r"'eficientnet_lite'.*Did you mean efficientnet_lite"):
        architecture("eficientnet_lite")
    with pytest.raises(UsageError, match="Known: efficientnet_b0, efficientnet_b1"):
        build("zzz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": None}, "In the architecture 'depth' is None, expected float"),
        ({"stem_channels": True}, "'stem_channels' is True, expected int"),
        ({"padding": 3}, "'padding' is 3, expected 'symmetric' or 'same'"),
        ({"padding": "valid"}, "'padding' is 'valid', expected 'symmetric' or 'same'"),
        ({"squeeze_activation": "tanh"}, "'squeeze_activation' is 'tanh', expected 'relu' or 'relu6'"),
        ({"width": 0.0}, "'width' is 0.0, expected 0.01 to 100"),
        ({"colour": 1}, "the field 'colour' is unknown"),
        ({"stages": 7}, "'stages' must be a list"),
        ({"stages": []}, "'stages' must be a list"),
        ({"stages": [{"kernel": 3}]}, "In row 1 of stages the field 'stride' is missing"),
        ({"stages": [ROW, {**ROW, "kernel": 4}]}, "In row 2 of stages 'kernel' is 4, expected an odd number"),
        ({"stages": [{**ROW, "stride": 0}]}, "In row 1 of stages 'stride' is 0, expected 1 to 4"),
        ({"stages": [{**ROW, "block": "dense"}]}, "'block' is 'dense', expected 'inverted' or 'fused'"),
        (
            {"stages": [ROW, {**ROW, "block": "basic", "squeeze_ratio": 0.25}]},
            "In row 2 of stages 'squeeze_ratio' is 0.25, expected 0.0: a basic block has no other",
        ),
        (
            {"stages": [{**ROW, "block": "bottleneck", "residual": False}]},
            "In row 1 of stages 'residual' is False, expected True: a bottleneck block has no other",
        ),
    ],
)
def test_a_damaged_description_names_row_and_field(change: dict[str, object], message: str) -> None:
    content = ARCHITECTURES["mobilenet_v2"].to_dict() | change
    with pytest.raises(UsageError, match=message):
        Architecture.from_dict(content)


def test_a_missing_field_is_named() -> None:
    content = ARCHITECTURES["mobilenet_v2"].to_dict()
    del content["stem_channels"]
    with pytest.raises(UsageError, match="field 'stem_channels' is missing"):
        Architecture.from_dict(content)


def test_fields_with_a_default_may_be_left_out() -> None:
    content = {key: value for key, value in ARCHITECTURES["mobilenet_v2"].to_dict().items() if key not in DEFAULTED}
    assert Architecture.from_dict(content) == ARCHITECTURES["mobilenet_v2"]
