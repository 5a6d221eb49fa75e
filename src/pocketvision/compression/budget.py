"""What a bundle may cost: milliseconds, bytes and accuracy; whether something keeps to that, and how far off it is."""

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any

from pocketvision.errors import UsageError, unknown_name

_MILLISECONDS = {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3}
_BYTES = {"B": 1, "KB": 1e3, "KiB": 2**10, "MB": 1e6, "MiB": 2**20, "GB": 1e9, "GiB": 2**30}


@dataclass(frozen=True)
class Budget:
    """latency_ms: of one image alone, the median. bytes: of the files that the backend reads. None: as much as it likes.
    max_accuracy_drop: percentage points below the bundle that was given, of each of its tasks. weights: by which the points of a
    task count (tasks/comparing.py). Raises UsageError when nothing is limited."""

    latency_ms: float | None
    bytes: float | None
    max_accuracy_drop: float = 1.0
    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.latency_ms is None and self.bytes is None:
            raise UsageError("There is no budget: give --latency (such as 8ms), --size (such as 5MB) or both.")
        check_points(self.max_accuracy_drop)
        for task, weight in self.weights.items():
            if not (isfinite(weight) and weight >= 0):
                raise UsageError(f"--weights {task}={weight:g}: expected 0 or more.")

    def check_tasks(self, tasks: Collection[str]) -> None:
        """Raises UsageError for weights of other tasks, of a task that is alone, and where none of them counts."""
        for task in self.weights:
            if task not in tasks:
                raise unknown_name("task in --weights", task, tasks)
        if self.weights and len(tasks) == 1:
            raise UsageError(f"--weights are for several tasks, and the bundle has {next(iter(tasks))} alone.")
        if not any(self.weights.get(task, 1.0) for task in tasks):
            raise UsageError("--weights are 0 for every task, so that nothing is judged. Give one of them a weight.")

    def loosest(self, tasks: Collection[str]) -> float:
        """The most points that any task may lose."""
        least = min(self.weights.get(task, 1.0) for task in tasks)
        return min(self.max_accuracy_drop / least, 100.0) if least else 100.0

    def misses(self, *, latency_ms: float, bytes: float, drop: float) -> dict[str, float]:
        """By which factor each limit is exceeded (1.2: a fifth too much), by its name; accuracy in points. Empty: none is."""
        found = {}
        if self.latency_ms is not None and latency_ms > self.latency_ms:
            found["latency"] = latency_ms / self.latency_ms
        if self.bytes is not None and bytes > self.bytes:
            found["size"] = bytes / self.bytes
        if drop > self.max_accuracy_drop + 1e-9:
            found["accuracy"] = drop - self.max_accuracy_drop
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def check_points(max_drop: float) -> None:
    """Raises UsageError for a drop that can not be allowed."""
    if not 0 <= max_drop <= 100:
        raise UsageError(f"--max-accuracy-drop is {max_drop:g}; expected percentage points, 0 to 100.")


def parse_latency(text: str) -> float:
    """Milliseconds of "8ms", "0.01s", "800us" or plain "8". Raises UsageError."""
    return _parse("--latency", text, _MILLISECONDS, 1.0, "a time above 0 such as 8ms, 0.01s or 800us")


def parse_size(text: str) -> float:
    """Bytes of "5MB" (5,000,000), "5MiB" (5 x 2^20), "800KB" or plain "5" for megabytes. Raises UsageError."""
    return _parse("--size", text, _BYTES, 1e6, "a size above 0 such as 5MB, 800KB or 4.5MiB")


def parse_weights(text: str) -> dict[str, float]:
    """By task, of "detection=2,number=0.5". Raises UsageError."""
    found: dict[str, float] = {}
    for part in text.split(","):
        task, _, value = (each.strip() for each in part.partition("="))
        try:
            weight = float(value)
        except ValueError:
            raise UsageError(f"--weights {text}: expected TASK=NUMBER, as in detection=2,number=0.5.") from None
        if task in found:
            raise UsageError(f"--weights names {task} twice.")
        found[task] = weight
    return found


def _parse(option: str, text: str, units: dict[str, float], plain: float, expected: str) -> float:
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-zA-Zµ]*)\s*", text)
    folded = {unit.casefold(): factor for unit, factor in units.items()} | {"": plain}
    factor = None if found is None else folded.get(found[2].casefold())
    if found is None or factor is None or float(found[1]) == 0:
        raise UsageError(f"{option} {text}: expected {expected}.")
    return float(found[1]) * factor
