"""Likely groups on made-up features, whose groups are known; the figures on pictures are in benchmarks/grouped_split.py."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pocketvision.data import likely_groups as module
from pocketvision.data.likely_groups import FEWEST, likely_groups

Made = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]
CLASSES = 6


def bursts(objects: int = 60, views: int = 6, *, spread: float = 0.35, seed: int = 0) -> Made:
    """Features (n, 64), labels and true objects: each class has a middle, each object one near it, each view one near that."""
    random = np.random.default_rng(seed)
    middles, own = random.standard_normal((CLASSES, 64)), random.standard_normal((objects, 64))
    of = np.repeat(np.arange(objects), views)
    labels = of % CLASSES
    noise = random.standard_normal((len(of), 64))
    return (2 * middles[labels] + own[of] + spread * noise).astype(np.float32), labels, of


def strangers(count: int = 400) -> Made:
    return bursts(count, 1)


def apart(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """The share of pictures whose group holds another object, or not all of theirs."""
    return float(np.mean([not np.array_equal(found == found[i], truth == truth[i]) for i in range(len(truth))]))


def test_views_of_one_object_are_found_by_likeness_alone_in_any_order() -> None:
    features, labels, of = bursts()
    shuffled = np.random.default_rng(1).permutation(len(of))
    found = likely_groups(features[shuffled], labels[shuffled])
    assert found.count == 60
    assert found.limit is not None
    assert apart(found.of, of[shuffled]) < 0.02
    assert "360 of 360 images likely belong to 60 groups" in found.text


def test_once_there_is_evidence_less_alike_views_are_linked_too() -> None:
    features, labels, of = bursts(120, 8, spread=1.2)
    found = likely_groups(features, labels)
    (evidence,) = found.why
    assert "67% have a picture of their class nearer than chance allows" in evidence
    assert found.images > 0.9 * len(of)
    clusters, kept = found.of[found.of >= 0], of[found.of >= 0]
    most = sum(np.bincount(kept[clusters == each]).max() for each in np.unique(clusters))
    assert most > 0.9 * len(kept)


def test_strangers_are_left_by_themselves_whatever_their_order() -> None:
    features, labels, _ = strangers()
    for order in (np.arange(len(labels)), np.argsort(labels, kind="stable")):
        found = likely_groups(features, labels, {"path": order})
        assert (found.of == -1).all()
        assert not found.why
        assert found.count == 0
        assert abs(found.likeness["path"]) < 0.05


def test_a_few_bursts_among_strangers_are_no_strong_evidence() -> None:
    one, of_one, _ = strangers(500)
    some, of_some, _ = bursts(12, 4, seed=2)
    assert not likely_groups(np.concatenate([one, some]), np.concatenate([of_one, of_some])).why


def test_a_class_whose_pictures_blend_into_each_other_has_no_groups() -> None:
    """A row of slowly changing pictures a class, each very near to the next: single linkage would make one heap of it."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(CLASSES), 100)
    turns = random.uniform(0, 1, len(labels)) * 2 * np.pi
    planes = random.standard_normal((CLASSES, 2, 64)) / 8
    features = np.cos(turns)[:, None] * planes[labels, 0] + np.sin(turns)[:, None] * planes[labels, 1]
    features += 3 * random.standard_normal((CLASSES, 64))[labels] + 0.01 * random.standard_normal((len(labels), 64))
    found = likely_groups(features.astype(np.float32), labels)
    assert found.limit is None
    assert (found.of == -1).all()


def in_order(people: int = 40, *, own: float = 1.2) -> Made:
    """Each person shows a picture of every class, and they come one after the other: too unlike to be found by likeness."""
    random = np.random.default_rng(3)
    of = np.repeat(np.arange(people), CLASSES)
    labels = np.tile(np.arange(CLASSES), people)
    persons, middles = random.standard_normal((people, 64)), random.standard_normal((CLASSES, 64))
    noise = random.standard_normal((len(of), 64))
    return (3 * middles[labels] + own * persons[of] + noise).astype(np.float32), labels, of


def test_people_who_came_one_after_the_other_are_found_by_the_order() -> None:
    features, labels, of = in_order()
    found = likely_groups(
        features, labels, {"path": np.argsort(labels, kind="stable"), "file name": np.arange(len(of))}
    )
    assert found.order == "file name"
    assert found.likeness["file name"] > 0.3
    assert "neighbours by file name are alike" in found.text
    parted = np.mean([len(np.unique(found.of[of == person])) > 1 for person in range(40)])
    assert parted < 0.05
    assert found.count > 30


def test_an_order_by_chance_tells_nothing_and_likeness_needs_other_classes() -> None:
    features, labels, _ = in_order()
    chance = np.random.default_rng(5).permutation(len(labels))
    assert not likely_groups(features, labels, {"file name": chance}).why
    burst, _, _ = bursts()
    assert not likely_groups(burst, None).why
    assert likely_groups(burst, None, {"path": np.arange(len(burst))}).order == "path"


def test_pictures_of_no_class_are_in_no_comparison_and_few_are_not_searched() -> None:
    features, labels, _ = bursts()
    without = labels.copy()
    without[::4] = -1
    found = likely_groups(features, without)
    assert (found.of[without == -1] == -1).all()
    assert (found.of[without >= 0] >= 0).mean() > 0.95
    assert not likely_groups(features[: FEWEST - 1], labels[: FEWEST - 1]).why


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The similarities are never an n x n matrix, and where the blocks are cut is not seen."""
    features, labels, _ = bursts()
    whole = likely_groups(features, labels)
    monkeypatch.setattr(module, "_BLOCK", 28 * 60)
    assert np.array_equal(likely_groups(features, labels).of, whole.of)


def test_equal_pictures_and_features_of_nothing_are_borne() -> None:
    labels = np.arange(120) % 3
    for features in (np.zeros((120, 8), np.float32), np.ones((120, 8), np.float32)):
        found = likely_groups(features, labels, {"path": np.arange(120)})
        assert not found.why
