import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from weakref import WeakSet

import numpy as np
import pytest
from bright_spots.truth import points
from numpy.typing import NDArray

from pocketvision.data.samples import Samples
from pocketvision.errors import PocketVisionError, UsageError
from pocketvision.evaluation.evaluate import evaluate_predictor
from pocketvision.runtime.predictor import ImageResult, Predictor
from pocketvision.tasks.classification.answer import Classification
from pocketvision.tasks.classification.decode import softmax
from pocketvision.tasks.classification.task import classifying
from pocketvision.tasks.classification.truth import ClassLabels, class_truth
from pocketvision.tasks.number.truth import NumberLabels
from pocketvision.tasks.truth import Truth

LABELS = ("ant", "bee", "cow")
TEMPERATURE = 2.0


class Scripted:
    """A predictor whose logits are written in the file's name, `<logit>_<logit>_<logit>.png`; `broken` has none."""

    labels = LABELS
    bundle = SimpleNamespace(tasks=classifying(LABELS, TEMPERATURE))

    def stream(self, sources: Iterable[Path], **_: object) -> Iterator[ImageResult]:
        for path in sources:
            if path.stem == "broken":
                yield ImageResult(str(path), error="the file is truncated")
                continue
            logits: NDArray[np.float32] = np.array([float(part) for part in path.stem.split("_")], np.float32)
            outputs = {"logits": logits[None], "probabilities": softmax(logits[None], TEMPERATURE)}
            yield ImageResult(
                str(path), {"classification": Classification(LABELS, outputs["probabilities"][0])}, outputs
            )


PREDICTOR = cast(Predictor, Scripted())


def samples(*images: tuple[str, str], class_names: tuple[str, ...] = LABELS) -> Samples:
    """Samples of (label, logits) pairs."""
    labels = np.array([class_names.index(label) for label, _ in images], np.int32)
    paths = [f"{label}/{name}.png" for label, name in images]
    return Samples(Path("data"), paths, class_truth(labels, class_names))


def test_classes_are_matched_by_name() -> None:
    data = samples(("bee", "0_5_0"), ("cow", "0_0_5"), ("cow", "0_4_0"), class_names=("bee", "cow"))
    found = evaluate_predictor(PREDICTOR, data)
    assert found.class_names == LABELS
    assert found.labels.tolist() == [1, 2, 2]
    assert found.metrics.accuracy == pytest.approx(2 / 3)
    assert found.metrics.per_class[0].recall is None
    assert found.metrics.per_class[1].recall == 1.0


def test_an_unknown_class_is_named_unless_it_has_no_images() -> None:
    with pytest.raises(UsageError, match=r"1 image in data.*'beer'.*bee"):
        evaluate_predictor(PREDICTOR, samples(("beer", "0_5_0"), class_names=("ant", "beer")))
    empty = samples(("ant", "5_0_0"), class_names=("ant", "zebra"))
    assert evaluate_predictor(PREDICTOR, empty).metrics.accuracy == 1.0


def test_unreadable_images_are_listed_and_left_out() -> None:
    progress: list[tuple[int, int]] = []
    data = samples(("ant", "5_0_0"), ("bee", "broken"), ("cow", "0_0_5"))
    found = evaluate_predictor(PREDICTOR, data, on_progress=lambda done, total: progress.append((done, total)))
    assert found.metrics.images == 2 and found.metrics.accuracy == 1.0
    assert [(image.path, image.reason) for image in found.unreadable] == [("bee/broken.png", "the file is truncated")]
    assert found.to_dict()["unreadable_count"] == 1
    assert progress == [(1, 3), (2, 3), (3, 3)]
    with pytest.raises(PocketVisionError, match="of 1 image none can be read"):
        evaluate_predictor(PREDICTOR, samples(("bee", "broken")))
    with pytest.raises(PocketVisionError, match="no images"):
        evaluate_predictor(PREDICTOR, samples())


def test_answers_that_are_no_numbers_end_it_and_name_the_image() -> None:
    data = samples(("ant", "5_0_0"), ("bee", "0_nan_0"), ("cow", "0_0_nan"))
    with pytest.raises(PocketVisionError, match=r"data: of 2 images .*bee/0_nan_0\.png \(1 of 3 numbers of 'logits'\)"):
        evaluate_predictor(PREDICTOR, data)


def test_the_most_confident_mistake_comes_first() -> None:
    data = samples(("ant", "0_1_0"), ("ant", "0_9_0"), ("bee", "0_3_0"), ("cow", "4_0_0"))
    found = evaluate_predictor(PREDICTOR, data)
    assert [mistake.path for mistake in found.mistakes] == ["ant/0_9_0.png", "cow/4_0_0.png", "ant/0_1_0.png"]
    first = found.mistakes[0]
    assert (first.true, first.predicted) == ("ant", "bee")
    assert first.probability == pytest.approx(float(softmax(np.array([[0.0, 9.0, 0.0]]), TEMPERATURE)[0, 1]))
    assert first.true_probability < first.probability


