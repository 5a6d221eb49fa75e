"""Videos of numbered pictures, as files and as streams that a local server sends."""

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from pocketvision.streaming.pattern import draw

FPS = 30

av = pytest.importorskip("av")


def video_bytes(frames: int, container: str, first: int = 0) -> bytes:
    """A video of the test pattern's pictures, 640 x 480, from number `first`."""
    content = io.BytesIO()
    with av.open(content, "w", format=container) as file:
        stream: Any = file.add_stream("mpeg4", rate=FPS, options={"g": "10", "qscale": "5"})
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(draw(first + index), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return content.getvalue()


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MP4 file of 40 pictures."""
    path = tmp_path_factory.mktemp("videos") / "video.mp4"
    path.write_bytes(video_bytes(40, "mp4"))
    return path


@pytest.fixture(scope="session")
def transport() -> bytes:
    """40 pictures as an MPEG transport stream."""
    return video_bytes(40, "mpegts")


@contextmanager
def served(contents: list[bytes], *, chunk: int = 8 * 1316, pause: float = 0.01) -> Iterator[str]:
    """The URL of a TCP server that sends each of `contents` to one client after another, and then hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)

    def serve() -> None:
        with listener, suppress(OSError):
            for content in contents:
                client, _ = listener.accept()
                with client:
                    for start in range(0, len(content), chunk):
                        client.sendall(content[start : start + chunk])
                        time.sleep(pause)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()
    thread.join(timeout=10)


@pytest.fixture
def serve() -> Callable[..., Any]:
    return served
