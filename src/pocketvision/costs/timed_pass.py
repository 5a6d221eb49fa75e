"""What a runtime's own profile tells of passes over a network."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]
"""Of a Chrome trace (https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU): name, ts and dur in
microseconds, ph "X"."""


@dataclass(frozen=True)
class TimedPass:
    """Medians over several passes, in milliseconds. layers: by the layer's path. memory: bytes that a layer left allocated.
    kinds: by the runtime's own names of operations. elsewhere: operations of no layer. whole: of a pass by the clock, without
    profiling. trace: events of them all."""

    whole: float
    layers: Mapping[str, float]
    kinds: Mapping[str, float]
    elsewhere: float
    trace: list[Event]
    memory: Mapping[str, int] = field(default_factory=dict)
    peak_memory: int | None = None
