"""Real video through PyAV: files, damage, a network stream that is cut, outputs."""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from pocketvision.errors import MissingExtraError, PocketVisionError, SourceError, UsageError
from pocketvision.streaming.answers import streaming
from pocketvision.streaming.frame import SourceEvents, SourceFrame
from pocketvision.streaming.mp4 import open_mp4
from pocketvision.streaming.outputs import find_output
from pocketvision.streaming.overlay import Overlay, figures_line
from pocketvision.streaming.pattern import draw, number_of
from pocketvision.streaming.reader import BackOff
from pocketvision.streaming.source_settings import SourceSettings
from pocketvision.streaming.sources import SOURCES, find_source
from pocketvision.streaming.summary import Durations
from pocketvision.streaming.video import Video, read_video
from pocketvision.tasks.classification.answer import Classification

ANSWER = {"classification": Classification(("something",), np.ones(1, dtype=np.float32))}


def numbers(pictures: Any) -> list[int]:
    return [number_of(picture.pixels()) for picture in pictures]


def damage(content: bytes, places: range) -> bytes:
    """Bytes at these places overwritten, 400 at a time, the headers at the start left alone."""
    broken = bytearray(content)
    generator = np.random.default_rng(0)
    for place in places:
        broken[place : place + 400] = generator.integers(0, 256, 400, dtype=np.uint8).tobytes()
    return bytes(broken[: len(content)])


def test_a_file_gives_every_picture_with_its_position(video: Path) -> None:
    pictures = list(SOURCES["video file"].read(str(video), SourceSettings(), SourceEvents()))
    assert numbers(pictures) == list(range(40))
    np.testing.assert_allclose([picture.position for picture in pictures], np.arange(40) / 30, atol=1e-3)
    assert np.abs(pictures[7].pixels().astype(int) - draw(7)).mean() < 8


def test_damaged_packets_do_not_end_a_stream(transport: bytes, tmp_path: Path) -> None:
    file = tmp_path / "damaged.ts"
    file.write_bytes(damage(transport, range(20_000, len(transport) - 20_000, 15_000)))
    damaged: list[None] = []
    found = numbers(read_video(Video(str(file), "damaged.ts"), SourceEvents(damaged=lambda: damaged.append(None))))
    assert found[0] == 0
    assert found[-1] >= 35  # it went on to the end
    assert len(found) > 5


