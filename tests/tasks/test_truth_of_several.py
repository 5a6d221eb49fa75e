"""Truth of several tasks: aligned to other images, matched to tasks by name or kind, shared out together."""

import numpy as np
import pytest

from pocketvision.errors import UsageError
from pocketvision.tasks.catalog import is_kind, kind_of
from pocketvision.tasks.classification.truth import ClassLabels
from pocketvision.tasks.comparing import fitted_truth
from pocketvision.tasks.detection.truth import BoxLabels
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.number.truth import NumberLabels
from pocketvision.tasks.ragged import Ragged
from pocketvision.tasks.segmentation.truth import MaskLabels
from pocketvision.tasks.tags.truth import TagLabels
from pocketvision.tasks.truth import Truth, together
from pocketvision.training.learned_tasks import learned_of

COLOURS = ClassLabels(np.array([1, 0, -1], np.int32), ("blue", "red"))
KINDS: dict[str, Truth] = {
    "classification": COLOURS,
    "tags": TagLabels.of([[0], [], [0, 1]], ("x", "y")),
    "number": NumberLabels(np.array([1.5, -2.0, 0.0]), "years"),
    "detection": BoxLabels.of([([[0, 0, 2, 2], [1, 1, 3, 3]], [0, 1]), ([], []), ([[4, 4, 6, 7]], [1])], ("x", "y")),
    "segmentation": MaskLabels.of_arrays([np.full((4, 6), value, np.uint8) for value in (0, 1, 255)], ("x", "y")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_truth_is_aligned_to_other_images(kind: str) -> None:
    truth = KINDS[kind]
    found = truth.aligned(np.array([2, -1, 0, 0, -1]))
    assert type(found) is type(truth) and len(found) == 5 and found.class_names == truth.class_names
    assert found.present.tolist() == [bool(truth.present[2]), False, True, True, False]
    assert [found.said(row) for row in range(5)] == [truth.said(2), b"", truth.said(0), truth.said(0), b""]
    assert len(truth.aligned(np.array([-1, -1]))) == 2 and not truth.aligned(np.array([-1])).present.any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_is_of_the_kind_of_its_name_or_of_its_truth(kind: str) -> None:
    assert is_kind(kind) and not is_kind("colour")
    assert kind_of("anything", KINDS[kind]) == kind
    assert kind_of("tags", KINDS[kind]) == "tags", "whoever reads it says that the truth does not fit"


def named(**kinds: str) -> dict[str, TaskManifest]:
    return {name: TaskManifest(kind, ("blue", "red"), {}) for name, kind in kinds.items()}


def test_truth_is_matched_by_name_and_else_by_kind_where_there_is_one_of_each() -> None:
    truth: dict[str, Truth] = {"classification": COLOURS}
    assert fitted_truth(named(colour="classification"), truth, "data")["colour"].class_names == ("blue", "red")
    assert set(fitted_truth(named(colour="classification", number="number"), truth, "data")) == {"colour"}
    assert fitted_truth(named(colour="classification", shape="classification"), truth, "data") == {}
    two: dict[str, Truth] = {"one": COLOURS, "other": COLOURS}
    assert fitted_truth(named(colour="classification"), two, "data") == {}
    assert set(fitted_truth(named(one="classification"), two, "data")) == {"one"}


def test_strata_of_several_tasks_are_of_one_image_each_with_numbers_of_its_own() -> None:
    boxes = Ragged(np.array([0, 2, 2, 3]), {"stratum": np.array([0, 1, 1])})
    found = together([np.array([2, 0, 1]), boxes, np.array([0, 0, 1])])
    assert [sorted(found.row(image)["stratum"].tolist()) for image in range(3)] == [[2, 3, 4, 5], [0, 5], [1, 4, 6]]


def test_what_a_bundle_answers_already_is_not_learned() -> None:
    truth: dict[str, Truth] = {"colour": COLOURS, "number": KINDS["number"]}
    assert set(learned_of(truth)) == {"colour", "number"}
    assert set(learned_of(truth, None, ("number",))) == {"colour"}
    assert set(learned_of(truth, "classification")) == {"colour"} == set(learned_of(truth, "colour"))
    with pytest.raises(UsageError, match=r"answers colour, number already.*another name"):
        learned_of(truth, None, ("colour", "number"))
