"""What a server answers, as values with the API's names."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pocketvision.errors import PocketVisionError, UsageError
from pocketvision.tasks.catalog import Answers
from pocketvision.tasks.classification.answer import Classification
from pocketvision.tasks.manifest import DECIDING
from pocketvision.tasks.wire import answers_from_json

CLASSIFICATION_ALONE = {"classification": "classification"}
"""The tasks of servers that know of no other (0.1)."""


@dataclass(frozen=True)
class ClassProbability:
    """A class with its probability, in [0, 1]."""

    label: str
    probability: float


@dataclass(frozen=True)
class ImageTimings:
    """Milliseconds on the server. decode_ms: decoding and cropping; queue_ms: waiting for a thread, and for its batch;
    inference_ms: the batch's run of the network. batch: how many images ran together. answer_ms: of inference_ms, what making
    each task's answer took. total_ms: from when it was asked to its last answer, None of older servers. Of several models the
    longest of each; parts: each model's own, by its name. then: of the one that looked again; things: at how many."""

    decode_ms: float
    queue_ms: float
    inference_ms: float
    batch: int
    answer_ms: Mapping[str, float] = field(default_factory=dict)
    total_ms: float | None = None
    parts: Mapping[str, "ImageTimings"] = field(default_factory=dict)
    then: "ImageTimings | None" = None
    things: int | None = None


@dataclass(frozen=True)
class ModelName:
    """Which model answered. version: 12 hexadecimal digits of its manifest's SHA-256."""

    name: str
    version: str


@dataclass(frozen=True)
class TaskProblem:
    """Why a task has no answer: HTTP's status, a name for programs and a sentence for people."""

    status: int
    kind: str
    detail: str


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a server says about an image. answers: by the tasks' names, each as its kind has them (a Classification …), with what
    was asked for; an UnknownAnswer where its kind is not installed here. problems: of those that are missing, by the same names.
    model: the first of models. request_id: the server's log has it. attempts: how often the image was sent."""

    answers: Answers
    timings: ImageTimings
    model: ModelName
    request_id: str
    attempts: int = 1
    problems: Mapping[str, TaskProblem] = field(default_factory=dict)
    models: tuple[ModelName, ...] = ()

    @property
    def label(self) -> str:
        """The class that is answered, where a classification is the only answer. UsageError elsewhere: see `answers`."""
        return self._classification.label

    @property
    def probability(self) -> float:
        """Of that class, in [0, 1]."""
        return self._classification.probability

    @property
    def unsure(self) -> bool | None:
        """Whether the answer is not to be relied on; None where the bundle says nothing of that."""
        return self._classification.unsure

    @property
    def top(self) -> tuple[ClassProbability, ...]:
        """The most probable classes, descending; `label` is the first where no thresholds decided, and is always there."""
        answer = self._classification
        return tuple(ClassProbability(*each) for each in answer.top(len(answer.labels)))

    @property
    def _classification(self) -> Classification:
        first = next(iter(self.answers.values()), None)
        if len(self.answers) != 1 or not isinstance(first, Classification):
            raise UsageError(
                f"the model answers {', '.join(self.answers) or 'nothing'}: take what you want of `answers`"
            )
        return first


@dataclass(frozen=True)
class ModelFigure:
    """How good a model is on one set of images. set: `test` (untouched by the training) or `selection` (it chose the epoch).
    value: of what `name` says, from 0 to 1; interval: that of 95 %, None where there is none. text: all of it in words."""

    set: str
    name: str
    value: float
    interval: tuple[float, float] | None
    images: int
    text: str


@dataclass(frozen=True)
class ModelState:
    """A model that is served. height, width: of its input in pixels; loaded_at: seconds since 1970. headline: how good it is, on
    which images; figures: the same in parts, the most telling set first. Both are empty where its bundle has none. tasks: the
    kinds of what it answers, by the tasks' names. says_unsure: whether its answers tell that."""

    name: str
    version: str
    labels: tuple[str, ...]
    architecture: str
    height: int
    width: int
    loaded_at: float
    headline: str = ""
    figures: tuple[ModelFigure, ...] = ()
    tasks: Mapping[str, str] = field(default_factory=lambda: dict(CLASSIFICATION_ALONE))
    says_unsure: bool = False


