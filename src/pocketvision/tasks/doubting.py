"""Whether what people said of images is right, judged by a model's answers: a task's half of it. No torch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from pocketvision.tasks.manifest import TaskManifest, Tensors
from pocketvision.tasks.truth import Truth


class Doubt(Protocol):
    """Something that a person said, or left out, and that may be wrong."""

    @property
    def image(self) -> int:
        """Its place among the images that were judged."""

    @property
    def kind(self) -> str:
        """One of Doubting.kinds."""

    @property
    def doubt(self) -> float:
        """In [0, 1]: the greater, the likelier it is wrong."""

    @property
    def likely(self) -> bool:
        """Whether it is worth a person's look."""

    @property
    def text(self) -> str:
        """What is doubted and why, in a few words: "RBC, rather WBC 91 %"."""


Answer = TypeVar("Answer")
Evidence = TypeVar("Evidence")


@dataclass(frozen=True)
class Doubting(Generic[Answer, Evidence]):
    """kinds: with what each means, in a sentence. look: what is kept of one image with truth, from its outputs by role and its
    answer (in the detail MEASURED). judge: of the images' evidence, the likely errors first, then the greatest doubts first.
    lines: what was found, in sentences. columns, cells: of a table; those of one doubt, None of one that has no row. whole:
    whether the table holds all that was said, so that it can be read as data, an image without anything as a row of its
    own. mending: what a person does with the table, in a sentence. picture: a doubt on the part of the image that it is about, as
    a data URI; None where the image can not be read any more. legend: what is drawn there, in a sentence."""

    kinds: dict[str, str]
    look: Callable[[Tensors, Answer, Truth, TaskManifest], Evidence]
    judge: Callable[[Sequence[Evidence], TaskManifest], Sequence[Any]]
    lines: Callable[[Sequence[Any], Sequence[Evidence]], tuple[str, ...]]
    columns: tuple[str, ...]
    cells: Callable[[Any], list[object] | None]
    whole: bool
    mending: str
    picture: Callable[[Path, Any], str | None]
    legend: str
