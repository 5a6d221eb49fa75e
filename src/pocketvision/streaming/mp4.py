"""An MP4 file of the answered frames, each shown for as long as it was the newest."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pocketvision.atomic_files import replacing
from pocketvision.errors import PocketVisionError
from pocketvision.streaming.picture import Pixels
from pocketvision.streaming.video import imported_av, reason
from pocketvision.utf8_path import utf8_path

TICKS = 90_000
"""Of a second, the clock of the written file."""

ENCODERS = ("libx264", "mpeg4")
"""The first that the installed PyAV has."""


class Mp4File:
    """An open file. `write` takes RGB pictures with growing times in seconds."""

    closed = False
    lost = 0

    def __init__(self, path: Path, shown: Path) -> None:
        """path: written to; shown: its name in messages."""
        av = imported_av()
        self._shown = shown
        self._container = av.open(str(path), "w", format="mp4")
        self._stream: Any = None
        self._start = 0.0
        self._last = -1

    def write(self, pixels: Pixels, time: float, _line: str = "") -> None:
        """Add a picture (H, W, 3). The first one's size is the file's; others are scaled to it. Raises PocketVisionError when the
        disk is full."""
        av = imported_av()
        if self._stream is None:
            self._open(pixels.shape[1], pixels.shape[0])
            self._start = time
        stream = self._stream
        if pixels.shape[:2] != (stream.height, stream.width):
            pixels = np.asarray(Image.fromarray(pixels).resize((stream.width, stream.height)))
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        self._last = max(self._last + 1, round((time - self._start) * TICKS))
        frame.pts, frame.time_base = self._last, Fraction(1, TICKS)
        self._mux(frame)

    @property
    def empty(self) -> bool:
        """Whether no picture has come."""
        return self._stream is None

    def close(self) -> None:
        """Write what the encoder still holds, and the file's index."""
        self._mux(None)
        try:
            self._container.close()
        except imported_av().FFmpegError as error:
            raise PocketVisionError(f"{self._shown}: the video can not be written ({reason(error)})") from error

    def _open(self, width: int, height: int) -> None:
        av = imported_av()
        encoder = next(name for name in ENCODERS if name in av.codecs_available)
        # ultrafast: the encoder shares its cores with the network. 30 is a hint; every frame has its own time.
        options = {"preset": "ultrafast", "crf": "23"} if encoder == "libx264" else {}
        self._stream = self._container.add_stream(encoder, rate=30, options=options)
        # H.264 with colours at half resolution has even sizes only.
        self._stream.width, self._stream.height = max(2, width - width % 2), max(2, height - height % 2)
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, TICKS)

    def _mux(self, frame: "object | None") -> None:
        av = imported_av()
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except (av.FFmpegError, OSError) as error:
            raise PocketVisionError(f"{self._shown}: the video can not be written ({reason(error)})") from error


@contextmanager
def open_mp4(path: Path) -> Iterator[Mp4File]:
    """A file that is there, whole, when the block ends well, and not at all otherwise. A file without a picture is not kept."""
    with suppress(_NoPictureError), replacing(path) as temporary, utf8_path(temporary) as opened:
        file = Mp4File(opened, path)
        yield file
        if file.empty:
            raise _NoPictureError
        file.close()


class _NoPictureError(Exception):
    """Makes `replacing` take its file away."""
