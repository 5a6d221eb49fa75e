"""An MP4 file of the answered frames, each shown for as long as it was the newest.

It is written in fragments and indexed at its end, so that it can be played however the run ends: what was answered is kept.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pocketvision.atomic_files import replacing
from pocketvision.errors import PocketVisionError
from pocketvision.streaming.frame import Pixels
from pocketvision.streaming.video import imported_av, reason
from pocketvision.streaming.video_pixels import is_hd
from pocketvision.utf8_path import utf8_path

TICKS = 90_000
"""Of a second, the clock of the written file."""

ENCODERS = ("libx264", "mpeg4")
"""The first that the installed PyAV has."""

FRAGMENT = 2_000_000
"""Microseconds of video that a fragment holds, and that are lost when the process is killed."""

# ITU-T H.273: primaries, transfer and matrix of BT.709 and BT.601 (525 lines), by which players decode untagged video too.
_BT709, _BT601, _LIMITED_RANGE = 1, 6, 1


class Mp4File:
    """An open file. `write` takes RGB pictures with growing times in seconds."""

    closed = False
    dropped = 0

    def __init__(self, path: Path, shown: Path) -> None:
        """path: written to; shown: its name in messages."""
        av = imported_av()
        self._shown = shown
        options = {"movflags": "+hybrid_fragmented", "frag_duration": str(FRAGMENT), "flush_packets": "1"}
        self._container = av.open(str(path), "w", format="mp4", options=options)
        self._stream: Any = None
        self._matrix = ""
        self._start = 0.0
        self._last = -1

    def write(self, pixels: Pixels, time: float, _line: str = "") -> None:
        """Add a picture (H, W, 3). The first one's size is the file's; others are scaled into it, with black beside them. Raises
        PocketVisionError when the disk is full."""
        av = imported_av()
        if self._stream is None:
            self._open(pixels.shape[1], pixels.shape[0])
            self._start = time
        stream = self._stream
        pixels = fitted(pixels, stream.width, stream.height)
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=self._matrix, dst_color_range="MPEG")
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
        coder = self._stream.codec_context
        coder.time_base = Fraction(1, TICKS)
        hd = is_hd(self._stream.width, self._stream.height)
        self._matrix = "ITU709" if hd else "ITU601"
        coder.colorspace = coder.color_primaries = coder.color_trc = _BT709 if hd else _BT601
        coder.color_range = _LIMITED_RANGE

    def _mux(self, frame: "object | None") -> None:
        av = imported_av()
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except (av.FFmpegError, OSError) as error:
            raise PocketVisionError(f"{self._shown}: the video can not be written ({reason(error)})") from error


def fitted(pixels: Pixels, width: int, height: int) -> Pixels:
    """A picture (H, W, 3) in a frame of width x height pixels: scaled without distortion, with black at its sides. One row or
    column too many, as of odd sizes, is cut off."""
    if 0 <= pixels.shape[1] - width <= 1 and 0 <= pixels.shape[0] - height <= 1:
        return np.ascontiguousarray(pixels[:height, :width])
    share = min(width / pixels.shape[1], height / pixels.shape[0])
    size = max(1, round(pixels.shape[1] * share)), max(1, round(pixels.shape[0] * share))
    frame = Image.new("RGB", (width, height))
    frame.paste(Image.fromarray(pixels).resize(size), ((width - size[0]) // 2, (height - size[1]) // 2))
    return np.asarray(frame)


@contextmanager
def open_mp4(path: Path) -> Iterator[Mp4File]:
    """A file that takes its place, finished, when the block ends, whatever ends it. A file without a picture is not kept."""
    failure: BaseException | None = None
    with suppress(_NoPictureError), replacing(path) as temporary, utf8_path(temporary) as opened:
        file = Mp4File(opened, path)
        try:
            yield file
        except BaseException as error:
            failure = error
        if file.empty:
            raise _NoPictureError
        try:
            file.close()
        except PocketVisionError as error:  # the fragments before can be played all the same
            failure = failure or error
    if failure is not None:
        raise failure


class _NoPictureError(Exception):
    """Makes `replacing` take its file away."""
