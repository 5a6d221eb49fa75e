"""Pictures explained: a map for each answer laid over a copy, and how far the maps are to be believed."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pocketvision.errors import ImageError, UsageError
from pocketvision.explain.choice import CHOICES, Choice
from pocketvision.explain.faithfulness import Faithfulness, SetFaithfulness, faithfulness
from pocketvision.explain.heat_map import Heat
from pocketvision.explain.map_pictures import drawn_map
from pocketvision.explain.methods import METHODS, MapOptions, mapped
from pocketvision.explain.picture_folder import PictureFolder
from pocketvision.explain.subject import Inputs, Subject
from pocketvision.preprocessing import MAX_PIXELS, Placement, read_image

SHOWN = 900
"""Pixels of the longer side of what is written."""


@dataclass(frozen=True)
class Asked:
    """method: of METHODS. options: see MapOptions. tasks: whose answers, None for all. class_name: of what is explained, None
    for what was answered. most: objects, tags or classes of a picture at most. checks: whether each map is checked."""

    method: str
    options: MapOptions = field(default_factory=MapOptions)
    tasks: tuple[str, ...] | None = None
    class_name: str | None = None
    most: int = 1
    checks: bool = True


@dataclass(frozen=True)
class ExplainedAnswer:
    """One map. picture: as it was given. file: of the copy, and original: of the picture beside it, in the folder; empty where
    nothing was written. words: what is explained. headline: the whole answer. error: why there is no map; None where there is
    one. note: what is to be said of the map."""

    picture: str
    task: str = ""
    words: str = ""
    headline: str = ""
    layer: str = ""
    file: str = ""
    original: str = ""
    note: str = ""
    faithfulness: Faithfulness | None = None
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        own = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "faithfulness"}
        return {**own, "faithfulness": None if self.faithfulness is None else self.faithfulness.to_dict()}


@dataclass(frozen=True)
class Explanation:
    """method: of METHODS. answers: in the pictures' order. overall: of all maps; None where none was checked. page: the HTML
    file."""

    method: str
    answers: tuple[ExplainedAnswer, ...]
    overall: SetFaithfulness | None
    page: Path | None = field(default=None)

    @property
    def failed(self) -> int:
        """Pictures that could not be read."""
        return sum(each.error is not None for each in self.answers)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "method": self.method,
            "what": METHODS[self.method].what,
            "overall": None if self.overall is None else self.overall.to_dict(),
            "text": "" if self.overall is None else self.overall.text,
            "answers": [each.to_dict() for each in self.answers],
            "page": None if self.page is None else str(self.page),
        }


class Explainer:
    """Explains one picture after another and writes copies into a folder."""

    def __init__(self, subject: Subject, asked: Asked, folder: PictureFolder) -> None:
        """Raises UsageError for a task that the bundle has not, and where none of its tasks can be explained."""
        tasks = subject.bundle.tasks
        wanted = tuple(tasks) if asked.tasks is None else asked.tasks
        self._tasks = [name for name in wanted if tasks[name].kind in CHOICES]
        if not self._tasks:
            kinds = ", ".join(f"{name} ({tasks[name].kind})" for name in wanted)
            raise UsageError(f"{kinds} can not be explained: nothing says which number stands for an answer.")
        self._subject, self._asked, self._folder = subject, asked, folder
        self._random: Subject | None = None
        self._latin = "".join(class_name for name in self._tasks for class_name in tasks[name].labels).isascii()

    def explain(self, source: Path, max_pixels: int = MAX_PIXELS) -> Iterator[ExplainedAnswer]:
        """The answers about one picture; one with an error where it can not be read."""
        try:
            read = read_image(source, max_pixels=max_pixels)
        except ImageError as error:
            yield ExplainedAnswer(str(source), error=error.reason)
            return
        preprocessing = self._subject.bundle.preprocessing
        image = preprocessing.normalise(preprocessing.pixels(read.image))[None]
        placement = preprocessing.placement(read.placement)
        outputs = self._subject.run(image)
        answers = self._subject.answers(outputs, placement)
        small = read.image.copy()
        small.thumbnail((SHOWN, SHOWN))
        original = self._folder.save(f"{source.stem}-picture", np.asarray(small))
        for name in self._tasks:
            headline = answers[name].headline
            choices = self._subject.choices(
                name, outputs, placement, class_name=self._asked.class_name, most=self._asked.most
            )
            if not choices:
                said = "nothing was found, so there is nothing to explain"
                yield ExplainedAnswer(str(source), name, headline=headline, original=original, note=said)
            for choice in choices:
                yield self._explained(source, choice, headline, image, read.image, placement, original)

    def _explained(
        self,
        source: Path,
        choice: Choice,
        headline: str,
        image: Inputs,
        picture: Image.Image,
        placement: Placement,
        original: str,
    ) -> ExplainedAnswer:
        asked = self._asked
        heat = mapped(asked.method, self._subject, image, choice, asked.options)
        note = (
            "" if not heat.is_flat else "No place speaks for it." if heat.is_number else "The model answers no number."
        )
        checked = None
        if asked.checks and not heat.is_flat:
            checked = faithfulness(self._subject, image, choice, heat.values, lambda: self._at_random(image, choice))
        drawn = Image.fromarray(drawn_map(np.asarray(picture), heat, placement, latin=self._latin, box=choice.box))
        drawn.thumbnail((SHOWN, SHOWN))
        file = self._folder.save(source.stem, np.asarray(drawn))
        return ExplainedAnswer(
            str(source), choice.task, choice.words, headline, heat.layer, file, original, note, checked
        )

    def _at_random(self, image: Inputs, choice: Choice) -> Heat:
        """The map of the same network with random weights."""
        if self._random is None:
            self._random = self._subject.with_random_weights()
        return mapped(self._asked.method, self._random, image, choice, self._asked.options).values


def explained(
    explainer: Explainer, sources: Iterable[Path], asked: Asked, on_done: Callable[[int], None] = lambda _done: None
) -> Explanation:
    """All of the pictures. on_done: called with how many are done."""
    answers: list[ExplainedAnswer] = []
    for done, source in enumerate(sources, 1):
        answers += explainer.explain(source)
        on_done(done)
    checked = [each.faithfulness for each in answers if each.faithfulness is not None]
    return Explanation(asked.method, tuple(answers), SetFaithfulness.of(checked) if checked else None)
