"""Teachers answer a student's views in its own terms; what they can not teach is refused with both sides named."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pocketvision.bundle import Bundle
from pocketvision.errors import UsageError
from pocketvision.tasks.classification.truth import CLASSIFICATION, ClassLabels
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.number.truth import NumberLabels
from pocketvision.training.distillation import Taught
from pocketvision.training.inputs import Row
from pocketvision.training.learned_tasks import objective_of
from pocketvision.training.learners import LEARNERS
from pocketvision.training.teachers import Teacher, Teaching, kept, teachers_of


def classes(*names: str) -> dict[str, ClassLabels]:
    return {CLASSIFICATION: ClassLabels(np.arange(len(names), dtype=np.int32), names)}


def named(bundle: Bundle, *labels: str, task: str = CLASSIFICATION) -> Bundle:
    """The bundle with other classes."""
    own = replace(bundle.task, labels=labels)
    return replace(bundle, manifest=replace(bundle.manifest, tasks={task: own}))


def test_classes_are_mapped_by_name_or_refused_with_both_lists(tiny_bundle: Bundle) -> None:
    (teacher,) = teachers_of([named(tiny_bundle, "red", "blue", "green")], classes("green", "red"))
    assert teacher.answered[CLASSIFICATION].places.tolist() == [2, 0]
    with pytest.raises(
        UsageError, match=r"does not know 'cat'. It knows 'red', 'blue'; what is learned here is 'red', 'cat'"
    ):
        teachers_of([named(tiny_bundle, "red", "blue")], classes("red", "cat"))
    (other,) = teachers_of([named(tiny_bundle, "red", "blue", task="colours")], classes("blue", "red"))
    assert other.answered[CLASSIFICATION].name == "colours"
    with pytest.raises(UsageError, match=r"answers classification; what is learned here is number"):
        teachers_of([tiny_bundle], {"number": NumberLabels(np.array([1.0, 2.0]))})


def test_boxes_have_one_teacher() -> None:
    assert [kind for kind, row in LEARNERS.items() if not row.mean] == ["detection"]
    assert all(row.taught is not None for row in LEARNERS.values())


TASK = TaskManifest(CLASSIFICATION, ("red", "blue", "green"), {"logits": "logits"}, postprocessing={"temperature": 2.0})


class Said:
    """In the place of cached inputs: the same answers to whatever rows."""

    def __init__(self, values: Sequence[Sequence[float]]) -> None:
        self.values = torch.tensor(values)

    def batches(self, names: Sequence[str], batches: Sequence[Sequence[Row]]) -> Iterator[dict[str, torch.Tensor]]:
        for rows in batches:
            yield {name: self.values[: len(rows)] for name in names}


def test_several_teachers_are_their_mean_each_at_its_own_temperature(tiny_bundle: Bundle) -> None:
    bundle = replace(tiny_bundle, manifest=replace(tiny_bundle.manifest, tasks={CLASSIFICATION: TASK}))
    truth = classes("green", "red")
    teachers = teachers_of([bundle, bundle], truth)
    said = [Said([[2.0, 0.0, 4.0]]), Said([[6.0, 0.0, 0.0]])]
    taught = Taught(objective_of(truth), {CLASSIFICATION: CLASSIFICATION})
    (found,) = Teaching(taught, teachers, said).batches([[(0, 0)]])  # type: ignore[arg-type]
    assert found[CLASSIFICATION]["logits"].tolist() == [[1.0, 2.0]]
    scaled = replace(TASK, postprocessing={"temperature": 2.0, "scales": [1.0, 1.0, 3.0], "offsets": [0.5, 0.0, 0.0]})
    bundle = replace(tiny_bundle, manifest=replace(tiny_bundle.manifest, tasks={CLASSIFICATION: scaled}))
    (found,) = Teaching(taught, teachers_of([bundle], truth), said[:1]).batches([[(0, 0)]])  # type: ignore[arg-type]
    assert found[CLASSIFICATION]["logits"].tolist() == [[6.0, 1.5]]


@pytest.mark.parametrize(
    ("kind", "said", "postprocessing", "learner", "wanted"),
    [
        ("tags", {"logits": [[1.0, -1.0]]}, {"scales": [2.0, 1.0], "offsets": [0.0, 0.5]}, None, {"logits": [[-0.5, 2.0]]}),
        ("number", {"value": [[30.0]]}, {"unit": "years"}, SimpleNamespace(unit="years", centre=20.0, spread=5.0),
         {"standardised": [[2.0]]}),
        ("segmentation", {"logits": [[[[1.0]], [[2.0]]]]}, {}, None, {"logits": [[[[2.0]], [[1.0]]]]}),
        ("detection", {"boxes": [[[1.0, 2, 3, 4]]], "scores": [[[0.1, 0.9]]]}, {}, None,
         {"boxes": [[[1.0, 2, 3, 4]]], "scores": [[[0.9, 0.1]]]}),
    ],
)  # fmt: skip
def test_answers_come_in_the_learners_terms(
    kind: str,
    said: dict[str, list[object]],
    postprocessing: dict[str, object],
    learner: object,
    wanted: dict[str, object],
) -> None:
    taught = LEARNERS[kind].taught
    assert taught is not None
    outputs = {role: torch.tensor(values) for role, values in said.items()}
    task = TaskManifest(kind, ("one", "two"), {}, postprocessing=postprocessing)
    found = taught(outputs, task, torch.tensor([1, 0]), learner)
    assert set(found) == set(wanted)
    for role, values in wanted.items():
        torch.testing.assert_close(found[role], torch.tensor(values))


def test_numbers_of_another_unit_teach_nothing() -> None:
    taught = LEARNERS["number"].taught
    assert taught is not None
    task = TaskManifest("number", (), {}, postprocessing={"unit": "months"})
    with pytest.raises(UsageError, match="in months, that of the data in years"):
        taught({"value": torch.ones(1, 1)}, task, torch.zeros(0), SimpleNamespace(unit="years", centre=0.0, spread=1.0))


def test_a_run_goes_on_with_the_teachers_it_began_with(tiny_bundle: Bundle, tmp_path: Path) -> None:
    teachers = [Teacher(tiny_bundle, {})]
    kept(tmp_path, teachers)
    kept(tmp_path, teachers)
    other = replace(
        tiny_bundle, manifest=replace(tiny_bundle.manifest, preprocessing=tiny_bundle.preprocessing.with_size(96))
    )
    with pytest.raises(UsageError, match="is not what it was when"):
        kept(tmp_path, [Teacher(other, {})])
    kept(tmp_path / "nothing", [])
    assert not (tmp_path / "nothing").exists()
