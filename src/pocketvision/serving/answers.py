"""The shapes of answers, for the API's description."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, Field

from pocketvision.serving.served_model import ServedModel
from pocketvision.tasks.catalog import task_named
from pocketvision.tasks.manifest import deciding
from pocketvision.tasks.wire import schema_of

METRICS = ("images", "accuracy", "balanced_accuracy", "macro_f1", "top5_accuracy")


class ModelName(BaseModel):
    """Which model answered."""

    name: str
    version: str = Field(description="The first 12 hexadecimal digits of its manifest's SHA-256.")


class ClassProbability(BaseModel):
    """A class with its probability."""

    label: str
    probability: float


class PartTimings(BaseModel):
    """Milliseconds that a model took for an image."""

    queue_ms: float = Field(description="Waiting for a thread, and for its batch; of several models the longest.")
    decode_ms: float = Field(description="Decoding and cropping; of several models decoding, and of each its cropping.")
    inference_ms: float = Field(description="The batch's run of the network; of several models the longest.")
    batch: int = Field(description="How many images ran together; of several models the most.")
    answer_ms: dict[str, float] | None = Field(
        default=None, description="Of inference_ms, what making each task's answer of the network's outputs took."
    )


class ThenTimings(PartTimings):
    """Of the model that looked again at what was found."""

    things: int = Field(description="How many it looked at.")


class ImageTimings(PartTimings):
    """Milliseconds that an image took."""

    total_ms: float | None = Field(default=None, description="From when it was asked to its last answer.")
    parts: dict[str, PartTimings] | None = Field(default=None, description="Of several models, by their names.")
    then: ThenTimings | None = None


class ProblemDocument(BaseModel):
    """An error, as RFC 9457 describes it."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    error: str


class TaskMap(BaseModel):
    """Where an answer is seen."""

    class_: str = Field(alias="class", description="What is shown, as in `cat 97%`.")
    layer: str = Field(description="Of the network, whose map it is.")
    box: tuple[float, float, float, float] = Field(
        description="Left, top, right and bottom of the map in pixels of the upright image."
    )
    values: list[list[float]] = Field(description="Rows of numbers from 0 to 1, the hottest 1.")


class ImagePrediction(BaseModel):
    """An image's answers by the tasks' names, or the problem that one image of several had. label, probability and top are those
    of the answer where it is a classification and the only one. problems: of tasks, by the names of the answers that are
    missing."""

    label: str | None = None
    probability: float | None = None
    top: list[ClassProbability] | None = None
    answers: dict[str, Any] | None = None
    problems: dict[str, ProblemDocument] | None = None
    timings: ImageTimings | None = None
    problem: ProblemDocument | None = None
    maps: dict[str, TaskMap] | None = Field(default=None, description="By task, where `map` was asked for.")


class LiveStreamState(BaseModel):
    """A live stream."""

    name: str
    since: str = Field(description="When it began, ISO 8601 in UTC.")
    age_seconds: float = Field(description="Since its last frame.")
    fps: float = Field(description="Frames a second, over the last five.")
    frames: int = Field(description="So far.")
    viewers: int
    publishing: bool = Field(description="Whether its publisher is connected.")


class LiveList(BaseModel):
    """The live streams, and whether this server takes any."""

    enabled: bool
    streams: list[LiveStreamState]


class PredictionAnswer(BaseModel):
    """The answer to images, one prediction for each, in their order."""

    model: ModelName
    models: list[ModelName] | None = Field(default=None, description="All of them, where several were asked for.")
    predictions: list[ImagePrediction]
    request_id: str


class ModelFigure(BaseModel):
    """How good a model is on one set of images."""

    set: str = Field(description="`test`: untouched by the training; `selection`: it chose the epoch.")
    name: str
    value: float = Field(description="From 0 to 1.")
    interval: tuple[float, float] | None = Field(description="Of 95 %.")
    images: int
    left_out: int = Field(description="Images of the set that were learned from, and are not in the figure.")
    before_compression: bool
    text: str


class TaskState(BaseModel):
    """A task of a model. page: the address, below the server's, of a JavaScript module that shows its answers. finds: whether it
    finds things, which `then` may look at. in_pixels: whether its answers are about places of the image."""

    kind: str
    labels: list[str]
    page: str | None = None
    finds: bool
    in_pixels: bool
    maps: bool = Field(description="Whether `map` can be asked for.")


class ModelState(BaseModel):
    """A model that is served. labels: of its first classification, else of its first task."""

    name: str
    version: str
    labels: list[str]
    tasks: dict[str, TaskState]
    architecture: str
    height: int
    width: int
    loaded_at: float = Field(description="Seconds since 1970.")
    metrics: dict[str, float | str] = Field(description="Measured figures of its manifest; empty where it has none.")
    headline: str = Field(description="How good it is, on which images: the test split's figure where there is one.")
    figures: list[ModelFigure] = Field(description="The headline's figure in parts, for each set of images measured.")
    bytes: int = Field(description="Size of the file that answers.")


class ModelList(BaseModel):
    """The models that are served; the first one's last version answers when no model is named."""

    models: list[ModelState]


class ReloadState(BaseModel):
    """What became of a reload."""

    name: str
    outcome: str
    version: str
    reason: str


class ReloadList(BaseModel):
    """One state for each version of the name."""

    reloads: list[ReloadState]


class Health(BaseModel):
    """How the server is."""

    status: str


def with_answers(description: dict[str, Any], kinds: Iterable[str]) -> dict[str, Any]:
    """An OpenAPI description that says how each kind of task answers."""
    members = description["components"]["schemas"][ImagePrediction.__name__]["properties"]
    members["answers"] = {
        "type": "object",
        "description": "By the tasks' names.",
        "additionalProperties": {"anyOf": [schema_of(kind) for kind in kinds]},
    }
    return description


def model_state(model: ServedModel) -> dict[str, Any]:
    """A ModelState."""
    preprocessing = model.bundle.preprocessing
    return {
        "name": model.name,
        "version": model.version,
        "labels": list(model.labels),
        "tasks": {
            name: {
                "kind": task.kind,
                "labels": list(task.labels),
                "page": page_address(task.kind),
                "finds": task_named(task.kind).places is not None,
                "in_pixels": task_named(task.kind).in_pixels,
                "maps": name in model.maps,
                **deciding(task),
            }
            for name, task in model.tasks.items()
        },
        "architecture": str(model.bundle.manifest.architecture.get("name", "")),
        "height": preprocessing.height,
        "width": preprocessing.width,
        "loaded_at": model.loaded,
        "metrics": _measured(model.bundle.measured),
        "headline": model.bundle.headline,
        "figures": [figure.to_dict() for figure in model.bundle.figures],
        "bytes": model.bytes,
    }


def page_address(kind: str) -> str | None:
    """Where the page finds the module of a kind, below the server's address."""
    return None if task_named(kind).page is None else f"page/tasks/{kind}.js"


def _measured(metrics: Mapping[str, Any]) -> dict[str, float | str]:
    """The headline metrics of a model."""
    texts = {"set": str(metrics["name"])} if metrics.get("name") else {}
    numbers = {name: metrics.get(name) for name in METRICS}
    return texts | {
        name: value for name, value in numbers.items() if isinstance(value, int | float) and math.isfinite(value)
    }
