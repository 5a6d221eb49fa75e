"""What is unlike all that was learned: the distance by hand, and how it goes with a bundle."""

from dataclasses import replace

import numpy as np
import pytest

from pocketvision.bundle import Bundle
from pocketvision.errors import BundleError, UsageError
from pocketvision.evaluation.novelty_fit import SHRINKAGE, calibrated, fitted
from pocketvision.runtime.novelty import Novelty, last_features, novelty_of, read_novelty
from pocketvision.tasks.classification.decode import classify
from pocketvision.tasks.classification.task import classifying
from pocketvision.tasks.classification.track import HeldLabel
from pocketvision.tasks.classification.wire import WIRE
from pocketvision.tasks.task import Detail, Smoothing


def hand_made() -> Novelty:
    """Features are x, y, z; classes at -1 and 1 along x, and half of the distance to the middle counts. x and y vary most."""
    one = np.ones(1, np.float32)
    ordinary = np.array([-0.5, 0.0, 0.5, 4.0], np.float32)
    weights, means = np.array([[1.0], [0.0], [0.0]], np.float32), np.array([[-1.0], [1.0]], np.float32)
    usual, units = np.array([0.0, 0.1], np.float32), np.array([1.0, 0.5], np.float32)
    axes = np.eye(3, dtype=np.float32)[:, :2]
    return Novelty(
        "features",
        "",
        np.zeros(3, np.float32),
        2 * np.ones(3, np.float32),
        axes,
        weights,
        means,
        0.5 * one,
        usual,
        units,
        ordinary,
    )


def test_the_distances_by_hand() -> None:
    """Nearest class less half of the square: at 0 it is 1, at 1 -0.5, at 3 -0.5, at 6 25 - 18 = 7. The rest is z's share."""
    novelty = hand_made()
    features = 2 * np.array([[0, 9, 0], [1, 0, 0], [3, 0, 4], [6, 0, 0], [np.nan, 0, 0], [0, np.inf, 0]], np.float32)
    relative, rest = novelty.parts(features).T
    assert relative.tolist() == [1, -0.5, -0.5, 7, np.inf, np.inf]
    assert rest.tolist() == pytest.approx([0, 0, 0.8, 0, np.inf, np.inf])
    assert novelty.distances(features).tolist() == pytest.approx([0.8, -0.7, 0.9, 6.8, np.inf, np.inf])
    assert novelty.shares(features).tolist() == [0.75, 0, 0.75, 1, 1, 1]


def test_ordinary_pictures_give_the_units() -> None:
    features = np.zeros((101, 3), np.float32)
    features[:, 0] = np.linspace(
        2, 4, 101
    )  # standardised from 1 to 2: relative from -0.5 to -1, the least in the middle
    found = calibrated(hand_made(), features)
    relative = found.parts(features)[:, 0]
    assert found.usual.tolist() == pytest.approx([np.median(relative), 0])
    assert found.units.tolist() == pytest.approx([np.percentile(relative, 84) - np.median(relative), 1])
    assert np.median(found.shares(features)) == pytest.approx(0.5, abs=0.02) and np.diff(found.ordinary).min() >= 0


def test_two_classes_tell_pictures_of_another_kind() -> None:
    """In directions that do not tell them apart: there the relative distance sees nothing."""
    numbers = np.random.default_rng(0)
    plane = numbers.normal(size=(3, 40))
    labels = numbers.integers(0, 2, 300)
    features = (
        numbers.normal(size=(300, 3)) @ plane + 2 * labels[:, None] * plane[0] + 0.1 * numbers.normal(size=(300, 40))
    )
    foreign = (numbers.normal(size=(60, 3)) @ numbers.normal(size=(3, 40)) + features.mean(axis=0)).astype(np.float32)
    features = features.astype(np.float32)
    novelty = calibrated(fitted(features[:200], labels[:200]), features[200:])
    assert novelty.axes.shape == (40, 16) and np.allclose(novelty.axes.T @ novelty.axes, np.eye(16), atol=1e-4)
    assert novelty.shares(foreign).min() == 1
    assert (novelty.parts(foreign)[:, 0] <= novelty.parts(features[200:])[:, 0].max()).mean() > 0.5


def test_classes_that_were_left_out_and_noise_are_novel() -> None:
    """In 40 dimensions: five classes; a sixth in other directions, and what is far away."""
    numbers = np.random.default_rng(0)
    centres = 3 * numbers.normal(size=(6, 40))
    labels = numbers.integers(0, 6, 1200)
    features = (centres[labels] + numbers.normal(size=(1200, 40))).astype(np.float32)
    known = labels < 5
    novelty = fitted(features[:900][known[:900]], labels[:900][known[:900]])
    assert novelty.weights.shape == (40, 4) and novelty.means.shape == (5, 4)
    ordinary, novel = novelty.parts(features[900:])[known[900:], 0], novelty.parts(features[900:])[~known[900:], 0]
    assert np.mean(novel[:, None] > ordinary) > 0.95
    whole = fitted(features[:900], np.where(known[:900], labels[:900], -1))  # pictures without a class are left out
    assert np.allclose(whole.weights, novelty.weights, atol=1e-4)


