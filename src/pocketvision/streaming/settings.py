"""What a stream is asked to do, checked before anything is opened."""

import math
from dataclasses import dataclass

from pocketvision.errors import UsageError, unknown_name
from pocketvision.streaming.crop import Crop, parse_crop
from pocketvision.streaming.reader import Pace
from pocketvision.streaming.source_settings import SourceSettings
from pocketvision.streaming.sources import SourceKind, find_source

LOWEST_FPS, HIGHEST_FPS = 0.001, 1000.0
LONGEST = 1e6
"""Seconds that a waiting time or a period may have: eleven days."""

POLICIES = ("newest", "wait")
LOSSLESS_SOURCES = ("video file", "folder", "picture")
"""Whose frames are all answered unless the user says otherwise."""


@dataclass(frozen=True)
class StreamSettings:
    """A source with its row in the table of sources, and what is done with its frames.

    keep_all: every frame is answered, and the source waits. every: seconds between two answered frames, None for all. seconds:
    after which it ends, None at the source's end.
    """

    text: str
    name: str
    kind: SourceKind
    reading: SourceSettings
    keep_all: bool
    crop: Crop | None = None
    every: float | None = None
    seconds: float | None = None

    @property
    def pace(self) -> Pace:
        """How frames come out of the source."""
        return Pace(paced=not self.keep_all and not self.kind.live, every=self.every, by_arrival=self.kind.live)


def stream_settings(
    source: str,
    reading: SourceSettings,
    *,
    crop: str | None,
    policy: str | None,
    every: float | None,
    seconds: float | None,
) -> StreamSettings:
    """Look all of it over. Raises UsageError that names the option and what it takes."""
    part = None if crop is None else parse_crop(crop)
    name, kind = find_source(source)
    keep_all = _keeps_all(policy, name, kind)
    _check_numbers(reading, every)
    if name != "camera" and (reading.camera_size is not None or reading.camera_rate is not None):
        raise UsageError(f"--camera-size and --camera-rate are for cameras; --source {source} is a {name}")
    return StreamSettings(source, name, kind, reading, keep_all, part, every, seconds)


def _check_numbers(reading: SourceSettings, every: float | None) -> None:
    rates = {"fps": reading.fps, "rate": reading.rate, "camera-rate": reading.camera_rate}
    times = {"open-timeout": reading.open_timeout, "read-timeout": reading.read_timeout, "every": every}
    for values, low, high, unit in ((rates, LOWEST_FPS, HIGHEST_FPS, "a second"), (times, 0.001, LONGEST, "seconds")):
        for option, value in values.items():
            if value is not None and not (math.isfinite(value) and low <= value <= high):
                raise UsageError(f"--{option} is {value:g}; expected {low:g} to {high:g} {unit}")
    if reading.camera_size is not None and not all(1 <= side <= 65_535 for side in reading.camera_size):
        width, height = reading.camera_size
        raise UsageError(f"--camera-size {width}x{height}: expected width and height in pixels, such as 640x480")


def _keeps_all(policy: str | None, name: str, kind: SourceKind) -> bool:
    if policy is None:
        return name in LOSSLESS_SOURCES
    if policy not in POLICIES:
        raise unknown_name("policy", policy, POLICIES)
    if policy == "wait" and kind.live:
        raise UsageError(
            f"--policy wait is for sources that wait; a {name} source does not, and its frames would come later and later. "
            "Leave it at newest."
        )
    return policy == "wait"
