"""What a client may ask for besides its image: how many classes, of which model; in the query, a form's fields or JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pocketvision.serving.json_bodies import text_or_none, whole_number
from pocketvision.serving.problems import refused

TOP_K, MODEL, VERSION = "top_k", "model", "version"
OPTIONS = (TOP_K, MODEL, VERSION)
MAX_TOP_K = 1000
DEFAULT_TOP_K = 5


@dataclass(frozen=True)
class RequestOptions:
    """top_k: classes in an answer. model, version: None for the first model and its last version."""

    top_k: int = DEFAULT_TOP_K
    model: str | None = None
    version: str | None = None


def options_from(values: Mapping[str, Any]) -> RequestOptions:
    """Options of values that may hold others too. Raises a 422 problem for a value that can not be."""
    top_k = whole_number(dict(values), TOP_K, DEFAULT_TOP_K, 1, MAX_TOP_K)
    return RequestOptions(top_k, text_or_none(dict(values), MODEL), text_or_none(dict(values), VERSION))


def options_in_text(values: Mapping[str, str]) -> dict[str, Any]:
    """The options of a query or a form, whose values are texts, as `options_from` takes them."""
    found: dict[str, Any] = {name: values[name] for name in OPTIONS if name in values}
    if TOP_K in found:
        digits = found[TOP_K].strip()
        if digits.isascii() and digits.isdecimal() and len(digits) <= 9:  # any other text is refused as no number
            found[TOP_K] = int(digits)
    return found


def joined(query: Mapping[str, Any], body: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Options of the query and of a body (`where`, as in "the form"). Raises a 422 problem when they say different things."""
    named = {name: value for name, value in body.items() if name in OPTIONS and value is not None}
    for name, value in named.items():
        if name in query and query[name] != value:
            raise refused(
                422, "invalid-request", f"The query and {where} have different values of {name}; give it once."
            )
    return {**query, **named}
