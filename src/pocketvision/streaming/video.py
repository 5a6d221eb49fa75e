"""Video through PyAV (FFmpeg): files and network streams, packet by packet, past damaged ones."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from itertools import chain, islice
from types import ModuleType
from typing import TYPE_CHECKING

from pocketvision.errors import MissingExtraError, SourceError, UsageError
from pocketvision.preprocessing import MAX_PIXELS
from pocketvision.streaming.access_units import Beginning, beginning
from pocketvision.streaming.frame import SourceEvents, SourceFrame
from pocketvision.streaming.video_pixels import video_pixels

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

DAMAGED_AT_MOST = 1000
"""Damaged packets in a row after which a source counts as broken: some seconds of a stream."""

KEY_FRAME_WITHIN = 300
"""Pictures that are left out at most while a key frame is waited for: there are streams without any."""

_DEFAULT, _COVER = 1 << 0, 1 << 10  # FFmpeg's AV_DISPOSITION_DEFAULT and AV_DISPOSITION_ATTACHED_PIC

LOOKED_AT = 10
"""Packets from the first key picture on, in a stream that is not parsed, before any is decoded. Parameters may be packets."""


RAW_FORMATS = frozenset(
    ["h264", "hevc", "vvc", "h263", "h261", "m4v", "mpegvideo", "mjpeg", "obu", "cavsvideo", "vc1", "dirac"]
)
"""FFmpeg's names of bare streams: without a container there are no timestamps, or such as FFmpeg makes up."""

RATE = 25.0
"""Pictures a second of a video that has no timestamps and does not state its rate."""


@dataclass(frozen=True)
class Video:
    """How a video is opened. place: a path, URL or device. shown: the same for messages, without passwords.

    format: FFmpeg's name of its container, None to find out. live: it arrives by its own clock, so nothing may be read ahead, and
    its end is a break unless it tells a duration. parsed: packets are put together to pictures; otherwise each has to be one.
    open_timeout, read_timeout: seconds without a byte, None for files. rate: pictures a second where there are no timestamps,
    None for what the video states. device: what it gives is noted.
    """

    place: str
    shown: str
    format: str | None = None
    live: bool = False
    parsed: bool = True
    options: dict[str, str] = field(default_factory=dict)
    open_timeout: float | None = None
    read_timeout: float | None = None
    rate: float | None = None
    device: bool = False


def read_video(video: Video, events: SourceEvents) -> Iterator[SourceFrame]:
    """The pictures of a video, in order; `events` get every packet or picture that can not be decoded, and notes.

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
        stream = _chosen_stream(container, video, events)
        # Decoding whole frames side by side holds back as many frames as there are threads: right for a file, not for a camera.
        stream.thread_type = "SLICE" if video.live else "AUTO"
        positions, aspect, count = _Positions(container, stream, video, events), _PixelAspect(stream), 0
        for frame in _frames(container, stream, video, events.damaged):
            if count == 0 and video.device:
                events.note(_device_note(video, stream, frame))
            count += 1
            yield SourceFrame(partial(video_pixels, frame, aspect()), positions(frame))
        if count == 0 and not video.live:
            raise SourceError(f"{video.shown}: no picture could be decoded; the file is damaged or of an unknown kind")
        if video.live and container.duration is None:
            raise SourceError(f"{video.shown}: the stream ended")


def _chosen_stream(container: "InputContainer", video: Video, events: SourceEvents) -> "VideoStream":
    """The video of a container that may hold several: never a cover picture, and the one that is marked as default."""
    streams = container.streams.video
    if not streams:
        raise SourceError(f"{video.shown}: it holds no video")
    moving = [stream for stream in streams if not stream.disposition & _COVER]
    if not moving:
        raise SourceError(f"{video.shown}: it holds no video, only a cover picture")
    chosen = next((stream for stream in moving if stream.disposition & _DEFAULT), moving[0])
    if len(moving) > 1:
        sizes = ", ".join(f"{stream.width} x {stream.height}" for stream in moving)
        place = moving.index(chosen) + 1
        events.note(f"{video.shown}: it holds {len(moving)} videos ({sizes}); number {place} is taken")
    return chosen


class _Positions:
    """Seconds from the first picture: by the timestamps, or for a file without any by its rate, which is noted."""

    def __init__(self, container: "InputContainer", stream: "VideoStream", video: Video, events: SourceEvents) -> None:
        self._raw = container.format.name in RAW_FORMATS
        self._coded_rate = float(stream.codec_context.framerate or 0)  # by the pictures themselves
        self._video, self._events = video, events
        self._start: float | None = None
        self._index = 0

    def __call__(self, frame: "av.VideoFrame") -> float | None:
        index, time = self._index, None if self._raw else frame.time
        self._index += 1
        if time is not None:
            if index == 0 and self._video.rate is not None:
                self._events.note(f"{self._video.shown}: it has timestamps, which are followed; --rate is not")
            self._start = time if self._start is None else self._start
            return time - self._start
        if self._video.live or self._start is not None:
            return None
        rate = self._video.rate or self._coded_rate or RATE
        if index == 0:
            source = "" if self._video.rate else ", as its pictures say" if self._coded_rate else ""
            self._events.note(
                f"{self._video.shown}: it has no timestamps; it is played at {rate:g} pictures a second{source} (--rate sets it)"
            )
        return index / rate


class _PixelAspect:
    """Width to height of a pixel: as the container says, which players follow, until the stream itself says something new."""

    def __init__(self, stream: "VideoStream") -> None:
        self._stream = stream
        self._first = stream.codec_context.sample_aspect_ratio
        self._container = stream.sample_aspect_ratio

    def __call__(self) -> Fraction:
        now = self._stream.codec_context.sample_aspect_ratio
        return (self._container if now == self._first else now) or now or Fraction(1)


def _device_note(video: Video, stream: "VideoStream", frame: "av.VideoFrame") -> str:
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    every = f", {rate:g} pictures a second" if rate else ""
    return f"{video.shown} gives {frame.width} x {frame.height} pixels{every} ({stream.codec_context.name})"


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