@pytest.mark.parametrize("count", [30, 300])
def test_the_relative_distance_is_that_of_the_covariances(count: int) -> None:
    """Fewer pictures than features, and more: to the nearest class by the covariance within, less to the middle by the whole."""
    numbers = np.random.default_rng(1)
    labels = np.arange(count) % 3
    features = (numbers.normal(size=(count, 40)) + 2 * numbers.normal(size=(3, 40))[labels]).astype(np.float32)
    novelty = fitted(features, labels)
    scaled = (features.astype(np.float64) - novelty.centre) / novelty.spread
    means = np.stack([scaled[labels == place].mean(axis=0) for place in range(3)])
    within = np.cov((scaled - means[labels]).T, bias=True)
    within += SHRINKAGE * np.trace(within) / 40 * np.eye(40)
    whole = within + np.cov(means[labels].T, bias=True)
    other = numbers.normal(size=(5, 40)).astype(np.float32) * 3
    new = (other - novelty.centre) / novelty.spread

    def squared(offsets: np.ndarray, covariance: np.ndarray) -> np.ndarray:
        return np.einsum("nd,nd->n", offsets @ np.linalg.inv(covariance), offsets)

    expected = np.min([squared(new - mean, within) for mean in means], axis=0) - squared(new, whole)
    assert np.allclose(novelty.parts(other)[:, 0], expected, rtol=2e-3, atol=2e-3)


def test_what_can_not_be_fitted() -> None:
    features = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    with pytest.raises(UsageError, match="there is 1 class"):
        fitted(features, np.zeros(8, np.int64))
    features[3, 1] = np.nan
    with pytest.raises(UsageError, match="features are no numbers"):
        fitted(features, np.arange(8) % 2)


def test_answers_say_none_of_these() -> None:
    task = classifying(("cat", "dog"))["classification"]
    telling = replace(task, postprocessing={**task.postprocessing, "novel_from": 0.95})
    outputs = {
        "probabilities": np.array([[0.9, 0.1], [0.8, 0.2]], np.float32),
        "novelty": np.array([0.97, 0.5], np.float32),
    }
    novel, ordinary = classify(outputs, [], telling, Detail())
    assert (novel.none_of_these, novel.unsure, novel.headline) == (True, True, "none of these (cat 90%)")
    assert (ordinary.none_of_these, ordinary.unsure, ordinary.headline) == (False, False, "cat 80%")
    for each in (novel, ordinary):
        told = WIRE.to_json(each, Detail())
        again = WIRE.from_json(told)
        assert (again.none_of_these, again.headline) == (each.none_of_these, each.headline)
        assert told["novelty"] == pytest.approx(each.novelty, abs=1e-6)
    shown = HeldLabel(Smoothing("majority"))
    assert [shown(time, each).headline for time, each in enumerate((ordinary, novel))] == [
        "cat 100%",
        "none of these (cat 100%)",
    ]
    detail = Detail(top_k=1, unsure=True, novel=True)
    assert WIRE.columns(detail)[-1] == "none_of_these" and WIRE.cells(novel, detail)[-1] == "true"
    (silent,) = classify({"probabilities": outputs["probabilities"][:1]}, [], telling, Detail())
    assert (
        silent.none_of_these is None and silent.unsure is None and "none_of_these" not in WIRE.to_json(silent, Detail())
    )
    assert WIRE.cells(silent, detail)[-2:] == ["", ""]
    with pytest.raises(ValueError, match="novel_from is 2"):
        classify(outputs, [], replace(telling, postprocessing={"novel_from": 2}), Detail())


def test_a_graph_whose_classes_are_no_product_is_refused(shared_bundle: Bundle) -> None:
    model = shared_bundle.path("model.onnx").read_bytes()
    for output, operator in (("logits", "GlobalAveragePool"), ("probabilities", "Softmax")):
        with pytest.raises(UsageError, match=f"this graph's classes come from {operator}"):
            last_features(model, output)


def test_a_bundle_without_says_how_to_add_it(shared_bundle: Bundle) -> None:
    with pytest.raises(BundleError, match=r"it keeps nothing that tells .* --none-of-these"):
        read_novelty(shared_bundle)
    assert novelty_of(shared_bundle, "model.onnx") is None
