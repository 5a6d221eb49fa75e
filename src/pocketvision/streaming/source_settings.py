"""How sources are read: what the user may set."""

from dataclasses import dataclass

from pocketvision.preprocessing import FULL_RANGE
from pocketvision.streaming.timeouts import OPEN_TIMEOUT, READ_TIMEOUT


@dataclass(frozen=True)
class SourceSettings:
    """How sources are read.

    fps: pictures a second of a folder and the test pattern. rate: of a video without timestamps, None for what it states itself.
    low_latency: every packet of a network stream holds a whole picture, so the next one need not be waited for to know where it
    ends: a frame time sooner. A stream where it is not so is refused.
    camera_size: width and height in pixels that a camera is asked for, camera_rate: pictures a second; None for its own.
    open_timeout, read_timeout: seconds that a camera or the network may be silent, at first and later.
    white_level: of a folder's 16-bit pictures, as the bundle has it.
    """

    fps: float = 30.0
    rate: float | None = None
    low_latency: bool = False
    camera_size: tuple[int, int] | None = None
    camera_rate: float | None = None
    open_timeout: float = OPEN_TIMEOUT
    read_timeout: float = READ_TIMEOUT
    white_level: int = FULL_RANGE
