"""A running server as what answers about images, so that it is measured as a bundle is (evaluation/answering.py)."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.bundle import Bundle
from pocketvision.bundle_manifest import Manifest
from pocketvision.client.sync_client import Client
from pocketvision.client.values import ModelState
from pocketvision.client.wanted import Wanted
from pocketvision.errors import ImageError, UsageError, unknown_name
from pocketvision.preprocessing import MAX_PIXELS, ImageSource, Placement, Preprocessing, decode_image
from pocketvision.runtime.predictor import BATCH, ImageResult
from pocketvision.tasks.catalog import Answers, task_named
from pocketvision.tasks.manifest import TaskManifest, output_names
from pocketvision.tasks.task import Detail

Outputs = dict[str, NDArray[np.float32]]

_SMALLEST_PROBABILITY = 1e-7


class ServedPredictor:
    """Answers as a Predictor does, by asking a server of ours. Of an answer there is what the wire tells: probabilities for a
    classifier's logits (their logarithms), masks that are wholly sure of themselves, no brightness, and thresholds as they are
    where a bundle says none. The answers of one task alone, since a server names the classes of one."""

    def __init__(self, url: str, *, detail: Detail, key: str | None = None, model: str | None = None) -> None:
        """url: with http:// or https://. key: see Client. model: of several that are served, by name; None is the first. Raises
        RequestFailedError where nothing answers, UsageError for a model that is not served or has several tasks."""
        self._client = Client(url, key=key)
        states = {state.name: state for state in self._client.models()}
        if model is not None and model not in states:
            raise unknown_name("model of the server", model, states)
        state = states[model] if model is not None else next(iter(states.values()))
        if len(state.tasks) != 1:
            raise UsageError(
                f"{url}: {state.name} answers {', '.join(state.tasks)}; a server is measured by one task alone. Measure its "
                "bundle instead."
            )
        self.detail, self.backend, self._model = detail, "server", state.name
        self._task, kind = next(iter(state.tasks.items()))
        self.bundle = _as_bundle(url, state, self._task, kind)
        self._labels = state.labels

    def wanting(self, detail: Detail) -> "ServedPredictor":
        """The same with another detail."""
        other = object.__new__(ServedPredictor)
        other.__dict__.update({**self.__dict__, "detail": detail})
        return other

    def answers(self, image: ImageSource, *, max_pixels: int = MAX_PIXELS) -> Answers:
        """The answers about one image by the tasks' names. Raises ImageError, RequestFailedError."""
        del max_pixels  # the server's own
        return self._client.predict(image, **self._asked()).answers

    def stream(
        self,
        sources: Iterable[ImageSource],
        *,
        batch: int = BATCH,  # noqa: ARG002 (the server makes its own)
        workers: int | None = None,  # noqa: ARG002
        max_pixels: int = MAX_PIXELS,
    ) -> Iterator[ImageResult]:
        """One ImageResult for every source, in order. Raises RequestFailedError for what is not about an image."""
        given = list(sources)
        for source, outcome in zip(given, self._client.predict_many(given, **self._asked()), strict=True):
            if isinstance(outcome.error, ImageError):
                yield ImageResult(outcome.path, error=outcome.error.reason)
            elif outcome.error is not None:
                raise outcome.error
            else:
                assert outcome.prediction is not None, "there is one or the other"
                size = decode_image(
                    source, max_pixels=max_pixels, shortest_side=32, white_level=None
                ).placement.image_size
                answer, outputs = _AS_MEASURED[self.bundle.task.kind](
                    outcome.prediction.answers[self._task], self._labels, size
                )
                named = {self.bundle.task.outputs[role]: values for role, values in outputs.items()}
                yield ImageResult(outcome.path, {self._task: answer}, named, None, None, size)

    def _asked(self) -> dict[str, Any]:
        kind = self.bundle.task.kind
        least = {"tags": 0.0, "detection": self.detail.min_score}.get(kind)
        wanted = Wanted(min_score=least, most=self.detail.most if kind in ("tags", "detection") else None)
        return {
            "top_k": max(1, len(self._labels)) if kind == "classification" else None,
            "model": self._model,
            "wanted": wanted,
        }


def _as_bundle(url: str, state: ModelState, name: str, kind: str) -> Bundle:
    """What a server tells, in the form of a bundle; its files are elsewhere."""
    roles = task_named(kind).role_names
    task = TaskManifest(kind, state.labels, output_names(name, roles, alone=True))
    pixels = Preprocessing(state.height, state.width, 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    manifest = Manifest({"name": state.architecture}, pixels, {name: task}, ())
    return Bundle(Path(f"{url.partition('://')[2].replace('/', '_')}.served"), manifest)


def _places(told: Iterable[str], labels: tuple[str, ...]) -> list[int]:
    try:
        return [labels.index(label) for label in told]
    except ValueError as error:
        raise UsageError(
            "The server answered with a class that its list of models does not name; was it reloaded?"
        ) from error


def _classification(answer: Any, labels: tuple[str, ...], size: tuple[int, int]) -> tuple[Any, Outputs]:
    del size
    shares = np.zeros(len(labels), np.float32)
    shares[_places(answer.labels, labels)] = answer.probabilities
    logits = np.log(np.maximum(shares, _SMALLEST_PROBABILITY))
    decided = labels.index(answer.label) if answer.decided is not None else None
    told = replace(answer, labels=labels, probabilities=shares, decided=decided)
    return told, {"logits": logits[None], "probabilities": shares[None]}


def _tags(answer: Any, labels: tuple[str, ...], size: tuple[int, int]) -> tuple[Any, Outputs]:
    del size
    shares = np.zeros(len(labels), np.float32)
    shares[_places(answer.labels, labels)] = answer.probabilities
    thresholds = np.full(len(labels), 0.5)
    clipped = np.clip(shares, _SMALLEST_PROBABILITY, 1 - _SMALLEST_PROBABILITY)
    return replace(answer, labels=labels, probabilities=shares, thresholds=thresholds), {
        "logits": np.log(clipped / (1 - clipped))[None],
        "probabilities": shares[None],
    }


def _number(answer: Any, labels: tuple[str, ...], size: tuple[int, int]) -> tuple[Any, Outputs]:
    del labels, size
    return answer, {"value": np.array([[answer.value]], np.float32)}


def _detection(answer: Any, labels: tuple[str, ...], size: tuple[int, int]) -> tuple[Any, Outputs]:
    places = np.array(_places(answer.labels, labels), np.int64)
    classes = places[answer.classes] if len(answer) else answer.classes
    return replace(answer, labels=labels, classes=classes, size=size), {}


def _segmentation(answer: Any, labels: tuple[str, ...], size: tuple[int, int]) -> tuple[Any, Outputs]:
    from pocketvision.tasks.segmentation.logits import Logits

    if answer.mask is None:
        raise UsageError("The server told no mask; without masks nothing can be measured.")
    sure = np.zeros((len(labels), *answer.mask.shape), np.float32)
    for place in range(len(labels)):
        sure[place][answer.mask == place] = -2 * math.log(_SMALLEST_PROBABILITY)
    shares = np.zeros(len(labels))
    shares[: len(answer.shares)] = answer.shares
    logits = Logits(sure, Placement(size, np.eye(3), size))
    return replace(answer, labels=labels, shares=shares, logits=logits), {"logits": sure[None]}


_AS_MEASURED: Mapping[str, Callable[[Any, tuple[str, ...], tuple[int, int]], tuple[Any, Outputs]]] = {
    "classification": _classification,
    "tags": _tags,
    "number": _number,
    "detection": _detection,
    "segmentation": _segmentation,
}
