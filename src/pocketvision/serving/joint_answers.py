"""One picture, several models: decoded once, asked side by side, and what they found looked at again."""

import asyncio
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TypeVar

from pocketvision.errors import PocketVisionError
from pocketvision.runtime.second_look import looked_at, things_in
from pocketvision.serving.batching import ClosedError
from pocketvision.serving.models import ServedModels
from pocketvision.serving.question import Part, Question, named
from pocketvision.serving.served_model import Cutouts, PartOfPicture, ServedPrediction
from pocketvision.serving.settings import ServerSettings
from pocketvision.serving.shared_picture import PictureMemory, SharedPicture
from pocketvision.tasks.catalog import Answers, task_named

Value = TypeVar("Value")


@dataclass(eq=False)
class JointPrediction:
    """answers, errors: by the answers' names, each in one of the two; of a second look that failed the error is called
    `ANSWER.then`. parts: what became of each model, by the name it was asked by; None where it failed. then: of the model that
    looked again, with how many things it looked at. decoding: seconds."""

    answers: Answers = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)
    parts: dict[str, ServedPrediction | None] = field(default_factory=dict)
    then: ServedPrediction | None = None
    decoding: float = 0.0


async def joint_prediction(
    models: ServedModels,
    question: Question,
    content: bytes,
    settings: ServerSettings,
    memory: PictureMemory,
    deadline: float,
) -> JointPrediction:
    """The answers of a question's models about an image file. An error of one part stands beside the others' answers; raises the
    first part's where all failed."""
    picture = SharedPicture(
        content,
        [part.model.reading(part.detail) for part in question.parts],
        max_pixels=settings.max_pixels,
        formats=settings.formats,
        keep=memory if question.then is not None else None,
    )
    with closing(picture):
        outcomes = await asyncio.gather(
            *(
                _ask(models, part, PartOfPicture(picture, place), content, deadline)
                for place, part in enumerate(question.parts)
            ),
            return_exceptions=True,
        )
        joint = JointPrediction()
        for part, outcome in zip(question.parts, outcomes, strict=True):
            _add(joint, part, outcome)
        joint.decoding = picture.seconds
        if joint.errors and not joint.answers:
            raise next(iter(joint.errors.values()))
        if question.then is not None:
            await _look_again(joint, models, question, picture, deadline)
    return joint


async def _ask(
    models: ServedModels, part: Part, source: PartOfPicture, content: bytes, deadline: float
) -> ServedPrediction | Exception:
    try:
        (outcome,) = await part.model.predict([source], part.detail, deadline=deadline)
    except (
        ClosedError
    ):  # a new version took its place since it was looked up: that one reads the picture by its own rules
        model = named(models, part.name)
        if model is part.model or model.tasks.keys() != part.model.tasks.keys():
            raise
        (outcome,) = await model.predict([content], part.detail, deadline=deadline)
    return outcome


def _add(joint: JointPrediction, part: Part, outcome: ServedPrediction | BaseException) -> None:
    if not isinstance(outcome, ServedPrediction):
        if not isinstance(outcome, Exception):
            raise outcome
        joint.parts[part.name] = None
        joint.errors |= dict.fromkeys(part.called.values(), outcome)
        return
    joint.parts[part.name] = outcome
    joint.answers |= renamed(outcome.answers, part.called)
    joint.errors |= renamed(outcome.errors, part.called)


def renamed(by_task: Mapping[str, Value], called: Mapping[str, str]) -> dict[str, Value]:
    """What is known by the tasks' names, by their answers'."""
    return {called[task]: value for task, value in by_task.items()}


async def _look_again(
    joint: JointPrediction, models: ServedModels, question: Question, picture: SharedPicture, deadline: float
) -> None:
    """Ask the second model about what was found, as one image of many pictures."""
    things = things_in(joint.answers, question.look)
    said: list[Answers] = []
    if things:
        try:
            model = named(models, question.then or "")
            detail = replace(question.detail, tasks=None, by_task={})
            (outcome,) = await model.predict([Cutouts(picture, tuple(things))], detail, deadline=deadline)
            if isinstance(outcome, Exception):
                raise outcome
        except (PocketVisionError, ValueError) as error:
            finding = (name for name, each in joint.answers.items() if task_named(each.kind).places is not None)
            joint.errors |= {f"{name}.then": error for name in finding}
            return
        joint.then, said = outcome, outcome.each
        joint.errors |= {f"{things[0].task}.then.{task}": error for task, error in outcome.errors.items()}
    joint.answers = looked_at(joint.answers, things, said)
