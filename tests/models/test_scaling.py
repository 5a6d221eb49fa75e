"""Compound scaling against the paper, and the search for what fits a budget."""

from itertools import pairwise

import pytest

from pocketvision.errors import UsageError
from pocketvision.models.catalog import ARCHITECTURES, build
from pocketvision.models.cost import cost
from pocketvision.models.scaling import CompoundScale, fit_coefficients, fit_phi, fit_width, scaled

B0 = ARCHITECTURES["efficientnet_b0"]


def test_phi_multiplies_depth_width_and_resolution() -> None:
    scale = CompoundScale(3)
    assert (scale.depth, scale.width, scale.resolution) == pytest.approx((1.728, 1.331, 1.520875))
    assert scale.growth == pytest.approx(1.2 * 1.1**2 * 1.15**2)
    network = scaled(B0, scale)
    assert network.name == "efficientnet_b0_phi3" and network.input_size == 340
    assert [row.repeats for row in network.scaled_stages()] == [
        2,
        4,
        4,
        6,
        6,
        7,
        2,
    ]  # ceil(1.728 x 1, 2, 2, 3, 3, 4, 1)
    for row, before in zip(network.scaled_stages(), B0.stages, strict=True):
        assert row.channels % 8 == 0 and row.channels >= 0.9 * before.channels * 1.331


def test_each_step_of_phi_doubles_the_cost_about() -> None:
    found = [cost(scaled(B0, CompoundScale(phi))).macs for phi in range(5)]
    assert found[0] == cost(B0).macs
    assert all(1.6 < after / before < 2.7 for before, after in pairwise(found))


def test_the_scaled_network_is_built() -> None:
    network = build(scaled(B0, CompoundScale(1)), num_classes=2)
    assert network.num_classes == 2
    with_1000 = cost(scaled(B0, CompoundScale(1)), num_classes=2)
    assert sum(parameter.numel() for parameter in network.parameters()) == with_1000.parameters


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"phi": 1, "alpha": 2.0, "beta": 1.4, "gamma": 1.4}, r"alpha \* beta\^2 \* gamma\^2 is 7.683; expected 2"),
        ({"phi": 1, "alpha": 0.9, "beta": 1.2, "gamma": 1.2}, "has to be at least 1"),
        ({"phi": -1}, "phi is -1; expected a number from 0"),
        ({"phi": 1, "alpha": float("nan")}, "has to be at least 1"),
    ],
)
def test_coefficients_that_break_the_rule_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CompoundScale(**arguments)


@pytest.mark.parametrize(
    "budget", [{"macs": 150_000_000}, {"parameters": 2_500_000}, {"macs": 200_000_000, "parameters": 3_000_000}]
)
def test_the_widest_network_within_a_budget(budget: dict[str, int]) -> None:
    found = fit_width(ARCHITECTURES["mobilenet_v2"], **budget)
    inside = cost(found)
    assert inside.macs <= budget.get("macs", inside.macs) and inside.parameters <= budget.get(
        "parameters", inside.parameters
    )
    wider = cost(ARCHITECTURES["mobilenet_v2"].__class__.from_dict({**found.to_dict(), "width": found.width * 1.08}))
    assert any(getattr(wider, name) > limit for name, limit in budget.items())


def test_depth_and_width_trade() -> None:
    deep, shallow = (fit_width(B0, macs=400_000_000, depth=depth) for depth in (1.5, 0.7))
    assert deep.width < B0.width < shallow.width and deep.depth == 1.5


def test_the_largest_phi_within_a_budget() -> None:
    phi, network = fit_phi(B0, macs=2_000_000_000)
    assert cost(network).macs <= 2_000_000_000 < cost(scaled(B0, CompoundScale(phi + 0.2))).macs


def test_coefficients_within_a_budget_keep_the_rule() -> None:
    scale, network = fit_coefficients(B0, macs=800_000_000)
    assert scale.growth == pytest.approx(2, rel=0.05)
    assert 0.85 * 800_000_000 < cost(network).macs <= 800_000_000


def test_no_other_coefficients_on_the_grid_use_more_of_the_budget() -> None:
    scale, network = fit_coefficients(B0, macs=920_000_000, step=0.25)
    values = (1.0, 1.25, 1.5, 1.75, 2.0)
    every = [(a, b, c) for a in values for b in values for c in values if abs(a * b**2 * c**2 / 2 - 1) <= 0.05]
    used = {each: cost(scaled(B0, CompoundScale(1, *each))).macs for each in every}
    assert len(every) > 2 and min(used.values()) <= 920_000_000 < max(used.values())
    assert cost(network).macs == max(macs for macs in used.values() if macs <= 920_000_000)
    assert used[scale.alpha, scale.beta, scale.gamma] == cost(network).macs


def test_budgets_that_nothing_fits_say_what_the_least_is() -> None:
    with pytest.raises(
        UsageError, match=r"too small for a width of mobilenet_v2: the smallest network has 1\.\d+ M parameters"
    ):
        fit_width(ARCHITECTURES["mobilenet_v2"], parameters=1000)
    with pytest.raises(UsageError, match="No coefficients at phi 1 stay within 10 M MACs"):
        fit_coefficients(B0, macs=10_000_000)
    with pytest.raises(UsageError, match="no budget"):
        fit_phi(B0)
