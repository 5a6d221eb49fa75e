"""A camera by its number: through PyAV and Video4Linux, or through OpenCV where that is installed."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pocketvision.errors import MissingExtraError, SourceError
from pocketvision.streaming.frame import SourceEvents, SourceFrame
from pocketvision.streaming.source_settings import SourceSettings
from pocketvision.streaming.video import Video, read_video


def read_camera(number: int, settings: SourceSettings, events: SourceEvents) -> Iterator[SourceFrame]:
    """Pictures of the camera, in order; what it really gives is noted.

    Raises SourceError that says what was tried, MissingExtraError when nothing could be.
    """
    have_av, have_opencv = (importlib.util.find_spec(name) is not None for name in ("av", "cv2"))
    device = Path(f"/dev/video{number}")
    tried = []
    if sys.platform == "linux" and not device.exists():
        there = ", ".join(str(path) for path in sorted(Path("/dev").glob("video*")))
        raise SourceError(
            f"Camera {number}: there is no {device}; {'there are ' + there if there else 'no camera is'} here"
        )
    if have_av and sys.platform == "linux":
        video = Video(
            str(device),
            f"camera {number}",
            format="video4linux2,v4l2",
            live=True,
            options=_v4l2_options(settings),
            open_timeout=settings.open_timeout,
            read_timeout=settings.read_timeout,
            device=True,
        )
        opened = False
        try:
            for picture in read_video(video, events):
                opened = True
                yield picture
            return
        except SourceError as error:
            if opened:
                raise
            tried.append(f"{device} through PyAV: {error}")
    if have_opencv:
        yield from _opencv_pictures(number, settings, events, tried)
    elif not tried:
        # Elsewhere than on Linux, FFmpeg calls cameras by names and not by numbers.
        raise MissingExtraError(f"Camera {number}", "stream" if sys.platform == "linux" else "window")
    else:
        raise SourceError(f"Camera {number} can not be opened. Tried {'; '.join(tried)}; OpenCV is not installed.")


def _v4l2_options(settings: SourceSettings) -> dict[str, str]:
    options = {}
    if settings.camera_size is not None:
        options["video_size"] = "{}x{}".format(*settings.camera_size)
    if settings.camera_rate is not None:
        options["framerate"] = f"{settings.camera_rate:g}"
    return options


def _opencv_pictures(
    number: int, settings: SourceSettings, events: SourceEvents, tried: list[str]
) -> Iterator[SourceFrame]:
    import cv2

    capture = cv2.VideoCapture(number)
    try:
        if not capture.isOpened():
            raise SourceError(f"Camera {number} can not be opened. Tried {'; '.join([*tried, 'OpenCV'])}.")
        # The shortest queue that the driver can do: a frame that waits there is stale when it comes out.
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if settings.camera_size is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, settings.camera_size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, settings.camera_size[1])
        if settings.camera_rate is not None:
            capture.set(cv2.CAP_PROP_FPS, settings.camera_rate)
        first = True
        while True:
            read, blue_first = capture.read()
            if not read:
                raise SourceError(
                    f"Camera {number}: it gives no more pictures (unplugged, or taken by another program?)"
                )
            if first:
                first = False
                rate = capture.get(cv2.CAP_PROP_FPS)
                every = f", {rate:g} pictures a second" if rate else ""
                events.note(f"camera {number} gives {blue_first.shape[1]} x {blue_first.shape[0]} pixels{every}")
            yield SourceFrame(pixels=lambda bgr=blue_first: np.ascontiguousarray(bgr[..., ::-1]), position=None)  # type: ignore[misc]
    finally:
        capture.release()
