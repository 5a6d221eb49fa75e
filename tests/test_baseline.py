"""The baseline: bins, brightness, and an index that stays low by chance and rises with a change."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pocketvision.baseline import (
    BRIGHTNESS_EDGES,
    CONFIDENCE_EDGES,
    Distribution,
    baseline_of,
    bin_of,
    brightness_of_crop,
    brightness_of_inputs,
    distribution,
    stability_index,
)
from pocketvision.data.demo_faces import some_pictures
from pocketvision.preprocessing import Preprocessing
from pocketvision.serving.drift import MIN_BASELINE, MIN_WINDOW

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]


def test_a_value_on_an_edge_belongs_below_it_and_what_is_outside_to_the_ends() -> None:
    edges = (0.2, 0.5, 1.0)
    assert [bin_of(edges, value) for value in (-1, 0.2, 0.21, 0.5, 1.0, 1.0000001)] == [0, 0, 1, 1, 2, 2]
    found = distribution(np.array([0.1, 0.2, 0.3, 0.9]), edges, "val")
    assert found == Distribution(edges, (2, 1, 1), "val")
    assert found.images == 4 and found.cumulative_shares() == [0.5, 0.75, 1.0]


@pytest.mark.parametrize(
    ("edges", "counts"),
    [
        ((), ()),
        ((0.5, 0.5), (1, 1)),
        ((float("nan"), 1.0), (1, 1)),
        ((0.5, 1.0), (1,)),
        ((1.0,), (-1,)),
        ((1.0,), (0,)),
    ],
)
def test_bins_that_are_none_are_refused(edges: tuple[float, ...], counts: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Distribution(edges, counts)


def test_brightness_is_the_same_before_and_after_normalising() -> None:
    size = Preprocessing(64, 48, 0.875, "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    crops = [size.crop(size.decode(each)) for each in some_pictures(12)]
    crops += [Image.new("RGB", (48, 64), colour) for colour in ("black", "white", "red", "#0f0", "blue")]
    inputs = brightness_of_inputs(np.stack([size.normalise(each) for each in crops]), size)
    np.testing.assert_allclose(inputs, [brightness_of_crop(each) for each in crops], atol=0.003)
    np.testing.assert_allclose(inputs[-5:], [0, 1, 0.299, 0.587, 0.114], atol=1e-5)
    assert np.ptp(inputs[:12]) > 0.05  # the pictures themselves differ


def test_a_baseline_has_both_features_in_their_bins() -> None:
    found = baseline_of({"classification": np.array([0.995, 0.5])}, np.array([0.5, 0.51]), "test")
    assert found["confidence"].edges == CONFIDENCE_EDGES and found["brightness"].edges == BRIGHTNESS_EDGES
    assert {each.split for each in found.values()} == {"test"}
    assert [CONFIDENCE_EDGES[place] for place in np.flatnonzero(found["confidence"].counts)] == [0.5, 0.999]
    assert [BRIGHTNESS_EDGES[place] for place in np.flatnonzero(found["brightness"].counts)] == [0.5, 0.55]


POPULATIONS: dict[str, tuple[Draw, Draw, tuple[float, ...]]] = {
    "unsure answers": (
        lambda chance, n: 1 - chance.beta(0.6, 2.2, n),
        lambda chance, n: 1 - chance.beta(1.2, 2, n),
        CONFIDENCE_EDGES,
    ),
    "sure answers": (
        lambda chance, n: 1 - chance.beta(0.08, 3, n),
        lambda chance, n: 1 - chance.beta(0.3, 3, n),
        CONFIDENCE_EDGES,
    ),
    "pictures of all kinds": (
        lambda chance, n: chance.normal(0.55, 0.15, n),
        lambda chance, n: chance.normal(0.43, 0.15, n),
        BRIGHTNESS_EDGES,
    ),
    "a fixed camera": (
        lambda chance, n: chance.normal(0.56, 0.04, n),
        lambda chance, n: chance.normal(0.50, 0.04, n),
        BRIGHTNESS_EDGES,
    ),
}


def indices(before: Draw, after: Draw, edges: tuple[float, ...], sizes: tuple[int, int]) -> NDArray[np.float64]:
    """The index of 200 pairs of samples."""
    chance = np.random.default_rng(5)
    found = []
    for _ in range(200):
        old, new = (
            distribution(draw(chance, n), edges, "").counts for draw, n in ((before, sizes[0]), (after, sizes[1]))
        )
        found.append(stability_index(old, new))
    return np.array(found, float)  # None would be NaN, which no comparison takes


@pytest.mark.parametrize("name", POPULATIONS)
def test_chance_stays_below_the_alarm_and_a_change_does_not(name: str) -> None:
    same, changed, edges = POPULATIONS[name]
    fewest = indices(same, same, edges, (MIN_BASELINE, MIN_WINDOW))
    assert np.quantile(fewest, 0.99) < 0.09 and fewest.mean() < 0.02
    usual = indices(same, same, edges, (500, 1000))
    assert usual.max() < 0.07 and usual.mean() < 0.01
    assert np.quantile(indices(same, changed, edges, (MIN_BASELINE, MIN_WINDOW)), 0.01) > 0.15
    assert np.quantile(indices(same, changed, edges, (500, 1000)), 0.01) > 0.25


def test_what_chance_alone_gives_is_taken_off() -> None:
    """The textbook's sum is (k - 1) (1 / m + 1 / n) on average where nothing changed."""
    chance = np.random.default_rng(2)
    bins, one, other = 10, 1000, 800
    samples = [(chance.multinomial(one, [0.1] * bins), chance.multinomial(other, [0.1] * bins)) for _ in range(400)]
    textbook = [float(((b / other - a / one) * np.log(b * one / (a * other))).sum()) for a, b in samples]
    expected = (bins - 1) * (1 / one + 1 / other)
    assert np.mean(textbook) == pytest.approx(expected, rel=0.1)
    indices = [stability_index(a.tolist(), b.tolist()) for a, b in samples]
    np.testing.assert_allclose(indices, np.maximum(np.array(textbook) - expected, 0), atol=0.003)


def test_bins_of_few_images_decide_nothing() -> None:
    assert stability_index([300, 1, 0, 300], [300, 0, 7, 300]) == pytest.approx(0, abs=0.01)
    # Emptied and filled bins give large numbers, not infinite ones.
    assert 3 < (stability_index([300, 0, 0, 300], [0, 0, 0, 600]) or 0) < 10
    # All but a few answers in one bin: nothing can be told, rather than that nothing changed.
    assert stability_index([0, 5, 595], [600, 0, 0]) is None
    assert stability_index([300, 300], [0, 0]) is None
