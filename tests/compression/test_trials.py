"""The search space: which trials there are, and which networks are smaller than another."""

import pytest

from pocketvision.compression.trials import KINDS, search_space, smaller_networks
from pocketvision.errors import UsageError
from pocketvision.models.catalog import architecture
from pocketvision.models.cost import cost
from pocketvision.models.published_weights import PUBLISHED_WEIGHTS

LITE0 = architecture("efficientnet_lite0")


def test_cheap_trials_come_first_and_each_is_followed_by_its_8_bits() -> None:
    first, *others = [
        [each.name for each in group] for group in search_space(LITE0, 224, ["mobilenet_v3_small"], tuple(KINDS))
    ]
    assert first == ["as-it-is", "size-160", "size-128", "as-it-is-int8", "size-160-int8", "size-128-int8"]
    assert [group[0] for group in others][2:] == ["pruned-60", "pruned-36", "mobilenet_v3_small"]
    assert all(group[1:] == [f"{group[0]}-int8"] for group in others)


def test_the_second_pruning_begins_with_the_first() -> None:
    pruned = [group[0] for group in search_space(LITE0, 224, [], ("pruning",))[1:]]
    assert [(each.name, each.of, each.value) for each in pruned] == [
        ("pruned-60", "as-it-is", 0.6),
        ("pruned-36", "pruned-60", 0.6),
    ]


def test_sizes_are_smaller_ones_that_the_network_takes() -> None:
    sizes = [each.value for group in search_space(LITE0, 96, [], ("size",)) for each in group if each.kind == "size"]
    assert sizes == [64], "of 96 three quarters and the half are both nearest to it"
    assert [each.name for group in search_space(LITE0, 32, [], ("size", "tuned-size")) for each in group] == [
        "as-it-is"
    ]


def test_a_network_of_one_size_gets_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def only(_: object, height: int, width: int) -> None:
        if (height, width) != (224, 224):
            raise UsageError("It takes 224 x 224.")

    monkeypatch.setattr(type(LITE0), "check_size", only)
    assert [each.name for group in search_space(LITE0, 224, [], ("size", "int8")) for each in group] == [
        "as-it-is",
        "as-it-is-int8",
    ]


def test_an_unknown_step_is_named() -> None:
    with pytest.raises(UsageError, match=r"Unknown step to --try 'prunning'\. Did you mean pruning"):
        search_space(LITE0, 224, [], ("prunning",))


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_lite0", "vit_tiny_16", "mobilenet_v3_large"])
def test_smaller_networks_cost_less_and_have_published_weights(name: str) -> None:
    whole = cost(architecture(name), size=224).macs
    found = smaller_networks(architecture(name), 224)
    assert found
    for network, share in zip(found, (0.6, 0.3), strict=False):
        assert cost(architecture(network), size=224).macs <= share * whole
        # None of the catalogue that is as cheap was published with a higher accuracy.
        better = [
            other
            for other, rows in PUBLISHED_WEIGHTS.items()
            if (rows[0].top1 or 0) > (PUBLISHED_WEIGHTS[network][0].top1 or 0) and not other.startswith("vit")
        ]
        assert all(cost(architecture(other), size=224).macs > share * whole for other in better)


def test_nothing_is_below_the_smallest() -> None:
    assert smaller_networks(architecture("mobilenet_v1_025"), 224, shares=(0.01,)) == []
