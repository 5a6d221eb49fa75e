"""Video through PyAV (FFmpeg): files and network streams, packet by packet, past damaged ones."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from pocketvision.errors import MissingExtraError, SourceError, UsageError
from pocketvision.preprocessing import MAX_PIXELS
from pocketvision.streaming.access_units import Beginning, beginning
from pocketvision.streaming.picture import Picture, Pixels

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

DAMAGED_AT_MOST = 1000
"""Damaged packets in a row after which a source counts as broken: some seconds of a stream."""

KEY_FRAME_WITHIN = 300
"""Pictures that are left out at most while a key frame is waited for: there are streams without any."""


LOOKED_AT = 10
"""Packets from the first key picture on, in a stream that is not parsed, before any is decoded. Parameters may be packets."""


@dataclass(frozen=True)
class Video:
    """How a video is opened. place: a path, URL or device. shown: the same for messages, without passwords.

    format: FFmpeg's name of its container, None to find out. live: it arrives by its own clock, so nothing may be read ahead, and
    its end is a break unless it tells a duration. parsed: packets are put together to pictures; otherwise each has to be one.
    open_timeout, read_timeout: seconds without a byte, None for files.
    """

    place: str
    shown: str
    format: str | None = None
    live: bool = False
    parsed: bool = True
    options: dict[str, str] = field(default_factory=dict)
    open_timeout: float | None = None
    read_timeout: float | None = None


def read_video(video: Video, damaged: Callable[[], None]) -> Iterator[Picture]:
    """The pictures of a video, in order; `damaged` is called for every packet or picture that can not be decoded.

    Raises SourceError when it can not be opened, holds no video, or breaks; UsageError when it is not to be parsed and has to be;
    MissingExtraError without PyAV.
    """
    av = imported_av()
    options = {"max_pixels": str(MAX_PIXELS), **({} if video.parsed else {"fflags": "noparse"}), **video.options}
    try:
        container = av.open(
            video.place, "r", format=video.format, options=options, timeout=(video.open_timeout, video.read_timeout)
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise SourceError(f"{video.shown}: it can not be opened as a video ({reason(error)})") from error
    with container:
        if not container.streams.video:
            raise SourceError(f"{video.shown}: it holds no video")
        stream = container.streams.video[0]
        # Decoding whole frames side by side holds back as many frames as there are threads: right for a file, not for a camera.
        stream.thread_type = "SLICE" if video.live else "AUTO"
        start: float | None = None
        for frame in _frames(container, stream, video, damaged):
            if start is None:
                start = frame.time
            position = None if frame.time is None or start is None else frame.time - start
            yield Picture(pixels=lambda frame=frame: video_pixels(frame), position=position)  # type: ignore[misc]
        if start is None and not video.live:
            raise SourceError(f"{video.shown}: no picture could be decoded; the file is damaged or of an unknown kind")
        if video.live and container.duration is None:
            raise SourceError(f"{video.shown}: the stream ended")


def _frames(
    container: "InputContainer", stream: "VideoStream", video: Video, damaged: Callable[[], None]
) -> "Iterator[av.VideoFrame]":
    """Decoded frames, past damage.

    A frame that the decoder patched up over damage is not shown to the model, nor are those of a stream that was entered midway:
    until the first whole picture (key frame) they are changes to something that was never seen.
    """
    av = imported_av()
    packets = container.demux(stream) if video.parsed else _whole_packets(container, stream, video)
    in_a_row, seen, whole = 0, 0, False
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            frames = packet.decode()
        except av.error.EOFError:
            return
        except av.error.InvalidDataError as error:
            packets = container.demux(stream)  # a generator that has raised gives nothing more
            damaged()
            in_a_row += 1
            if in_a_row > DAMAGED_AT_MOST:
                raise SourceError(f"{video.shown}: {in_a_row} damaged packets in a row ({reason(error)})") from error
            continue
        except (av.FFmpegError, OSError) as error:
            raise SourceError(f"{video.shown}: the stream broke ({reason(error)})") from error
        in_a_row = 0 if frames else in_a_row
        for frame in frames:
            whole = whole or frame.key_frame or seen >= KEY_FRAME_WITHIN
            seen += 1
            if frame.is_corrupt or not whole:
                damaged()
                continue
            yield frame


def _whole_packets(container: "InputContainer", stream: "VideoStream", video: Video) -> "Iterator[Packet[VideoStream]]":
    """The packets of a stream that is not parsed, held back until the first key picture, the largest there is, shows that
    pictures are not cut. Until then there is nothing to be shown anyway."""
    codec, parameters = stream.codec_context.name, stream.codec_context.extradata or b""
    packets = container.demux(stream)
    held: list[Packet[VideoStream]] = []
    after_key = 0
    for packet in islice(packets, KEY_FRAME_WITHIN):
        held.append(packet)
        begun = beginning(codec, parameters, bytes(packet)) if packet.size else Beginning.PICTURE  # empty: the end
        if begun is Beginning.NOTHING:
            raise UsageError(
                f"{video.shown}: each picture comes in several packets, and only the next one tells where it ends; "
                "leave --low-latency off"
            )
        after_key += begun is Beginning.KEY_PICTURE or after_key > 0
        if after_key == LOOKED_AT:
            break
    yield from chain(held, packets)


def video_pixels(frame: "av.VideoFrame") -> Pixels:
    """A decoded frame as RGB (H, W, 3), upright: phones store how they were held beside the video."""
    pixels: Pixels = frame.to_ndarray(format="rgb24")  # type: ignore[assignment]
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def imported_av() -> ModuleType:
    """PyAV, or the install line as a MissingExtraError."""
    try:
        import av
        import av.error
    except ModuleNotFoundError as error:
        raise MissingExtraError("Video", "stream") from error
    return av


def reason(error: Exception) -> str:
    """An error of FFmpeg's in its own words, without the place: that may hold a password."""
    if type(error).__name__ == "ExitError":  # FFmpeg's own words, "Immediate exit requested", are those of our timeout
        return "nothing came for some seconds"
    return str(getattr(error, "strerror", None) or type(error).__name__)
