"""A camera by its number: through PyAV and Video4Linux, or through OpenCV where that is installed."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from pocketvision.errors import MissingExtraError, SourceError
from pocketvision.streaming.picture import Picture
from pocketvision.streaming.video import Video, read_video

READ_TIMEOUT = 5.0


def read_camera(number: int, damaged: Callable[[], None]) -> Iterator[Picture]:
    """Pictures of the camera, in order. Raises SourceError that says what was tried, MissingExtraError when nothing could be."""
    have_av, have_opencv = (importlib.util.find_spec(name) is not None for name in ("av", "cv2"))
    device = Path(f"/dev/video{number}")
    tried = []
    if sys.platform == "linux" and not device.exists():
        there = ", ".join(str(path) for path in sorted(Path("/dev").glob("video*")))
        raise SourceError(
            f"Camera {number}: there is no {device}; {'there are ' + there if there else 'no camera is'} here"
        )
    if have_av and sys.platform == "linux":
        video = Video(str(device), f"camera {number}", format="video4linux2,v4l2", live=True, read_timeout=READ_TIMEOUT)
        opened = False
        try:
            for picture in read_video(video, damaged):
                opened = True
                yield picture
        except SourceError as error:
            if opened:
                raise
            tried.append(f"{device} through PyAV: {error}")
    if have_opencv:
        yield from _opencv_pictures(number, tried)
    elif not tried:
        # Elsewhere than on Linux, FFmpeg calls cameras by names and not by numbers.
        raise MissingExtraError(f"Camera {number}", "stream" if sys.platform == "linux" else "window")
    else:
        raise SourceError(f"Camera {number} can not be opened. Tried {'; '.join(tried)}; OpenCV is not installed.")


def _opencv_pictures(number: int, tried: list[str]) -> Iterator[Picture]:
    import cv2

    capture = cv2.VideoCapture(number)
    try:
        if not capture.isOpened():
            raise SourceError(f"Camera {number} can not be opened. Tried {'; '.join([*tried, 'OpenCV'])}.")
        # The shortest queue that the driver can do: a frame that waits there is stale when it comes out.
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        while True:
            read, blue_first = capture.read()
            if not read:
                raise SourceError(
                    f"Camera {number}: it gives no more pictures (unplugged, or taken by another program?)"
                )
            yield Picture(pixels=lambda bgr=blue_first: np.ascontiguousarray(bgr[..., ::-1]), position=None)  # type: ignore[misc]
    finally:
        capture.release()
