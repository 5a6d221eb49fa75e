"""What a task is: how a graph's outputs become answers, and what is done with them. No torch.

A kind of task is a folder beside this file and a row of TASKS (catalog.py). Its modules stand in models/heads/KIND, its loss in
training/KIND.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import UsageError
from pocketvision.preprocessing import Placement
from pocketvision.tasks.canvas import Canvas
from pocketvision.tasks.manifest import TaskManifest, Tensors
from pocketvision.tasks.truth import Truth

if TYPE_CHECKING:  # what only predicts does not load them
    from pocketvision.tasks.doubting import Doubting
    from pocketvision.tasks.measuring import Measuring
    from pocketvision.tasks.reporting.parts import TaskReport
    from pocketvision.tasks.turning import View

TOLERANCE = 1e-3
"""Largest difference of a probability, or of what stands for one (Role), that runtimes may show of the same network."""


class TaskAnswer(Protocol):
    """What a model says about an image for one task."""

    @property
    def kind(self) -> str:
        """The kind of task, a row of TASKS."""

    @property
    def confidence(self) -> float | None:
        """How sure it is, in [0, 1]; None where there is nothing to be sure of, such as a picture without objects."""

    @property
    def headline(self) -> str:
        """The answer in a few words: "cat 97 %", "2 cracks, 1 stain"."""


class Agreement(Protocol):
    """How far an exported file's outputs are from the network's on the same images."""

    def to_dict(self) -> dict[str, float]:
        """The figures that a bundle's manifest keeps for the file."""

    def require(self, exported: str, names: Sequence[str] | None = None) -> None:
        """Raise AgreementError, saying which images, when they are too far apart. exported: the file, for the message; names:
        the images', else their indices are given."""


Answer = TypeVar("Answer", bound=TaskAnswer)
Answer_co = TypeVar("Answer_co", bound=TaskAnswer, covariant=True)


MASK_FORMS = ("rle", "png", "polygons")
"""How masks are told: runs of pixels, a PNG, or polygons along the pixels' edges."""


@dataclass(frozen=True)
class Detail:
    """How much of an answer a caller wants.

    top_k: classes, most probable first; UsageError below 1. min_score: of what is found, in [0, 1]; None takes what the bundle
    ships. most: things found in an image at most. masks: whether they have masks. mask_form: how those are told, one of
    MASK_FORMS. unsure, sets, novel: whether tables tell which answers are unsure, which classes an image may be of, and whether
    it is none of them: where the bundle does (catalog.tell_unsure). tasks: whose answers are wanted, by name; None for all.
    by_task: of tasks that want another detail than this one; `of` finds it. looked: whether tables have a column for what was
    said of each thing that was looked at again (second_look.py). map: whether it is told where a class is seen, of a bundle whose
    file says (explain/shipped_map.py).
    """

    top_k: int = 5
    min_score: float | None = None
    most: int = 100
    masks: bool = True
    mask_form: str = "rle"
    unsure: bool = False
    sets: bool = False
    novel: bool = False
    tasks: tuple[str, ...] | None = None
    by_task: Mapping[str, "Detail"] = field(default_factory=dict, hash=False)
    looked: bool = False
    map: bool = False

    def of(self, task: str) -> "Detail":
        """What is wanted of a task, by its name."""
        own = self.by_task.get(task)
        return replace(
            own or self,
            by_task={},
            tasks=None,
            unsure=self.unsure,
            sets=self.sets,
            novel=self.novel,
            looked=self.looked,
            map=self.map,
        )

    def wants(self, task: str) -> bool:
        """Whether a task's answer is wanted."""
        return self.tasks is None or task in self.tasks

    def __post_init__(self) -> None:
        if self.top_k < 1:
            raise UsageError(f"top_k is {self.top_k}; expected at least 1")


@dataclass(frozen=True)
class Role:
    """An output that every head of a kind has.

    noun: one of its numbers, for messages. scale: a difference of this much means what one of 1 means for a probability, so that
    one tolerance serves all roles (for boxes, so many pixels). None: what is not compared.
    """

    name: str
    noun: str
    scale: float | None = None


