"""How far a validation flatters, on made-up features: strangers of a class are hard, another view of a known object is easy."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pocketvision.data.flattering import flattery, twins_in_training
from pocketvision.data.likely_groups import likely_groups
from pocketvision.data.samples import Samples
from pocketvision.tasks.classification.truth import CLASSIFICATION, ClassLabels


def made(objects: int = 60, views: int = 6) -> tuple[np.ndarray, Samples, np.ndarray]:
    random = np.random.default_rng(0)
    of = np.repeat(np.arange(objects), views)
    labels = (of % 4).astype(np.int32)
    features = 0.35 * random.standard_normal((4, 64))[labels] + random.standard_normal((objects, 64))[of]
    features += 0.3 * random.standard_normal((len(of), 64))
    paths = [f"{index}.png" for index in range(len(of))]
    truth = ClassLabels(labels, ("a", "b", "c", "d"))
    return features.astype(np.float32), Samples(Path("photos"), paths, {CLASSIFICATION: truth}), of


def test_a_random_split_flatters_and_one_by_groups_tells_what_new_objects_come_to() -> None:
    features, samples, _ = made()
    found = flattery(features, samples, likely_groups(features, samples.labels))
    assert found is not None
    assert found.grouped is not None
    assert found.with_twin > 0.95 * 360
    assert found.everything.value == pytest.approx(1, abs=0.02)
    assert found.grouped.value is not None
    assert found.grouped.value < 0.8
    said = found.to_dict()
    assert (said["groups"], said["grouped"]["images"]) == (60, 360)
    assert "A random split has a picture of the same group in training for 100%" in found.lines[1]
    assert "Split by these groups" in found.lines[2]


def test_given_splits_are_reported_on_as_they_are() -> None:
    """Half of the validation are further views of what is learned from, half are other objects."""
    features, samples, of = made()
    splits = np.where((of >= 54) | ((of >= 30) & (np.arange(len(of)) % 6 == 0)), 1, 0)
    given = replace(samples, splits=splits.astype(np.int8))
    groups = likely_groups(features, samples.labels)
    found = flattery(features, given, groups)
    assert found is not None
    assert found.grouped is None
    assert found.given
    assert (found.with_twin, found.everything.images, found.rest.images) == (24, 60, 36)
    assert found.everything.value is not None
    assert found.rest.value is not None
    assert found.everything.value > found.rest.value + 0.05
    assert found.lines[1].startswith("The validation given has")
    assert flattery(features, replace(samples, splits=np.zeros(len(of), np.int8)), groups) is None


def test_without_groups_one_sentence_says_so() -> None:
    features, samples, _ = made(360, 1)
    found = flattery(features, samples, likely_groups(features, samples.labels))
    assert found is not None
    assert found.with_twin == 0
    assert found.rest == found.everything
    assert found.lines == (found.groups.text,)
    assert "No likely groups" in found.lines[0]


def test_twins_are_asked_of_groups_alone() -> None:
    groups = np.array([0, 0, -1, -1, 1, 1])
    assert twins_in_training(groups, np.array([0, 2, 5]), np.array([1, 3, 4])).tolist() == [True, False, True]