@dataclass(frozen=True)
class ReloadState:
    """What became of a reload: `outcome` as the server says it, the version that serves now, and why when it failed."""

    name: str
    outcome: str
    version: str
    reason: str


@dataclass(frozen=True)
class Outcome:
    """One image of many: its path (empty for what came without one), and either its prediction or its error.

    The error is an ImageError for a file that can not be read here, and a RequestFailedError for what became of a
    request.
    """

    path: str
    prediction: Prediction | None
    error: PocketVisionError | None


# From JSON. KeyError, TypeError, ValueError, IndexError and OverflowError say that it has another shape; new members are
# passed over. ------------------------------------------------------------------------------------------------------------


def prediction_from(document: Mapping[str, Any], attempts: int) -> Prediction:
    """The one prediction of an answer to one image."""
    predicted = document["predictions"][0]
    told = {name: {"kind": kind, **predicted} for name, kind in CLASSIFICATION_ALONE.items()}
    return Prediction(
        answers=answers_from_json(predicted.get("answers", told)),
        timings=_timings(predicted["timings"]),
        model=_model(document["model"]),
        request_id=_text(document["request_id"]),
        attempts=attempts,
        problems={name: _problem(each) for name, each in predicted.get("problems", {}).items()},
        models=tuple(map(_model, document.get("models", [document["model"]]))),
    )


def _model(document: Mapping[str, Any]) -> ModelName:
    return ModelName(_text(document["name"]), _text(document["version"]))


def _problem(document: Mapping[str, Any]) -> TaskProblem:
    kind = _text(document["type"]).rpartition(":")[2]
    return TaskProblem(int(document["status"]), kind, _text(document["detail"]))


def _timings(document: Mapping[str, Any]) -> ImageTimings:
    total, then, things = (document.get(name) for name in ("total_ms", "then", "things"))
    return ImageTimings(
        _number(document["decode_ms"]),
        _number(document["queue_ms"]),
        _number(document["inference_ms"]),
        int(document["batch"]),
        {name: _number(each) for name, each in document.get("answer_ms", {}).items()},
        None if total is None else _number(total),
        {name: _timings(each) for name, each in document.get("parts", {}).items()},
        None if then is None else _timings(then),
        None if things is None else int(things),
    )


def models_from(document: Mapping[str, Any], _attempts: int) -> tuple[ModelState, ...]:
    """The models of a list."""
    return tuple(
        ModelState(
            name=_text(each["name"]),
            version=_text(each["version"]),
            labels=tuple(map(_text, each["labels"])),
            architecture=_text(each["architecture"]),
            height=int(each["height"]),
            width=int(each["width"]),
            loaded_at=_number(each["loaded_at"]),
            headline=_text(each.get("headline", "")),  # servers of 0.1 have no figures
            figures=tuple(map(_figure, each.get("figures", ()))),
            tasks={name: _text(task["kind"]) for name, task in each["tasks"].items()}
            if "tasks" in each
            else dict(CLASSIFICATION_ALONE),
            says_unsure=any(name in task for task in each.get("tasks", {}).values() for name in DECIDING),
        )
        for each in document["models"]
    )


def reloads_from(document: Mapping[str, Any], _attempts: int) -> tuple[ReloadState, ...]:
    """What became of every version of a name."""
    return tuple(
        ReloadState(_text(each["name"]), _text(each["outcome"]), _text(each["version"]), _text(each["reason"]))
        for each in document["reloads"]
    )


def status_from(document: Mapping[str, Any], _attempts: int) -> str:
    """How the server is, in a word."""
    return _text(document["status"])


def _figure(document: Mapping[str, Any]) -> ModelFigure:
    interval = document["interval"]
    return ModelFigure(
        set=_text(document["set"]),
        name=_text(document["name"]),
        value=_number(document["value"]),
        interval=None if interval is None else (_number(interval[0]), _number(interval[1])),
        images=int(document["images"]),
        text=_text(document["text"]),
    )


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} where a number is expected")
    return number


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where a text is expected")
    return value
