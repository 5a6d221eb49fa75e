"""What a client may ask for besides its image: how much of the answers, of which model; in the query, a form's fields or JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pocketvision.runtime.second_look import SecondLook
from pocketvision.serving.json_bodies import share_or_none, text_or_none, texts_or_none, truth_value, whole_number
from pocketvision.serving.problems import refused
from pocketvision.tasks.details import MOST, details_from
from pocketvision.tasks.task import MASK_FORMS, Detail

MAX_TOP_K = MAX_MOST = MOST
DEFAULT = Detail()

_WHOLE = {"type": "integer", "minimum": 1}
SCHEMAS: dict[str, dict[str, Any]] = {
    "top_k": {
        **_WHOLE,
        "maximum": MAX_TOP_K,
        "default": DEFAULT.top_k,
        "description": "How many classes an image's answer names.",
    },
    "model": {"type": "string", "description": "A name of /models."},
    "version": {"type": "string", "description": "A version of that name."},
    "min_score": {
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "description": "The least score of what is found in an image; without it what the model was shipped with.",
    },
    "most": {
        **_WHOLE,
        "maximum": MAX_MOST,
        "default": DEFAULT.most,
        "description": "How many things are found in an image at most.",
    },
    "masks": {"type": "boolean", "default": DEFAULT.masks, "description": "Whether what is found has masks."},
    "mask_form": {
        "type": "string",
        "enum": list(MASK_FORMS),
        "default": DEFAULT.mask_form,
        "description": "How masks are told: as runs of pixels, or as a PNG in base64.",
    },
    "map": {
        "type": "boolean",
        "default": DEFAULT.map,
        "description": "Whether a prediction has `maps` of where its class is seen, of a model with a map (export --with-map).",
    },
    "models": {
        "type": "string",
        "description": "Names of /models with commas between them, each NAME or NAME@VERSION: all of them answer about one "
        "picture, which is decoded once. In JSON also a list.",
    },
    "tasks": {
        "type": "string",
        "description": "Tasks with commas between them: only these answer, the others cost nothing. In JSON also a list.",
    },
    "details": {
        "type": "string",
        "description": 'JSON: what is wanted of a task, as in {"detection": {"min_score": 0.4}, "segmentation": {"masks": '
        "false}}; the names are top_k, min_score, most, masks and mask_form. In JSON an object.",
    },
    "then": {
        "type": "string",
        "description": "A second model, NAME or NAME@VERSION, that looks at each thing found; it answers in the thing's `then`.",
    },
    "of": {
        "type": "string",
        "description": "With `then`: classes with commas between them; only things of these are looked at. In JSON also a list.",
    },
    "margin": {
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "default": 0,
        "description": "With `then`: by how much of its width and height a box is grown on each side.",
    },
}
"""Each option's JSON schema. Those that a model has no use for are checked all the same."""
OPTIONS = tuple(SCHEMAS)


MOST_MODELS = 16


@dataclass(frozen=True)
class RequestOptions:
    """detail: how much of the answers. model, version: None for the first model and its last version. models: several by name,
    each NAME or NAME@VERSION, in place of one. then: the second model and what it looks at."""

    detail: Detail = DEFAULT
    model: str | None = None
    version: str | None = None
    models: tuple[str, ...] = ()
    then: str | None = None
    look: SecondLook = field(default_factory=SecondLook)

    @property
    def several(self) -> bool:
        """Whether more than one model is to look at a picture, or what is asked of them goes by a list."""
        return bool(self.models) or self.then is not None


def options_from(values: Mapping[str, Any]) -> RequestOptions:
    """Options of values that may hold others too. Raises a 422 problem for a value that can not be."""
    given = {name: values[name] for name in OPTIONS if name in values}
    if not given:
        return RequestOptions()
    detail = replace(_detail(given), tasks=texts_or_none(given, "tasks"))
    detail = replace(detail, by_task=_by_task(given, detail))
    models, then, of = texts_or_none(given, "models"), text_or_none(given, "then"), texts_or_none(given, "of")
    for name in ("model", "version"):
        if models is not None and given.get(name) is not None:
            raise refused(
                422, "invalid-request", f"models and {name} can not stand together; write NAME@VERSION in models."
            )
    if models is not None and (len(set(models)) < len(models) or len(models) > MOST_MODELS):
        raise refused(422, "invalid-request", f"models has a name twice or more than {MOST_MODELS}; give each once.")
    for name in ("of", "margin"):
        if then is None and given.get(name) is not None:
            raise refused(422, "invalid-request", f"{name} says what a second model looks at: give `then` as well.")
    margin = share_or_none(given, "margin") or 0.0
    return RequestOptions(
        detail, text_or_none(given, "model"), text_or_none(given, "version"), models or (), then, SecondLook(of, margin)
    )


def _detail(given: dict[str, Any]) -> Detail:
    return Detail(
        top_k=whole_number(given, "top_k", DEFAULT.top_k, 1, MAX_TOP_K),
        min_score=share_or_none(given, "min_score"),
        most=whole_number(given, "most", DEFAULT.most, 1, MAX_MOST),
        masks=truth_value(given, "masks", DEFAULT.masks),
        mask_form=_mask_form(given),
        map=truth_value(given, "map", DEFAULT.map),
    )


def _by_task(given: dict[str, Any], detail: Detail) -> dict[str, Detail]:
    details = given.get("details") or {}
    if isinstance(details, str):
        try:
            details = json.loads(details)
        except (ValueError, RecursionError) as error:
            raise refused(422, "invalid-request", f"details is no JSON: {str(error)[:80]}.") from None
    return details_from(details, detail)


def _mask_form(given: dict[str, Any]) -> str:
    form = text_or_none(given, "mask_form") or DEFAULT.mask_form
    if form not in MASK_FORMS:
        raise refused(
            422,
            "invalid-request",
            f"mask_form is {form[:40]!r}; expected {', '.join(MASK_FORMS[:-1])} or {MASK_FORMS[-1]}.",
        )
    return form


def options_in_text(values: Mapping[str, str]) -> dict[str, Any]:
    """The options of a query or a form, whose values are texts, as `options_from` takes them. A text that is no value of its
    option stays a text, which is refused there."""
    return {
        name: _READ.get(SCHEMAS[name]["type"], str)(values[name].strip() if name in _TYPED else values[name])
        for name in OPTIONS
        if name in values
    }


def _number(text: str) -> float | str:
    try:
        return float(text) if len(text) <= 32 else text
    except ValueError:
        return text


_READ: Mapping[str, Any] = {
    "integer": lambda text: int(text) if text.isascii() and text.isdecimal() and len(text) <= 9 else text,
    "number": _number,
    "boolean": lambda text: {"true": True, "false": False}.get(text.lower(), text),
}
_TYPED = tuple(name for name, schema in SCHEMAS.items() if schema["type"] in _READ)


def joined(query: Mapping[str, Any], body: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Options of the query and of a body (`where`, as in "the form"). Raises a 422 problem when they say different things."""
    named = {name: value for name, value in body.items() if name in OPTIONS and value is not None}
    for name, value in named.items():
        if name in query and query[name] != value:
            raise refused(
                422, "invalid-request", f"The query and {where} have different values of {name}; give it once."
            )
    return {**query, **named}


def over(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The options of one message over those that were set before. What names one model takes the place of what names several, and
    the other way round."""
    named = {name: own[name] for name in OPTIONS if own.get(name) is not None}
    left_out = (
        {"models"} if {"model", "version"} & named.keys() else {"model", "version"} if "models" in named else set()
    )
    return {name: value for name, value in defaults.items() if name not in left_out} | named
