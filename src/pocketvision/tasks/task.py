"""What a task is: how a graph's outputs become answers, and what is done with them. No torch.

A kind of task is a folder beside this file and a row of TASKS (catalog.py). Its modules stand in models/heads/KIND, its loss in
training/KIND.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from PIL import Image

from pocketvision.preprocessing import DecodedImage, Placement, Preprocessing
from pocketvision.tasks.manifest import TaskManifest, Tensors
from pocketvision.tasks.measuring import Measuring
from pocketvision.tasks.reporting.parts import TaskReport
from pocketvision.tasks.truth import Truth

TOLERANCE = 1e-3
"""Largest difference of a probability, or of what stands for one (Role), that runtimes may show of the same network."""


class TaskAnswer(Protocol):
    """What a model says about an image for one task."""

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


@dataclass(frozen=True)
class Detail:
    """How much of an answer a caller wants.

    top_k: classes, most probable first. min_score: of what is found, in [0, 1]; None takes what the bundle ships. most: things
    found in an image at most. masks: whether they have masks.
    """

    top_k: int = 5
    min_score: float | None = None
    most: int = 100
    masks: bool = True


@dataclass(frozen=True)
class Role:
    """An output that every head of a kind has.

    noun: one of its numbers, for messages. scale: a difference of this much means what one of 1 means for a probability, so that
    one tolerance serves all roles (for boxes, so many pixels). None: what is not compared.
    """

    name: str
    noun: str
    scale: float | None = None


Input = tuple[Image.Image, Placement]
"""Pixels of the network's size, and where the image lies in them."""


@dataclass(frozen=True)
class Views(Generic[Answer]):
    """How an image becomes several inputs, such as tiles or mirrored views, and their answers one.

    inputs: of an image, decoded in its whole size, at least one. merge: the answers to them, with their placements, in order.
    """

    inputs: Callable[[DecodedImage, Preprocessing], Sequence[Input]]
    merge: Callable[[Sequence[Answer], Sequence[Placement]], Answer]


@dataclass(frozen=True)
class Task(Generic[Answer]):
    """A kind of task.

    kind: its name in manifests and on the wire. truth: the type of what is learned from and measured against (truth.py). roles:
    what every head of the kind puts out. decode: from the outputs of N images, by role, and where each image lies in its input,
    to N answers. agree: of the network's outputs and a file's, for the same N >= 1 images. measuring: how good the answers are.
    report: its part of one, loaded when a page is made. views: None where an image is one input.
    """

    kind: str
    truth: type[Truth]
    roles: tuple[Role, ...]
    decode: Callable[[Tensors, Sequence[Placement], TaskManifest, Detail], list[Answer]]
    agree: Callable[[Tensors, Tensors], Agreement]
    measuring: Measuring[Answer, Any]
    report: Callable[[], TaskReport]
    views: Views[Answer] | None = None

    @property
    def role_names(self) -> tuple[str, ...]:
        """What the kind's heads put out, by name and in order."""
        return tuple(role.name for role in self.roles)


AnyTask = Task[Any]
