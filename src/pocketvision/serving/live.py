"""Live streams: the newest frame of each camera that publishes here, and who watches it. One event loop's: nothing is locked."""

import asyncio
import re
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pocketvision.printable import counted, quoted
from pocketvision.serving.problems import refused, retry_after

PUBLISHER_TIMEOUT = 5.0
"""Seconds without a frame after which another publisher may take the name: the one before may hang on a dead connection."""

FPS_WINDOW = 5.0
"""Seconds over which frames a second are counted."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class LiveSettings:
    """streams, viewers: how many at once, the viewers those of all streams together. idle_timeout: seconds after its last frame
    until a stream ends and its viewers are disconnected; a camera that is back before goes on in the same stream."""

    streams: int = 8
    viewers: int = 32
    idle_timeout: float = 60.0


@dataclass(frozen=True, eq=False)
class LiveFrame:
    """A frame as it was published. number: counts the stream's frames from 1. answer: a JSON object. picture: a JPEG file."""

    number: int
    answer: str
    picture: bytes


@dataclass(frozen=True, eq=False)
class LiveOptions:
    """Which tasks of a stream a viewer wants answered, and how much of them: a message for its publisher."""

    message: dict[str, Any]


class LiveStream:
    """One name's frames. Only the newest is kept, once for all viewers: a slow viewer skips those in between."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.newest: LiveFrame | None = None
        self.viewers = 0
        self.publisher: object | None = None
        self.options: LiveOptions | None = None
        """What a viewer asked for last; its publisher is told."""
        self.ended = False
        self.since = time.time()
        """Seconds since 1970 when it began."""
        self.last_frame = time.monotonic()
        """When its last frame came, or its publisher."""
        self._arrivals: deque[float] = deque(maxlen=512)
        self._changed = asyncio.Event()

    def publish(self, answer: str, picture: bytes) -> None:
        """Take a frame in place of the one before."""
        self.newest = LiveFrame(self.count + 1, answer, picture)
        self.last_frame = time.monotonic()
        self._arrivals.append(self.last_frame)
        self._wake()

    async def next_after(self, number: int) -> LiveFrame | None:
        """The newest frame as soon as its number is above `number`; None when the stream has ended."""
        while not self.ended:
            if self.newest is not None and self.newest.number > number:
                return self.newest
            await self._changed.wait()
        return None

    def end(self) -> None:
        """End the stream for every viewer."""
        self.ended = True
        self._wake()

    @property
    def count(self) -> int:
        """Frames so far."""
        return 0 if self.newest is None else self.newest.number

    @property
    def age(self) -> float:
        """Seconds since the last frame."""
        return time.monotonic() - self.last_frame

    @property
    def fps(self) -> float:
        """Frames a second over the last FPS_WINDOW seconds."""
        now = time.monotonic()
        while self._arrivals and self._arrivals[0] < now - FPS_WINDOW:
            self._arrivals.popleft()
        span = self._arrivals[-1] - self._arrivals[0] if len(self._arrivals) > 1 else 0.0
        return (len(self._arrivals) - 1) / span if span > 0 else 0.0

    def _wake(self) -> None:
        waited_for, self._changed = self._changed, asyncio.Event()
        waited_for.set()


class LiveStreams:
    """Every stream by its name. settings: None when live streams are not wanted; then all is refused."""

    def __init__(self, settings: LiveSettings | None) -> None:
        self._settings = settings
        self._streams: dict[str, LiveStream] = {}
        self._viewers = 0
        self._closed = False

    @property
    def enabled(self) -> bool:
        """Whether this server shows live streams."""
        return self._settings is not None

    @property
    def open(self) -> bool:
        """Whether the server has not begun to stop."""
        return not self._closed

    @property
    def all(self) -> list[LiveStream]:
        """The streams by name."""
        return [self._streams[name] for name in sorted(self._streams)]

    @contextmanager
    def publishing(self, name: str) -> Iterator[LiveStream]:
        """The stream `name`, to be shown frames while `stream.publisher` is what it is now.

        Raises a problem: 403 when live streams are off, 422 for a name that is none, 409 when another publisher has it,
        429 when there are as many streams as may be.
        """
        settings = self.require_enabled()
        if not _NAME.fullmatch(name):
            raise refused(422, "invalid-name", "A stream's name is 1 to 64 letters, digits, dashes and underscores.")
        stream = self._streams.get(name)
        if stream is None:
            if len(self._streams) >= settings.streams:
                detail = f"There are {len(self._streams)} live streams, as many as this server takes."
                raise refused(429, "too-many-streams", detail, retry_after(settings.idle_timeout))
            stream = self._streams[name] = LiveStream(name)
            self._schedule_expiry(stream, settings.idle_timeout)
        elif stream.publisher is not None and stream.age < PUBLISHER_TIMEOUT:
            raise refused(409, "name-taken", f"Another publisher has the name {name}; choose another one.")
        stream.publisher = publisher = object()
        stream.last_frame = time.monotonic()
        try:
            yield stream
        finally:
            if stream.publisher is publisher:
                stream.publisher = None

    @contextmanager
    def viewing(self, name: str) -> Iterator[LiveStream]:
        """The stream `name`, to be watched. Raises a problem: 403 when live streams are off, 404 when there is no such stream,
        429 when there are as many viewers as may be."""
        settings = self.require_enabled()
        stream = self._streams.get(name)
        if stream is None:
            there = ", ".join(map(quoted, sorted(self._streams))) or "none"
            raise refused(404, "unknown-stream", f"There is no live stream of this name; there are: {there}.")
        if self._viewers >= settings.viewers:
            detail = f"This server takes no more than {counted(self._viewers, 'viewer')}."
            raise refused(429, "too-many-viewers", detail, retry_after(5))
        self._viewers += 1
        stream.viewers += 1
        try:
            yield stream
        finally:
            self._viewers -= 1
            stream.viewers -= 1

    def require_enabled(self) -> LiveSettings:
        """The settings. Raises a problem when live streams are off (403), or the server is being shut down (503)."""
        if self._settings is None:
            raise refused(403, "live-off", "This server shows no live streams; `pocketvision serve --live` does.")
        if self._closed:
            raise refused(503, "shutting-down", "The server is shutting down.", retry_after(1))
        return self._settings

    def close(self) -> None:
        """End every stream, and take no more."""
        self._closed = True
        for stream in self._streams.values():
            stream.end()
        self._streams.clear()

    def _schedule_expiry(self, stream: LiveStream, seconds: float) -> None:
        asyncio.get_running_loop().call_later(max(seconds, 0.01), self._expire, stream)

    def _expire(self, stream: LiveStream) -> None:
        """End a stream whose last frame is too long ago; otherwise check again when it may be."""
        if self._settings is None or stream.ended:
            return
        if stream.age < self._settings.idle_timeout:
            self._schedule_expiry(stream, self._settings.idle_timeout - stream.age)
            return
        del self._streams[stream.name]
        stream.end()
