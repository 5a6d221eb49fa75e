"""How much of single tasks' answers is wanted, as a person, a program or a server says it: {TASK: {name: value}}."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pocketvision.errors import UsageError, unknown_name
from pocketvision.printable import quoted
from pocketvision.tasks.task import MASK_FORMS, Detail

MOST = 1000

Check = Callable[[Any], bool]


def _whole(value: Any) -> bool:
    return type(value) is int and 1 <= value <= MOST


CHECKS: dict[str, tuple[Check, str]] = {
    "top_k": (_whole, f"a whole number from 1 to {MOST}"),
    "min_score": (lambda value: type(value) in (int, float) and 0 <= value <= 1, "a number from 0 to 1"),
    "most": (_whole, f"a whole number from 1 to {MOST}"),
    "masks": (lambda value: isinstance(value, bool), "true or false"),
    "mask_form": (lambda value: value in MASK_FORMS, " or ".join(MASK_FORMS)),
}
"""What may be wanted of a task in another way than of the rest: its members' checks, and what they expect."""


def details_from(document: object, base: Detail) -> dict[str, Detail]:
    """Each task's detail, over `base`. Raises UsageError that names what is wrong."""
    if not isinstance(document, Mapping) or not all(isinstance(each, Mapping) for each in document.values()):
        raise UsageError('details must be an object of objects, such as {"detection": {"min_score": 0.4}}.')
    return {str(task): _detail_from(str(task), own, base) for task, own in document.items()}


def _detail_from(task: str, own: Mapping[str, Any], base: Detail) -> Detail:
    for name, value in own.items():
        if name not in CHECKS:
            raise unknown_name("name in details", str(name), CHECKS)
        passes, expected = CHECKS[name]
        if not passes(value):
            raise UsageError(f"{task}.{name} is {quoted(str(value))}; expected {expected}.")
    return replace(base, by_task={}, tasks=None, **own)


def detail_of(
    top_k: int,
    tasks: Sequence[str] | None = None,
    details: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    looked: bool = False,
) -> Detail:
    """What is wanted of a bundle's tasks. Raises UsageError."""
    base = Detail(top_k=top_k, tasks=None if tasks is None else tuple(tasks), looked=looked)
    return replace(base, by_task=details_from(details or {}, base))


def details_of_texts(texts: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The same of texts such as `detection.min_score=0.4`. Raises UsageError."""
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        place, sign, value = text.partition("=")
        task, dot, name = place.rpartition(".")
        if not (sign and dot and task and name and value):
            raise UsageError(f"--detail {quoted(text)}: expected TASK.NAME=VALUE, such as detection.min_score=0.4.")
        found.setdefault(task, {})[name] = _value(value)
    return found


def _value(text: str) -> Any:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)
