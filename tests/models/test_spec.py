"""Architectures as data."""

import pytest

from pocketvision.errors import UsageError
from pocketvision.models.catalog import ARCHITECTURES, architecture, build
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