Box = tuple[int, int, int, int]
"""Left, top, right, bottom in whole pixels."""


@dataclass(frozen=True)
class ViewOptions:
    """What a caller asks of how large pictures are looked at; None leaves what the bundle keeps. tile: pixels of the image that a
    tile shows each way, 0 for the whole image at once. scales: how much larger than usual the image is looked at, each once."""

    tile: int | None = None
    scales: tuple[float, ...] | None = None

    def __bool__(self) -> bool:
        return self.tile is not None or self.scales is not None


class Merging(Protocol[Answer_co]):
    """On the way from an image's several inputs to one answer: holds what is not final yet, never all of it."""

    def add(self, tensors: Tensors, placement: Placement) -> None:
        """What the next input put out, by role, a batch of one."""

    def answer(self) -> Answer_co:
        """Of the whole image, once all inputs were added."""
        ...


@dataclass(frozen=True)
class Views(Generic[Answer]):
    """How an image becomes several inputs, such as tiles, and what they put out one answer.

    several: whether a task's images do, by what its bundle keeps. windows: parts of an image of that size (width, height), at
    least one, each of which becomes an input as an image does (preprocessing). merging: of the inputs' placements, in order.
    asked: the task, looked at as a caller asks. Raises UsageError for what has no sense.
    """

    several: Callable[[TaskManifest], bool]
    windows: Callable[[tuple[int, int], TaskManifest], Sequence[Box]]
    merging: Callable[[Sequence[Placement], TaskManifest, Detail], Merging[Answer]]
    asked: Callable[[TaskManifest, ViewOptions], TaskManifest] | None = None


@dataclass(frozen=True)
class Alone(Generic[Answer]):
    """What stands beside `answers` where a task of the kind is a bundle's only one: names that were there before `answers`.

    prediction: over HTTP and WebSockets, of the answer's JSON form. line: in JSON Lines, of None where there is an error.
    smoothed: in a stream's JSON Lines, of the answer that is shown, None where there is none yet.
    """

    prediction: Callable[[Mapping[str, Any]], dict[str, Any]]
    line: Callable[[Answer | None, Detail], dict[str, Any]]
    smoothed: Callable[[Answer | None], dict[str, Any]]


@dataclass(frozen=True)
class AnswerFile(Generic[Answer]):
    """An answer as a file of its own. write: its content; None of one that has nothing to be written. suffix: with its dot."""

    suffix: str
    write: Callable[[Answer], bytes | None]


@dataclass(frozen=True)
class Places(Generic[Answer]):
    """Of kinds that find things: where they are, so that each can be cut out and looked at again (second_look.py).

    boxes: (k, 4) left, top, right, bottom in pixels of the upright image. names: the class of each. looked: what was said of
    each, by the names of the tasks that looked, None for one that was not looked at; None where nobody looked. with_looked: the
    answer with that. member: of the JSON form, a list with an object for each thing, which is told what was said as its `then`.
    """

    member: str
    boxes: Callable[[Answer], NDArray[np.float64]]
    names: Callable[[Answer], Sequence[str]]
    looked: Callable[[Answer], "Looked | None"]
    with_looked: Callable[[Answer, "Looked"], Answer]


Looked = tuple[Mapping[str, Any] | None, ...]
"""For each thing of an answer the answers about it alone by the tasks' names, or None."""


