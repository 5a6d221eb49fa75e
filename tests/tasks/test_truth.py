"""Truth by task: selected, named otherwise, and sometimes missing; samples with several kinds of it."""

from pathlib import Path

import numpy as np
import pytest
from bright_spots.truth import Points, points

from pocketvision.data.samples import Samples
from pocketvision.data.small_classes import without_small_classes
from pocketvision.data.splits import make_split
from pocketvision.errors import UsageError
from pocketvision.preprocessing import Placement
from pocketvision.tasks.classification.truth import ClassLabels, class_truth
from pocketvision.tasks.truth import Truth

LABELS = ClassLabels(np.array([2, 0, -1, 2], np.int32), ("ant", "bee", "cow"))


def test_class_labels() -> None:
    assert LABELS.present.tolist() == [True, True, False, True]
    assert LABELS.class_counts().tolist() == [1, 0, 2]
    assert [LABELS.said(index) for index in range(4)] == [b"cow", b"ant", b"", b"cow"]
    assert LABELS.select(np.array([2, 0])).labels.tolist() == [-1, 2]
    assert LABELS.strata.tolist() == [2, 0, 3, 2]


def test_class_labels_by_other_names() -> None:
    other = LABELS.in_classes(("cow", "dog", "ant"))  # bee has no image
    assert other.labels.tolist() == [0, 2, -1, 0] and other.labels.dtype == np.int32
    assert LABELS.in_classes(LABELS.class_names) is LABELS
    with pytest.raises(UsageError, match=r"class \(2 images\) 'cow'"):
        LABELS.in_classes(("ant", "bee"))


def test_truth_goes_into_an_input() -> None:
    half = Placement((200, 100), np.diag([0.5, 0.5, 1.0]), (100, 50))
    assert LABELS.through(3, half).labels.tolist() == [2] and not LABELS.through(2, half).present.any()
    spots = points(0, 3, 1).through(1, half)
    assert len(spots) == 1 and spots.rows.columns["xy"].tolist() == [[1.5, 1.5]] * 3
    assert len(points(0, 3, 1).through(0, half).rows.columns["xy"]) == 0


def samples(**truth: Truth) -> Samples:
    return Samples(Path("data"), ["a.png", "b.png", "c.png", "d.png"], truth)


def test_samples_have_the_truth_of_several_tasks() -> None:
    both = samples(spots=points(0, 3, 1, -1), classification=LABELS)
    assert both.class_names == ("ant", "bee", "cow") and both.class_counts().tolist() == [1, 0, 2]
    assert [both.class_name(index) for index in range(4)] == ["cow", "ant", "", "cow"]
    chosen = both.select(np.array([False, True, False, True]))
    assert list(chosen.paths) == ["b.png", "d.png"] and chosen.labels.tolist() == [0, 2]
    spots = chosen.truth["spots"]
    assert isinstance(spots, Points) and spots.rows.lengths.tolist() == [3, 0]
    assert spots.present.tolist() == [True, False]
    assert len({both.said(index) for index in range(4)}) == 4
    assert both.in_classes(("cow", "ant")).truth["spots"] is both.truth["spots"]


def test_images_without_a_class_are_in_none_that_is_too_small() -> None:
    labels = ClassLabels(np.array([0, 0, 1, -1, 2, 2], np.int32), ("ant", "bee", "cow"))
    kept = without_small_classes(Samples(Path("data"), list("abcdef"), {"classification": labels}), 2)
    assert kept.class_names == ("ant", "cow") and list(kept.paths) == list("abdef")
    assert kept.labels.tolist() == [0, 0, -1, 1, 1]


def test_samples_without_classes() -> None:
    spots = samples(spots=points(0, 3, 1, -1))
    assert spots.classes is None and spots.class_names == () and spots.class_name(0) == ""
    assert spots.class_counts().tolist() == [] and spots.strata.tolist() == [0, 1, 1, 0]
    with pytest.raises(UsageError, match="data: it has the truth of spots, and no class for each image"):
        _ = spots.labels
    with pytest.raises(UsageError, match="counts pictures of classes"):
        without_small_classes(spots, 2)


def test_what_has_no_class_need_not_be_in_every_split() -> None:
    labels = ClassLabels(np.array([0, 0, 1, 1, -1], np.int32), ("ant", "bee"))
    split = make_split(labels.strata, val_share=0.4, class_names=labels.class_names)
    assert sorted(split[:2].tolist()) == sorted(split[2:4].tolist()) == [0, 1]
    with pytest.raises(UsageError, match="Class 'ant' can not be split"):
        make_split(LABELS.strata, class_names=("ant", "bee", "cow"))


def test_truth_that_does_not_fit_the_samples() -> None:
    with pytest.raises(ValueError, match="spots: the truth of 3 images for 4"):
        samples(spots=points(0, 3, 1))
    for labels in ([0, 2], [-2, 0]):
        with pytest.raises(ValueError, match="expected -1 to 1"):
            ClassLabels(np.array(labels, np.int32), ("a", "b"))
    with pytest.raises(ValueError, match="no truth of any task"):
        samples()
    assert class_truth(np.array([1, 0]), ["a", "b"])["classification"].said(0) == b"b"