def test_a_truncated_file_gives_what_it_has(transport: bytes, tmp_path: Path) -> None:
    file = tmp_path / "half.ts"
    file.write_bytes(transport[: len(transport) // 2])
    assert len(numbers(read_video(Video(str(file), "half.ts"), SourceEvents()))) >= 10


@pytest.mark.parametrize("content", [b"", b"no video at all", bytes(100_000)])
def test_what_is_no_video_is_named(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "not.mp4"
    file.write_bytes(content)
    with pytest.raises(SourceError, match=r"not\.mp4"):
        list(SOURCES["video file"].read(str(file), SourceSettings(), SourceEvents()))


def test_a_tcp_stream_that_is_cut_five_times_resumes(transport: bytes, serve: Callable[..., Any]) -> None:
    ended = time.monotonic() + 60
    with serve([transport] * 6) as url:

        def stopped() -> bool:
            return time.monotonic() > ended or running.counts.reconnects >= 5

        with streaming(
            lambda events: SOURCES["network"].read(url, SourceSettings(), events),
            lambda _: ANSWER,
            stopped=stopped,
            keep_all=False,
            back_off=BackOff(enabled=True, first_delay=0.02),
        ) as running:
            answered = sum(1 for _ in running)
    assert running.counts.reconnects == 5
    assert answered > 6


@pytest.mark.parametrize("low_latency", [False, True])
def test_a_network_stream_gives_its_pictures(transport: bytes, serve: Callable[..., Any], low_latency: bool) -> None:
    found: list[int] = []
    with serve([transport]) as url, pytest.raises(SourceError, match="the stream ended"):
        for picture in SOURCES["network"].read(url, SourceSettings(low_latency=low_latency), SourceEvents()):
            found.append(number_of(picture.pixels()))
    assert found == list(range(40))


def test_damage_on_the_way_does_not_end_a_network_stream(transport: bytes, serve: Callable[..., Any]) -> None:
    broken = damage(transport, range(60_000, len(transport) - 40_000, 20_000))
    pictures: list[SourceFrame] = []
    with serve([broken]) as url, pytest.raises(SourceError, match="the stream ended"):
        # Not extend: what came before the error counts.
        for picture in SOURCES["network"].read(url, SourceSettings(), SourceEvents()):
            pictures.append(picture)
    assert numbers(pictures)[-1] >= 35


def test_passwords_are_not_shown() -> None:
    with pytest.raises(UsageError) as refused:
        find_source("ftp://me:secret@host/x")
    assert "secret" not in str(refused.value)
    with pytest.raises(SourceError) as failed:
        list(SOURCES["network"].read("tcp://me:secret@127.0.0.1:9", SourceSettings(), SourceEvents()))
    assert "secret" not in str(failed.value)


@pytest.mark.parametrize(
    ("text", "kind"),
    [("0", "camera"), ("test-pattern", "test pattern"), ("rtsp://x/y", "network"), ("TCP://x:1", "network")],
)
def test_a_source_is_known_by_its_text(text: str, kind: str) -> None:
    assert find_source(text)[0] == kind


def test_a_source_that_is_none_lists_what_there_is() -> None:
    with pytest.raises(UsageError, match=r"holiday.*test-pattern.*camera.*rtsp.*folder.*video file"):
        find_source("holiday")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="cameras have files on Linux")
def test_a_camera_that_is_not_there_is_named() -> None:
    with pytest.raises(SourceError, match="Camera 987: there is no /dev/video987"):
        next(SOURCES["camera"].read("987", SourceSettings(), SourceEvents()))


def test_a_camera_through_opencv_gives_rgb_and_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    class Capture:
        def __init__(self, number: int) -> None:
            self._left = 2
            calls.append(f"open {number}")

        def isOpened(self) -> bool:  # noqa: N802
            return True

        def set(self, what: int, value: float) -> None:
            calls.append(f"set {what} {value:g}")

        def get(self, _what: int) -> float:
            return 15.0

        def read(self) -> tuple[bool, Any]:
            self._left -= 1
            return self._left >= 0, np.full((4, 6, 3), (1, 2, 3), dtype=np.uint8)

        def release(self) -> None:
            calls.append("release")

    opencv = ModuleType("cv2")
    opencv.__spec__ = ModuleSpec("cv2", None)
    for name, value in (("BUFFERSIZE", 38), ("FRAME_WIDTH", 3), ("FRAME_HEIGHT", 4), ("FPS", 5)):
        setattr(opencv, f"CAP_PROP_{name}", value)
    opencv.VideoCapture = Capture  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cv2", opencv)
    monkeypatch.setattr(sys, "platform", "darwin")
    pictures: list[SourceFrame] = []
    notes: list[str] = []
    settings = SourceSettings(camera_size=(640, 480), camera_rate=30)
    with pytest.raises(SourceError, match="Camera 3: it gives no more pictures"):
        for picture in SOURCES["camera"].read("3", settings, SourceEvents(note=notes.append)):
            pictures.append(picture)
    assert [picture.pixels()[0, 0].tolist() for picture in pictures] == [[3, 2, 1], [3, 2, 1]]
    assert calls == ["open 3", "set 38 1", "set 3 640", "set 4 480", "set 5 30", "release"]
    assert notes == ["camera 3 gives 6 x 4 pixels, 15 pictures a second"]  # and not what it was asked for


def test_a_camera_of_video4linux_is_asked_and_says_what_it_gives(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Video] = []

    def read(camera: Video, events: SourceEvents) -> Any:
        asked.append(camera)
        return read_video(replace(camera, place=str(video), format=None, options={}), events)

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("pocketvision.streaming.camera.Path.exists", lambda _: True)
    monkeypatch.setattr("pocketvision.streaming.camera.read_video", read)
    settings = SourceSettings(camera_size=(1280, 720), camera_rate=29.97, open_timeout=40, read_timeout=9)
    notes: list[str] = []
    assert len(list(SOURCES["camera"].read("0", settings, SourceEvents(note=notes.append)))) == 40
    assert asked[0].options == {"video_size": "1280x720", "framerate": "29.97"}
    assert (asked[0].open_timeout, asked[0].read_timeout) == (40, 9)
    assert notes == ["camera 0 gives 640 x 480 pixels, 30 pictures a second (mpeg4)"]


def test_video_without_pyav_names_the_extra(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r'pip install "pocketvision\[stream\]"'):
        next(SOURCES["video file"].read(str(video), SourceSettings(), SourceEvents()))


# Outputs --------------------------------------------------------------------------------------------------------------


def test_an_mp4_holds_every_frame_at_its_time(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.15, 0.4, 0.4]
    with open_mp4(tmp_path / "out" / "a.mp4") as file:
        for index, at in enumerate(times):
            file.write(draw(index)[: 479 - index], 100 + at)
    pictures = list(read_video(Video(str(tmp_path / "out/a.mp4"), "a.mp4"), SourceEvents()))
    np.testing.assert_allclose([picture.position for picture in pictures], times, atol=1e-3)
    assert {picture.pixels().shape for picture in pictures} == {(478, 640, 3)}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.mp4"]


def test_an_mp4_is_finished_whatever_ends_it_and_not_there_without_a_picture(tmp_path: Path) -> None:
    for number, error in enumerate((PocketVisionError("gone"), KeyboardInterrupt(), RuntimeError("a mistake"))):
        path = tmp_path / f"{number}.mp4"
        with pytest.raises(type(error)), open_mp4(path) as file:
            file.write(draw(number), 0)
            raise error
        assert numbers(read_video(Video(str(path), path.name), SourceEvents())) == [number]
    with open_mp4(tmp_path / "empty.mp4"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.mp4", "1.mp4", "2.mp4"]


def test_a_window_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"pocketvision\[window\]"), find_output("window").open("window", print):
        pass
    if sys.platform.startswith("linux"):
        monkeypatch.setitem(sys.modules, "cv2", type(sys)("cv2"))
        monkeypatch.delenv("DISPLAY", raising=False)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        with pytest.raises(UsageError, match="needs a display"), find_output("window").open("window", print):
            pass
    with pytest.raises(UsageError, match=r"FILE\.mp4"):
        find_output("video.avi")


@pytest.mark.parametrize("shape", [(480, 640), (16, 16), (1, 1), (2000, 100)])
def test_an_overlay_is_drawn_on_any_frame(shape: tuple[int, int]) -> None:
    pixels = np.full((*shape, 3), 128, dtype=np.uint8)
    answer = Classification(("파랑",), np.array([0.934]))
    figures = figures_line(fps=24, inference=0.0123, dropped=7)
    assert [answer.headline, figures] == ["파랑 93%", "24 fps   12.3 ms   7 dropped"]
    drawn = Overlay(["파랑"]).draw(pixels, {"classification": answer}, figures)
    assert drawn.shape == pixels.shape
    assert (pixels == 128).all()
    assert (drawn != pixels).any()


def test_percentiles_are_exact_to_a_percent_and_bounded() -> None:
    durations, values = Durations(), np.random.default_rng(0).lognormal(-4, 1, 5000)
    assert durations.percentile(50) is None
    for value in values:
        durations.add(float(value))
    for percent in (5, 50, 95, 99):
        assert durations.percentile(percent) == pytest.approx(np.percentile(values, percent), rel=0.02)
    durations.add(1e9)
    durations.add(0.0)
