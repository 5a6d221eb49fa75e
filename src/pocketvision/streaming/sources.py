"""The table of sources: where frames may come from. A new source is one file and one row."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pocketvision.errors import UsageError
from pocketvision.printable import shortened
from pocketvision.redaction import looks_like_url, redacted, redacted_url
from pocketvision.streaming.camera import read_camera
from pocketvision.streaming.frame import SourceEvents, SourceFrame
from pocketvision.streaming.image_frames import is_picture, read_images, read_picture
from pocketvision.streaming.pattern import read_test_pattern
from pocketvision.streaming.source_settings import SourceSettings
from pocketvision.streaming.video import Video, read_video
from pocketvision.utf8_path import utf8_path

TEST_PATTERN = "test-pattern"
SCHEMES = ("rtsp", "rtsps", "tcp", "udp", "rtp", "srt", "http", "https", "rtmp", "rtmps")
"""Of network URLs. FFmpeg knows more, some of which read local files or other protocols' streams behind the user's back."""

# Not fflags=nobuffer, often recommended: it throws away what was read to learn the stream's kind, the first key frame among it.
# What is kept is decoded faster than it is shown, so nothing of it stays behind.
NETWORK_OPTIONS = {"flags": "low_delay", "rtsp_transport": "tcp"}


@dataclass(frozen=True)
class SourceKind:
    """One kind of source. `accepts` looks at the text that was given; `read` takes it, settings, and who is told of
    damage, and gives pictures until the source ends.

    live: it arrives by its own clock, faster or slower than it is answered. reconnects: when it breaks it is opened again.
    """

    expects: str
    accepts: Callable[[str], bool]
    read: Callable[[str, SourceSettings, SourceEvents], Iterator[SourceFrame]]
    live: bool = False
    reconnects: bool = False


def _read_network(url: str, settings: SourceSettings, events: SourceEvents) -> Iterator[SourceFrame]:
    scheme = url.partition("://")[0].lower()
    options = {
        key: value for key, value in NETWORK_OPTIONS.items() if key != "rtsp_transport" or scheme in ("rtsp", "rtsps")
    }
    video = Video(
        url,
        redacted_url(url),
        live=True,
        parsed=not settings.low_latency,
        options=options,
        open_timeout=settings.open_timeout,
        read_timeout=settings.read_timeout,
    )
    return read_video(video, events)


def _read_file(text: str, settings: SourceSettings, events: SourceEvents) -> Iterator[SourceFrame]:
    with utf8_path(Path(text).absolute()) as path:
        yield from read_video(Video(str(path), text, rate=settings.rate), events)


SOURCES: dict[str, SourceKind] = {
    "test pattern": SourceKind(
        expects=TEST_PATTERN,
        accepts=lambda text: text == TEST_PATTERN,
        read=lambda _, settings, _events: read_test_pattern(settings.fps),
    ),
    "camera": SourceKind(
        expects="a camera's number (0)",
        accepts=lambda text: re.fullmatch(r"\d{1,3}", text) is not None,
        read=lambda text, settings, events: read_camera(int(text), settings, events),
        live=True,
        reconnects=True,
    ),
    "network": SourceKind(
        expects=f"a URL ({', '.join(SCHEMES[:3])} …)",
        accepts=lambda text: text.partition("://")[0].lower() in SCHEMES and "://" in text,
        read=_read_network,
        live=True,
        reconnects=True,
    ),
    "folder": SourceKind(
        expects="a folder of images",
        accepts=lambda text: Path(text).is_dir(),
        read=lambda text, settings, events: read_images(Path(text), settings, events),
    ),
    "picture": SourceKind(
        expects="a picture",
        accepts=lambda text: is_picture(Path(text)),
        read=lambda text, settings, events: read_picture(Path(text), settings, events),
    ),
    "video file": SourceKind(expects="a video file", accepts=lambda text: Path(text).is_file(), read=_read_file),
}
"""From a kind's name to how its pictures are read; the first that accepts a text takes it."""


def find_source(text: str) -> tuple[str, SourceKind]:
    """The row of the table that accepts `text`, with its name. Raises UsageError when none does."""
    for name, kind in SOURCES.items():
        if kind.accepts(text):
            return name, kind
    if looks_like_url(text):
        raise UsageError(f"--source {redacted_url(text)}: expected one of the protocols {', '.join(SCHEMES)}, and ://")
    expected = "; ".join(kind.expects for kind in SOURCES.values())
    raise UsageError(f"--source {shortened(redacted(text))}: there is no such file or folder. Expected {expected}.")
