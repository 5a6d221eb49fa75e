"""A benchmark beside an earlier one of the same machine."""

import json
import math
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketvision.benchmarking.figures import FORMAT_VERSION, Benchmark, Timing
from pocketvision.benchmarking.machine import Machine
from pocketvision.errors import UsageError


@dataclass(frozen=True)
class Change:
    """A timing now and before. ratio: of the medians, below 1 is faster now. clear: whether they differ by more than twice the
    standard error of their turns' medians."""

    now: Timing
    before: Timing

    @property
    def ratio(self) -> float:
        return self.now.p50 / self.before.p50

    @property
    def clear(self) -> bool:
        error = math.hypot(_error(self.now), _error(self.before))
        return abs(statistics.mean(self.now.rounds) - statistics.mean(self.before.rounds)) > 2 * error

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        key = ("model", "size", "backend", "threads", "batch")
        return {
            **dict(zip(key, self.now.key, strict=True)),
            "before_p50": self.before.p50,
            "now_p50": self.now.p50,
            "ratio": self.ratio,
            "clear": self.clear,
        }


def _error(timing: Timing) -> float:
    return statistics.stdev(timing.rounds) / math.sqrt(len(timing.rounds)) if len(timing.rounds) > 1 else math.inf


def read_earlier(path: Path, machine: Machine) -> list[Timing]:
    """The timings in a file of `benchmark --json`. Raises UsageError where it can not be read, is of another version, or was
    measured on another machine than `machine`."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format_version"] != FORMAT_VERSION:
            raise UsageError(
                f"{path} is of format {values['format_version']}; this version compares format {FORMAT_VERSION}. Measure again."
            )
        before = Machine.from_dict(values["machine"])
        timings = [Timing(**{**each, "rounds": tuple(each["rounds"])}) for each in values["timings"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} is no benchmark: {type(error).__name__}: {error}. Expected a file of `pocketvision benchmark --json`."
        ) from error
    machine.require_same(before, path)
    return timings


def changes(now: Benchmark, before: list[Timing], path: Path) -> list[Change]:
    """What both have. Raises UsageError where they have nothing in common."""
    earlier = {each.key: each for each in before}
    found = [Change(each, earlier[each.key]) for each in now.timings if each.key in earlier]
    if not found:
        raise UsageError(f"{path} has no model, size, backend, threads and batch in common with this run.")
    return found