@dataclass(frozen=True)
class Wire(Generic[Answer]):
    """How an answer is told to others: in one JSON form over HTTP, WebSockets, in JSON Lines and to the client, and as cells.

    to_json: the form's members, plain values, besides `kind` and `headline`, which every kind has. from_json: the way back, as
    far as the form tells; KeyError, TypeError, ValueError and OverflowError say that a document has another shape.
    schema: a JSON schema of those members, with `properties` and `required`. columns: of a table; the first says most, and a
    change of it is a change worth telling. cells: a text or number for each; of numbers the writer chooses the decimals. parts:
    what has a row of its own in files of rows where the task is alone, such as objects; none where there is nothing. file: None
    where an answer is no file.
    """

    to_json: Callable[[Answer, Detail], dict[str, Any]]
    from_json: Callable[[Mapping[str, Any]], Answer]
    schema: Mapping[str, Any]
    columns: Callable[[Detail], list[str]]
    cells: Callable[[Answer, Detail], list[object]]
    alone: Alone[Answer] | None = None
    parts: Callable[[Answer, Detail], Sequence[Answer]] | None = None
    file: AnswerFile[Answer] | None = None


@dataclass(frozen=True)
class Smoothing:
    """kind: `majority` or `ema`. seconds: what a majority remembers, or a moving average's time constant. hysteresis: how much
    higher a class has to score than the shown one to take its place, in [0, 1]. line: from x, y to x, y, in pixels of the frame:
    what crosses it is counted, where a kind follows things."""

    kind: str
    seconds: float = 0.5
    hysteresis: float = 0.1
    line: tuple[float, float, float, float] | None = None


class Tracker(Protocol[Answer]):
    """Follows what is seen over a stream's frames."""

    def __call__(self, time: float, answer: Answer) -> Answer:
        """What is shown at `time` (seconds, never going back), from a frame's answer and those before it."""
        ...


@dataclass(frozen=True)
class Task(Generic[Answer]):
    """A kind of task.

    kind: its name in manifests and on the wire. truth: the type of what is learned from and measured against (truth.py). roles:
    what every head of the kind puts out. decode: from the outputs of N images, by role, and where each image lies in its input,
    to N answers. agree: of the network's outputs and a file's, for the same N >= 1 images. measuring: how good the answers are;
    report: its part of one; both loaded when they are asked for. wire: how answers are told. draw: an answer onto a picture.
    tracker: smooths a stream's answers, with UsageError for a smoothing it does not know; None shows each frame's own. page: the
    file of a JavaScript module that shows an answer in a browser (serving/page/page.js says how); None shows its headline. views:
    None where an image is one input. follows: whether its tracker follows things, so that those that cross Smoothing.line are
    counted. has_classes: whether its answers are in terms of classes, which a bundle then names. places: of kinds that find
    things. in_pixels: whether an answer is about places of the image. check: raises ValueError for what a bundle may not say of
    such a task, such as thresholds of classes that it has not. ordered: the second run's
    outputs in the first's order, of kinds whose networks may choose what they put where. averaged: loads
    what makes one answer of several views of an image, of kinds whose answers are about places; of others the outputs' mean is
    decoded. doubting: loads what finds errors in the truth; None of kinds whose labels are judged without a model that answers
    (training/label_problems.py), or not at all."""

    kind: str
    truth: type[Truth]
    roles: tuple[Role, ...]
    decode: Callable[[Tensors, Sequence[Placement], TaskManifest, Detail], list[Answer]]
    agree: Callable[[Tensors, Tensors], Agreement]
    measuring: "Callable[[], Measuring[Answer, Any]]"
    report: "Callable[[], TaskReport]"
    wire: Wire[Answer]
    draw: Callable[[Canvas, Answer], None]
    tracker: Callable[[Smoothing], Tracker[Answer]] | None = None
    page: Path | None = None
    views: Views[Answer] | None = None
    follows: bool = False
    has_classes: bool = True
    places: Places[Answer] | None = None
    in_pixels: bool = False
    check: Callable[[TaskManifest], object] | None = None
    ordered: Callable[[Tensors, Tensors], Tensors] | None = None
    averaged: "Callable[[], Callable[[Sequence[View], TaskManifest, Detail], Answer]] | None" = None
    doubting: "Callable[[], Doubting[Answer, Any]] | None" = None

    @property
    def role_names(self) -> tuple[str, ...]:
        """What the kind's heads put out, by name and in order."""
        return tuple(role.name for role in self.roles)


AnyTask = Task[Any]
