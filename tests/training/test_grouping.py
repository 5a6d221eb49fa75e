"""Splits by likely groups: drawn by them where the evidence is strong, said, and given up where they can not be kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pocketvision.data.likely_groups import LikelyGroups
from pocketvision.data.samples import Samples
from pocketvision.errors import WeightsError
from pocketvision.progress import Event, Note
from pocketvision.tasks.classification.truth import CLASSIFICATION, ClassLabels
from pocketvision.tasks.number.truth import NumberLabels
from pocketvision.training import grouping
from pocketvision.training.data_settings import DataSettings
from pocketvision.training.grouping import kept_together, search_groups
from pocketvision.training.run_log import RunLog

Heard = tuple[RunLog, list[str]]


@pytest.fixture
def heard(tmp_path: Path) -> Heard:
    notes: list[str] = []

    def hear(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(event.text)

    return RunLog(tmp_path / "log.jsonl", hear), notes


def samples_of(labels: NDArray[np.int64]) -> Samples:
    truth = ClassLabels(labels.astype(np.int32), ("a", "b"))
    return Samples(Path("photos"), [f"{index}.png" for index in range(len(labels))], {CLASSIFICATION: truth})


def test_groups_and_duplicates_are_kept_together_and_that_is_said(heard: Heard) -> None:
    log, notes = heard
    samples = samples_of(np.arange(40) % 2)
    likely = LikelyGroups(np.repeat(np.arange(10), 4), ("made up",))
    clusters = np.arange(40)
    clusters[39] = 0  # a duplicate across two groups ties them
    joined = kept_together(clusters, likely, samples, DataSettings(), 0, log)
    assert len(np.unique(joined)) == 9
    assert joined[0] == joined[39] == joined[36]
    assert "10 groups" in notes[0]
    assert "--group none splits at random" in notes[0]


def test_groups_that_leave_a_class_in_one_split_are_given_up_with_its_name(heard: Heard) -> None:
    log, notes = heard
    samples = samples_of(np.repeat([0, 1], 20))
    likely = LikelyGroups(np.where(np.arange(40) < 20, np.arange(40) // 4, 9), ("made up",))
    clusters = np.arange(40)
    joined = kept_together(clusters, likely, samples, DataSettings(), 0, log)
    assert np.array_equal(joined, clusters)
    assert "Class 'b' can not be split" in notes[0]
    assert "flatters" in notes[0]


def test_nobody_looks_at_few_pictures_or_where_groups_are_given(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    log, notes = heard

    def missing(*_: object, **__: object) -> None:
        raise WeightsError("no weights here")

    monkeypatch.setattr(grouping, "frozen_features", missing)
    few = samples_of(np.arange(40) % 2)
    many = samples_of(np.arange(200) % 2)
    assert search_groups(few, workers=0, max_pixels=10, log=log) is None
    assert search_groups(replace(many, groups=np.arange(200)), workers=0, max_pixels=10, log=log) is None
    assert notes == []
    numbers = replace(many, truth={"number": NumberLabels(np.arange(200.0))})
    assert search_groups(numbers, workers=0, max_pixels=10, log=log) is None
    assert "these pictures are in none. --group takes" in notes.pop()
    assert search_groups(many, workers=0, max_pixels=10, log=log) is None
    assert notes == ["Likely groups were not searched: no weights here"]
    monkeypatch.setattr(grouping, "MOST", 199)
    assert search_groups(many, workers=0, max_pixels=10, log=log) is None
    assert "not searched: 200 images are more than 199. `pocketvision check --groups`" in notes[1]


def test_given_splits_stay_and_their_training_part_is_drawn_by_groups(heard: Heard) -> None:
    log, notes = heard
    likely = LikelyGroups(np.repeat(np.arange(10), 4), ("made up",))
    given = replace(samples_of(np.arange(40) % 2), splits=(np.arange(40) >= 30).astype(np.int8))
    clusters = np.arange(40)
    assert np.array_equal(kept_together(clusters, likely, given, DataSettings(), 0, log), clusters)
    assert "The splits given stay as they are." in notes[0]
    without = replace(given, splits=2 * (np.arange(40) >= 32).astype(np.int8))
    assert len(np.unique(kept_together(clusters, likely, without, DataSettings(), 0, log))) == 10
