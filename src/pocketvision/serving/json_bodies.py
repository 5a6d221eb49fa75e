"""JSON and base64 from clients: parsed off the event loop when large, bounded in depth, refused with a sentence."""

import asyncio
import json
from collections import Counter
from typing import Any

from pocketvision.printable import quoted
from pocketvision.serving.base64_text import base64_bytes
from pocketvision.serving.problems import refused

_LARGE = 64 * 1024  # bytes: parsing fewer takes less time than handing them to a thread


async def parsed(body: bytes, max_depth: int) -> dict[str, Any]:
    """The JSON object in a body. Raises a 422 problem when it is none, is not UTF-8, or is nested deeper than `max_depth`."""
    if len(body) < _LARGE:
        return _parse(body, max_depth)
    return await asyncio.to_thread(_parse, body, max_depth)


def _parse(body: bytes, max_depth: int) -> dict[str, Any]:
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_object)
    except RecursionError:
        raise refused(422, "invalid-json", f"The JSON is nested deeper than {max_depth} levels.") from None
    except UnicodeDecodeError:
        raise refused(422, "invalid-json", "The body is not UTF-8.") from None
    except ValueError as error:  # the parser's message has the place and nothing internal
        raise refused(422, "invalid-json", f"The body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise refused(422, "invalid-json", "The body is JSON, but not an object.")
    _check_depth(value, max_depth)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Raises a 422 problem for a name that stands there twice: of which only the last would count."""
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise refused(422, "unknown-name", f"The JSON has {quoted(twice)} more than once in one object; give it once.")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _check_depth(value: object, max_depth: int) -> None:
    level: list[object] = [value]
    for _ in range(max_depth):
        level = [
            child
            for each in level
            if isinstance(each, dict | list)
            for child in (each.values() if isinstance(each, dict) else each)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise refused(422, "invalid-json", f"The JSON is nested deeper than {max_depth} levels.")


async def image_of(text: object, field: str = "image") -> bytes:
    """The bytes of a base64 text, alone or as a data URL. Raises a 422 problem that names the field."""
    if not isinstance(text, str) or not text:
        raise refused(
            422, "invalid-request", f"The field {field} is missing or empty; expected an image as base64 text."
        )
    if len(text) < _LARGE:
        return _decoded(text, field)
    return await asyncio.to_thread(_decoded, text, field)


def _decoded(text: str, field: str) -> bytes:
    try:
        return base64_bytes(text)
    except ValueError as error:
        raise refused(422, "invalid-base64", f"The field {field} is not base64: {error}") from None


def whole_number(values: dict[str, Any], field: str, default: int, least: int, most: int) -> int:
    """A field of a parsed object. Raises a 422 problem unless it is absent or a whole number in the range."""
    value = values.get(field, default)
    if type(value) is not int or not least <= value <= most:
        raise refused(422, "invalid-request", f"The field {field} must be a whole number from {least} to {most}.")
    return value


def share_or_none(values: dict[str, Any], field: str) -> float | None:
    """A field of a parsed object. Raises a 422 problem unless it is absent, null or a number from 0 to 1."""
    value = values.get(field)
    if value is not None and (type(value) not in (int, float) or not 0 <= value <= 1):
        raise refused(422, "invalid-request", f"The field {field} must be a number from 0 to 1.")
    return value


def truth_value(values: dict[str, Any], field: str, default: bool) -> bool:
    """A field of a parsed object. Raises a 422 problem unless it is absent, true or false."""
    value = values.get(field, default)
    if not isinstance(value, bool):
        raise refused(422, "invalid-request", f"The field {field} must be true or false.")
    return value


def text_or_none(values: dict[str, Any], field: str) -> str | None:
    """A field of a parsed object. Raises a 422 problem unless it is absent, null or a text."""
    value = values.get(field)
    if value is not None and not isinstance(value, str):
        raise refused(422, "invalid-request", f"The field {field} must be a text.")
    return value


def texts_or_none(values: dict[str, Any], field: str) -> tuple[str, ...] | None:
    """A field of a parsed object: a list of texts, or one text that is one in JSON or has commas between them. Raises a 422
    problem unless it is absent, null or such, with at least one."""
    value = values.get(field)
    if value is None:
        return None
    texts = _texts(value) if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(each, str) and each.strip() for each in texts):
        raise refused(
            422, "invalid-request", f"The field {field} must be names with commas between them, or a list of them."
        )
    return tuple(map(str.strip, texts))


def _texts(text: str) -> Any:
    if not text.startswith("["):
        return text.split(",")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
