"""Video files as cameras, phones and tools write them: without timestamps, with covers, of changing size."""

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coded import coded

from pocketvision.errors import SourceError
from pocketvision.streaming.frame import SourceEvents, SourceFrame
from pocketvision.streaming.pattern import number_of
from pocketvision.streaming.video import Video, read_video

av = pytest.importorskip("av")

COVER = 1 << 10  # AV_DISPOSITION_ATTACHED_PIC
SIZE = (64, 48)


def read(path: Path, rate: float | None = None) -> tuple[list[SourceFrame], list[str]]:
    notes: list[str] = []
    frames = list(read_video(Video(str(path), path.name, rate=rate), SourceEvents(note=notes.append)))
    return frames, notes


def frames(number: int, size: tuple[int, int] = SIZE) -> list[Any]:
    made = [
        av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), 90, np.uint8), format="rgb24") for _ in range(number)
    ]
    for index, frame in enumerate(made):
        frame.pts, frame.time_base = index, Fraction(1, 10)
    return made


def add(file: Any, codec: str, size: tuple[int, int] = SIZE, disposition: int = 0) -> Any:
    stream = file.add_stream(codec, rate=10)
    stream.width, stream.height = size
    stream.pix_fmt = "rgb24" if codec == "png" else "yuvj420p" if codec == "mjpeg" else "yuv420p"
    stream.disposition = disposition
    return stream


def fill(file: Any, stream: Any, made: list[Any]) -> None:
    for frame in [*made, None]:
        file.mux(stream.encode(frame))


@pytest.mark.parametrize(("encoder", "suffix"), [("libx264", "h264"), ("libx265", "hevc")])
def test_a_bare_stream_gives_every_picture_at_the_rate_it_states(encoder: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"raw.{suffix}"
    path.write_bytes(b"".join(coded(encoder, 25)))
    found, notes = read(path)
    assert [number_of(frame.pixels()) for frame in found] == list(range(25))
    assert [frame.position for frame in found] == pytest.approx(np.arange(25) / 30)
    assert notes == [
        f"raw.{suffix}: it has no timestamps; it is played at 30 pictures a second, as its pictures say (--rate sets it)"
    ]
    found, notes = read(path, rate=5)
    assert [frame.position for frame in found] == pytest.approx(np.arange(25) / 5)
    assert notes == [f"raw.{suffix}: it has no timestamps; it is played at 5 pictures a second (--rate sets it)"]


def test_a_bare_stream_that_states_no_rate_is_played_at_25(tmp_path: Path) -> None:
    path = tmp_path / "raw.mjpeg"
    with av.open(str(path), "w", format="mjpeg") as file:
        fill(file, add(file, "mjpeg"), frames(4))
    found, notes = read(path)
    assert [frame.position for frame in found] == pytest.approx(np.arange(4) / 25)
    assert "played at 25 pictures a second (--rate sets it)" in notes[0]


def test_a_video_with_timestamps_says_that_a_rate_is_of_no_use(video: Path) -> None:
    found, notes = read(video, rate=5)
    assert found[30].position == pytest.approx(1.0)
    assert notes == ["video.mp4: it has timestamps, which are followed; --rate is not"]


def boxes(content: bytes) -> list[bytes]:
    """The boxes of an MP4 (ISO/IEC 14496-12, 4.2)."""
    found = []
    while content:
        length = int.from_bytes(content[:4], "big")
        found.append(content[:length])
        content = content[length:]
    return found


def cover_first(content: bytes) -> bytes:
    """An MP4 whose metadata, with the cover in it, stand before its tracks, as some tools write them."""

    def reordered(box: bytes) -> bytes:
        if box[4:8] != b"moov":
            return box
        inside = sorted(
            boxes(box[8:]), key=lambda each: [b"mvhd", b"udta"].index(each[4:8]) if each[4:8] != b"trak" else 2
        )
        return box[:8] + b"".join(inside)

    return b"".join(map(reordered, boxes(content)))


@pytest.mark.parametrize("change", [lambda content: content, cover_first], ids=["behind", "before"])
def test_a_cover_picture_is_not_the_video(change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    content = io.BytesIO()
    with av.open(content, "w", format="mp4") as file:
        video, cover = add(file, "libx264"), add(file, "png", (32, 32), COVER)
        fill(file, cover, frames(1, (32, 32)))
        fill(file, video, frames(6))
    path = tmp_path / "a.mp4"
    path.write_bytes(change(content.getvalue()))
    with av.open(str(path)) as file:
        assert len(file.streams.video) == 2
    found, notes = read(path)
    assert [frame.pixels().shape for frame in found] == [(48, 64, 3)] * 6
    assert notes == []


def test_music_with_a_cover_holds_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    with av.open(str(path), "w", format="mp3") as file:
        sound, cover = file.add_stream("libmp3lame", rate=44100), add(file, "png", (32, 32), COVER)
        fill(file, cover, frames(1, (32, 32)))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 8820), np.int16), format="s16", layout="stereo")
        silence.rate = 44100
        fill(file, sound, [silence])
    with pytest.raises(SourceError, match=r"a\.mp3: it holds no video, only a cover picture"):
        read(path)


def test_of_several_videos_the_default_is_taken_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as file:
        one, other = add(file, "libx264", (32, 32)), add(file, "libx264", SIZE, 1)
        fill(file, one, frames(3, (32, 32)))
        fill(file, other, frames(3))
    found, notes = read(path)
    assert {frame.pixels().shape for frame in found} == {(48, 64, 3)}
    assert notes == ["a.mkv: it holds 2 videos (32 x 32, 64 x 48); number 2 is taken"]


def test_a_size_that_changes_in_mid_stream_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    sizes = [(64, 48), (96, 64), (48, 96)]
    with path.open("wb") as content:
        for size in sizes:
            part = io.BytesIO()
            with av.open(part, "w", format="mpegts") as file:
                fill(file, add(file, "libx264", size), frames(4, size))
            content.write(part.getvalue())
    found, _ = read(path)
    shapes = [frame.pixels().shape[1::-1] for frame in found]
    assert sorted(set(shapes), key=shapes.index) == sizes
    assert len(shapes) == 12