def test_a_selection_is_flagged_and_its_calibration_cross_fitted() -> None:
    data = samples(
        *[(LABELS[index % 3], "_".join("5" if i == index % 3 else "0" for i in range(3))) for index in range(12)]
    )
    selection = evaluate_predictor(PREDICTOR, data, name="validation", role="selection")
    untouched = evaluate_predictor(PREDICTOR, data, role="test")
    assert selection.calibration.cross_fitted and not untouched.calibration.cross_fitted
    assert selection.calibration.temperature == TEMPERATURE
    assert selection.to_dict()["selection"] is True


def test_the_json_has_the_promised_keys_and_no_nan() -> None:
    found = evaluate_predictor(PREDICTOR, samples(("ant", "5_0_0"), ("ant", "0_1_0")))
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert {"accuracy", "f1", "per_class", "confusion_matrix", "intervals", "calibration", "mistakes"} <= set(values)
    assert values["per_class"]["cow"]["recall"] is None
    assert values["confusion_matrix"] == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert "mistakes" not in found.summary() and found.summary()["accuracy"] == 0.5


class TwoTasks(Scripted):
    """The same answers for two tasks."""

    bundle = SimpleNamespace(
        tasks={
            name: replace(task, outputs={role: f"{name}.{role}" for role in task.outputs})
            for name in ("animal", "pet")
            for task in classifying(LABELS, TEMPERATURE).values()
        }
    )
    alive: "WeakSet[ImageResult]"

    def stream(self, sources: Iterable[Path], **options: object) -> Iterator[ImageResult]:
        self.alive = WeakSet()
        for row in super().stream(sources, **options):
            if row.error is None:
                answers = dict.fromkeys(self.bundle.tasks, row.prediction)
                outputs = {f"{name}.{role}": values for name in answers for role, values in row.outputs.items()}
                row = ImageResult(row.path, answers, outputs, brightness=0.5)
            self.alive.add(row)
            yield row
            assert len(self.alive) <= 2, "nothing of an image stays but its records"


def of_two_tasks() -> Samples:
    """Four images; of the last nobody said which pet it is, of the first which animal."""
    paths = ["0_1_0.png", "0_5_0.png", "0_0_5.png", "5_0_0.png"]
    truth: dict[str, Truth] = {
        "animal": ClassLabels(np.array([-1, 1, 0, 0], np.int32), LABELS),
        "pet": ClassLabels(np.array([0, 0, 1, -1], np.int32), ("bee", "cow")),
    }
    return Samples(Path("data"), paths, truth)


def test_every_task_is_measured_on_the_images_that_have_its_truth() -> None:
    found = evaluate_predictor(cast(Predictor, TwoTasks()), of_two_tasks(), role="test")
    animal, pet = found.tasks["animal"], found.tasks["pet"]
    assert (animal.paths, pet.paths) == (found.paths[1:], found.paths[:3])
    assert (animal.metrics.headline.value, pet.metrics.headline.value) == (2 / 3, 1.0)
    assert [each.path for each in animal.mistakes] == ["0_0_5.png"] and pet.mistakes == ()
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert values["images"] == 4 and {name: each["images"] for name, each in values["tasks"].items()} == {
        "animal": 3,
        "pet": 3,
    }
    assert found.summary("animal")["accuracy"] == 2 / 3 and found.summary("pet")["accuracy"] == 1.0
    assert {name: each.images for name, each in found.baseline("test").items()} == {
        "animal.confidence": 4,
        "pet.confidence": 4,
        "brightness": 4,
    }


def test_a_task_without_any_truth_is_left_out() -> None:
    one = replace(of_two_tasks(), truth={"pet": of_two_tasks().truth["pet"]}).select([0, 1, 2])
    assert list(evaluate_predictor(cast(Predictor, TwoTasks()), one).tasks) == ["pet"]
    other = replace(one, truth={"age": NumberLabels(np.array([1.0, 2.0, 3.0]))})
    with pytest.raises(UsageError, match="says nothing of its images for classification; it is of age"):
        evaluate_predictor(PREDICTOR, other)


def test_truth_of_another_kind_is_refused() -> None:
    spots = Samples(Path("data"), ["0_1_0.png"], {"classification": points(2)})
    with pytest.raises(
        UsageError, match=r"data: .* classification is Points; .* classification is measured by ClassLabels"
    ):
        evaluate_predictor(PREDICTOR, spots)
