from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pocketvision.bundle import Bundle
from pocketvision.client import answering
from pocketvision.client.answering import _AS_MEASURED, ServedPredictor
from pocketvision.client.values import ModelState
from pocketvision.data.samples import Samples
from pocketvision.errors import UsageError
from pocketvision.evaluation.evaluate import evaluate_predictor
from pocketvision.runtime.predictor import Predictor
from pocketvision.tasks.classification.truth import class_truth
from pocketvision.tasks.comparing import MEASURED
from pocketvision.tasks.detection.answer import Detections
from pocketvision.tasks.segmentation.answer import Segmentation
from pocketvision.tasks.tags.answer import Tags
from pocketvision.tasks.task import Detail
from pocketvision.tasks.wire import answers_from_json, answers_to_json


@pytest.fixture
def served(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of the bundle, as its wire tells answers, without a socket."""
    predictor = Predictor(tiny_bundle)

    class Told:
        def __init__(self, url: str, **_: object) -> None:
            assert url.startswith("http")

        def models(self) -> tuple[ModelState, ...]:
            state = ModelState("tiny", "0", tiny_bundle.labels, "channel_means", 16, 16, 0.0)
            return state, ModelState("both", "0", (), "x", 16, 16, 0.0, tasks={"a": "tags", "b": "number"})

        def predict_many(self, images: Iterable[Path], *, top_k: int, **_: object) -> Iterator[Any]:
            for image in images:
                told = answers_to_json(predictor.answers(image), Detail(top_k=top_k))
                prediction = SimpleNamespace(answers=answers_from_json(told))
                yield SimpleNamespace(path=str(image), prediction=prediction, error=None)

    monkeypatch.setattr(answering, "Client", Told)


@pytest.mark.usefixtures("served")
def test_a_server_is_scored_as_its_bundle_is(tiny_bundle: Bundle, photos: Path) -> None:
    files = sorted(photos.glob("*/*.png"))[:9]
    labels = np.arange(9, dtype=np.int32) % 3
    samples = Samples(
        photos, [str(file.relative_to(photos)) for file in files], class_truth(labels, tiny_bundle.labels)
    )
    served, local = ServedPredictor("http://host", detail=MEASURED), Predictor(tiny_bundle, detail=MEASURED)
    one, other = (evaluate_predictor(each, samples).metrics.to_dict() for each in (served, local))
    for name in ("accuracy", "log_loss", "brier", "roc_auc", "matthews"):
        assert one[name] == pytest.approx(other[name], abs=1e-5), name


@pytest.mark.usefixtures("served")
def test_a_model_of_several_tasks_or_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="one task alone"):
        ServedPredictor("http://host", detail=MEASURED, model="both")
    with pytest.raises(UsageError, match="tiny"):
        ServedPredictor("http://host", detail=MEASURED, model="tin")


def test_what_the_wire_left_out_is_put_back() -> None:
    labels = ("ant", "bee", "cow")
    tags, outputs = _AS_MEASURED["tags"](Tags(("cow",), np.array([0.9]), np.array([0.0])), labels, (4, 2))
    assert tags.labels == labels and outputs["probabilities"][0] == pytest.approx([0, 0, 0.9])
    told = Detections(("cow", "ant"), np.array([[0.0, 0, 2, 2], [1, 1, 3, 2]]), np.array([0.9, 0.5]), np.array([0, 1]))
    found, _ = _AS_MEASURED["detection"](told, labels, (4, 2))
    assert found.labels == labels and found.classes.tolist() == [2, 0] and found.size == (4, 2)
    mask = np.array([[0, 0, 2, 2], [0, 0, 2, 255]], np.uint8)
    masked, outputs = _AS_MEASURED["segmentation"](
        Segmentation(labels, (4, 2), np.array([0.5, 0, 0.4]), mask), labels, (4, 2)
    )
    assert (masked.logits.classes(np.zeros(3, np.float32))[mask < 255] == mask[mask < 255]).all()
    with pytest.raises(UsageError, match="does not name"):
        _AS_MEASURED["tags"](Tags(("owl",), np.array([0.9]), np.array([0.0])), labels, (4, 2))
