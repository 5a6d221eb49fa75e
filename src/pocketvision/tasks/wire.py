"""The answers of all tasks in the forms that leave the house: JSON, lines and cells. One form for everybody.

`answers` is {TASK: {kind, headline, …}}, the rest of each as its kind has it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pocketvision.errors import UsageError
from pocketvision.tasks.catalog import Answers, task_named
from pocketvision.tasks.task import Detail, Places, Wire

Kinds = Mapping[str, str]
"""The kinds of a bundle's tasks by the tasks' names."""

LOOKED = "then"
"""Of a thing in JSON: what was said of it when it was looked at again, as `answers` are."""


@dataclass(frozen=True)
class UnknownAnswer:
    """An answer of a kind that nothing here knows: a newer server's, or a package's that is not installed.

    document: all that was said."""

    kind: str
    headline: str
    document: Mapping[str, Any]

    @property
    def confidence(self) -> None:
        """Not known."""
        return None


_UNKNOWN = Wire[UnknownAnswer](
    to_json=lambda answer, _: dict(answer.document),
    from_json=lambda document: UnknownAnswer(document["kind"], str(document.get("headline", "")), document),
    schema={},
    columns=lambda _: ["answer"],
    cells=lambda answer, _: [answer.headline],
)


def wire_of(kind: str) -> Wire[Any]:
    """The wire of a kind; of an unknown one its headline, and its JSON as it came."""
    try:
        return task_named(kind).wire
    except UsageError:
        return _UNKNOWN


def answers_to_json(answers: Answers, detail: Detail) -> dict[str, Any]:
    """`answers`."""
    return {name: _to_json(each, detail.of(name)) for name, each in answers.items()}


def _to_json(answer: Any, detail: Detail) -> dict[str, Any]:
    told = {"kind": answer.kind, "headline": answer.headline, **wire_of(answer.kind).to_json(answer, detail)}
    places = _places_of(answer.kind)
    looked = None if places is None else places.looked(answer)
    if places is not None and looked is not None:
        for thing, said in zip(told[places.member], looked, strict=False):  # fewer are told than were found
            if said is not None:
                thing[LOOKED] = answers_to_json(dict(said), detail)
    return told


def answers_from_json(document: Mapping[str, Any]) -> Answers:
    """The way back; raises what a kind's from_json raises."""
    return {name: _from_json(each) for name, each in document.items()}


def _from_json(document: Mapping[str, Any]) -> Any:
    answer, places = wire_of(document["kind"]).from_json(document), _places_of(document["kind"])
    if places is None or not any(LOOKED in thing for thing in document[places.member]):
        return answer
    told = (thing.get(LOOKED) for thing in document[places.member])
    return places.with_looked(answer, tuple(None if each is None else answers_from_json(each) for each in told))


def _places_of(kind: str) -> Places[Any] | None:
    try:
        return task_named(kind).places
    except UsageError:
        return None


def prediction(answers: Answers, detail: Detail) -> dict[str, Any]:
    """An image's members over HTTP and WebSockets: `answers`, and before it what stands beside it where a task is alone."""
    told = answers_to_json(answers, detail)
    alone = _alone({name: each.kind for name, each in answers.items()})
    beside = {} if alone is None else alone.prediction(next(iter(told.values())))
    return {**beside, "answers": told}


def line(kinds: Kinds, answers: Answers, detail: Detail) -> dict[str, Any]:
    """An image's members in JSON Lines. answers: none where there is an error."""
    alone = _alone(kinds)
    beside = {} if alone is None else alone.line(next(iter(answers.values()), None), detail)
    return {**beside, "answers": answers_to_json(answers, detail)}


def smoothed(kinds: Kinds, shown: Answers, detail: Detail) -> dict[str, Any]:
    """A frame's smoothed answers in JSON Lines, besides those of `line`."""
    alone = _alone(kinds)
    beside = {} if alone is None else alone.smoothed(next(iter(shown.values()), None))
    return {**beside, "smooth_answers": answers_to_json(shown, detail)}


def columns(kinds: Kinds, detail: Detail) -> list[str]:
    """Of all tasks, each with its name before it where there are several: `TASK.COLUMN`."""
    return [
        column if len(kinds) == 1 else f"{name}.{column}"
        for name, kind in kinds.items()
        for column in wire_of(kind).columns(detail.of(name))
    ]


def cells(kinds: Kinds, answers: Answers, detail: Detail) -> list[object]:
    """One for each of the columns; empty texts for tasks without an answer."""
    return [
        cell
        for name, kind in kinds.items()
        for cell in (
            wire_of(kind).cells(answers[name], detail.of(name))
            if name in answers
            else [""] * len(wire_of(kind).columns(detail.of(name)))
        )
    ]


def brief(answers: Answers, detail: Detail) -> list[list[object]]:
    """What people read of each answer in one line: its cells, or its headline where it has many parts, and then what was said of
    those that were looked at again."""
    return [
        wire_of(each.kind).cells(each, detail.of(name))
        if wire_of(each.kind).parts is None
        else [each.headline, *_said(each)]
        for name, each in answers.items()
    ]


def _said(answer: Any) -> list[str]:
    places = _places_of(answer.kind)
    looked = () if places is None else places.looked(answer) or ()
    said = [", ".join(each.headline for each in thing.values()) for thing in looked if thing]
    return ["; ".join(said)] if said else []


def row_cells(kinds: Kinds, answers: Answers, detail: Detail) -> list[list[object]]:
    """The cells of an image's rows, at least one: one for each of an answer's parts where its task is alone."""
    if len(kinds) == 1 and answers:
        (name, kind), (answer,) = next(iter(kinds.items())), answers.values()
        parts = wire_of(kind).parts
        if parts is not None and (each := parts(answer, detail.of(name))):
            return [cells(kinds, {name: part}, detail) for part in each]
    return [cells(kinds, answers, detail)]


def schema_of(kind: str) -> dict[str, Any]:
    """A JSON schema of an answer in `answers`."""
    own = wire_of(kind).schema
    common = {"kind": {"const": kind}, "headline": {"type": "string", "description": "The answer in a few words."}}
    return {
        **own,
        "title": kind,
        "type": "object",
        "properties": {**common, **own.get("properties", {})},
        "required": [*common, *own.get("required", ())],
    }


def _alone(kinds: Kinds) -> Any:
    return wire_of(next(iter(kinds.values()))).alone if len(kinds) == 1 else None
