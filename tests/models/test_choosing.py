"""Recommendations from data and budgets: they are kept, reasons are figures, and sizes that differ are warned of."""

from pathlib import Path

import pytest

from pocketvision.data.at_a_glance import at_a_glance
from pocketvision.errors import UsageError
from pocketvision.models.catalog import ARCHITECTURES
from pocketvision.models.choosing import choose
from pocketvision.models.measured_latency import MILLISECONDS
from pocketvision.models.wishes import DEVICES, GOALS, Wishes
from pocketvision.workflows.recommend import recommend


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("goal", GOALS)
def test_every_device_and_goal_has_three(device: str, goal: str) -> None:
    found = choose(Wishes(device, goal))
    assert len({each.model for each in found}) == 3
    for each in found:
        assert each.macs / 1e6 <= DEVICES[device].most_macs and each.precision == DEVICES[device].precision
        assert any("top-1" in reason for reason in each.reasons) and each.megabytes > 0


def test_budgets_are_kept() -> None:
    for each in choose(Wishes(latency=8.0, megabytes=6.0)):
        assert each.megabytes <= 6 and (each.latency is None or each.latency <= 8)
    for each in choose(Wishes(pictures=2000, classes=5, minutes=4)):
        assert each.minutes is not None and each.minutes <= 4


def test_small_data_gets_small_networks() -> None:
    """B0 to B2 for a few thousand pictures, and larger ones only for many."""
    small, large = choose(Wishes(pictures=5000, classes=10)), choose(Wishes(pictures=500_000, classes=10, device="gpu"))
    assert all(ARCHITECTURES[each.model].feature_channels() > 0 and each.parameters <= 10e6 for each in small)
    assert max(each.parameters for each in large) > 10e6


def test_plain_networks_for_npus_and_accuracy_costs() -> None:
    assert choose(Wishes("npu", "accurate"))[0].model.startswith(
        ("efficientnet_lite", "mobilenet", "resnet", "mnasnet")
    )
    macs = {goal: choose(Wishes("cpu", goal))[0].macs for goal in GOALS}
    assert macs["accurate"] >= macs["real-time"] >= macs["battery"]


def test_a_size_that_the_weights_were_not_trained_at_is_warned_of() -> None:
    (other,) = choose(Wishes(size=160, latency=30), most=1)
    assert "trained at" in other.warnings[0] and "not 160" in other.warnings[0] and other.input_size == 160
    assert not choose(Wishes(latency=30), most=1)[0].warnings


def test_a_smaller_one_is_said_with_what_it_costs() -> None:
    found = choose(Wishes(latency=30), most=1)[0]
    assert "px it costs" in found.smaller and "three quarters of its width" in found.smaller


def test_small_pictures_get_networks_for_them() -> None:
    found = choose(Wishes(picture_size=32, pictures=20_000, classes=10))
    assert all(each.input_size == 32 for each in found) and "random start" in found[0].warnings[0]
    blown_up = choose(Wishes(picture_size=64), most=1)[0]
    assert any("only blown up" in each for each in blown_up.warnings)


def test_too_few_pictures_of_a_class_are_said() -> None:
    assert any("fewer than 20 each" in each for each in choose(Wishes(pictures=30, classes=5), most=1)[0].warnings)


def test_a_budget_that_none_keeps_names_the_nearest() -> None:
    with pytest.raises(
        UsageError, match=r"No network keeps a file in megabytes of 0\.1: the nearest is \w+ with .* --width"
    ):
        choose(Wishes(megabytes=0.1))
    with pytest.raises(UsageError, match="No network keeps milliseconds of"):
        choose(Wishes(latency=0.001))


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"device": "fridge"}, "Unknown device 'fridge'"),
        ({"goal": "acurate"}, r"Unknown goal 'acurate'\. Did you mean accurate"),
        ({"pictures": 0}, "--pictures is 0; expected a number above 0"),
        ({"latency": -1.0}, "--latency is -1"),
        ({"picture_size": -5}, "--picture-size is -5"),
        ({"megabytes": float("nan")}, "--megabytes is nan"),
        ({"size": 4}, "--size is 4"),
    ],
)
def test_wrong_wishes_are_refused(wishes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Wishes(**wishes)  # type: ignore[arg-type]


def test_data_tells_what_the_wishes_leave_out(photos: Path, tmp_path: Path) -> None:
    found = at_a_glance(photos)
    assert (found.pictures, found.classes) == (48, 2) and found.longer_side and found.longer_side >= 64
    assert recommend(Wishes(), data=photos, most=1)[0].minutes is not None
    with pytest.raises(UsageError):
        recommend(Wishes(), data=tmp_path / "nothing")


def test_what_was_measured_is_of_the_catalogue() -> None:
    for name, (size, milliseconds) in MILLISECONDS.items():
        assert name in ARCHITECTURES and 8 <= size <= 600 and milliseconds > 0
