"""What is explained of each kind of answer, and that arrays and tensors give the same score."""

import numpy as np
import pytest
import torch

from pocketvision.errors import UsageError
from pocketvision.explain.choice import CHOICES, choices_in, row_of, score_of
from pocketvision.preprocessing import Placement
from pocketvision.tasks.catalog import TASKS, task_named
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.task import Detail

PLACE = Placement((8, 8), np.eye(3), (8, 8))
LABELS = ("cat", "dog", "bird")
BOXES = np.array([[[0, 0, 4, 4], [0, 0, 4, 3], [4, 4, 8, 8], [1, 0, 5, 4]]], np.float32)
SCORES = np.array([[[0.9, 0, 0], [0.5, 0, 0], [0, 0.8, 0], [0.2, 0, 0.1]]], np.float32)
MASK = np.zeros((1, 3, 2, 2), np.float32)
MASK[0, 1, :, 0], MASK[0, 2, 0, 1], MASK[0, 0, 1, 1] = 4, 3, 2

OUTPUTS: dict[str, dict[str, np.ndarray]] = {
    "classification": {
        "logits": np.array([[1, 3, 2]], np.float32),
        "probabilities": np.array([[0.1, 0.6, 0.3]], np.float32),
    },
    "tags": {"logits": np.array([[1, -3, 2]], np.float32), "probabilities": np.array([[0.7, 0.1, 0.9]], np.float32)},
    "number": {"value": np.array([[31.0]], np.float32), "standardised": np.array([[0.5]], np.float32)},
    "detection": {"boxes": BOXES, "scores": SCORES},
    "segmentation": {"logits": MASK},
}
# Of what is explained first: its place, its score, and a class that was not answered with its score.
WANTED: dict[str, tuple[int, float, str, float]] = {
    "classification": (1, 3.0, "bird", 2.0),
    "tags": (2, 2.0, "cat", 1.0),
    "number": (0, 0.5, "", 0.0),
    "detection": (0, 0.9, "dog", 0.8),
    "segmentation": (1, 4.0, "bird", 3.0),
}


def task_of(kind: str) -> TaskManifest:
    labels = () if kind == "number" else LABELS
    return TaskManifest(kind, labels, {name: name for name in OUTPUTS[kind]})


@pytest.mark.parametrize("kind", TASKS)
def test_every_kind_says_what_is_explained(kind: str) -> None:
    task, outputs = task_of(kind), OUTPUTS[kind]
    (answer,) = task_named(kind).decode(task.tensors(outputs), [PLACE], task, Detail())
    place, score, name, other = WANTED[kind]
    (choice,) = choices_in(kind, task, answer, outputs)
    assert choice.place == place
    assert score_of(task, outputs, choice) == pytest.approx([score])
    tensors = {role: torch.from_numpy(values) for role, values in outputs.items()}
    assert score_of(task, tensors, choice).tolist() == pytest.approx([score])
    if kind == "detection":
        assert choice.anchors == (0, 1, 3) and choice.box == (0, 0, 4, 4)
    if name:
        (asked,) = choices_in(kind, task, answer, outputs, class_name=name)
        assert score_of(task, outputs, asked) == pytest.approx([other])
        with pytest.raises(UsageError, match=r"Unknown class 'birt'\. Did you mean bird"):
            choices_in(kind, task, answer, outputs, class_name="birt")
    else:
        with pytest.raises(UsageError, match="A number has no classes"):
            choices_in(kind, task, answer, outputs, class_name="cat")


def test_a_picture_without_objects_has_nothing_to_explain() -> None:
    task, outputs = task_of("detection"), {"boxes": BOXES, "scores": np.zeros_like(SCORES)}
    (answer,) = task_named("detection").decode(outputs, [PLACE], task, Detail())
    assert choices_in("detection", task, answer, outputs) == []


def test_a_class_that_no_pixel_has_is_asked_about_everywhere() -> None:
    task = task_of("segmentation")
    logits = MASK.copy()
    logits[0, 0] = -1
    (answer,) = task_named("segmentation").decode({"logits": logits}, [PLACE], task, Detail())
    (choice,) = choices_in("segmentation", task, answer, {"logits": logits}, class_name="cat")
    assert choice.words.endswith("all pixels") and choice.region is not None and choice.region.all()
    assert score_of(task, {"logits": logits}, choice) == pytest.approx([-1])


def test_a_kind_from_outside_says_that_nobody_knows_how() -> None:
    assert set(CHOICES) == set(TASKS)
    with pytest.raises(UsageError, match="of the kind bright_spots can not be explained"):
        row_of("bright_spots")
