"""A window that shows the frames, through OpenCV where it was built with windows."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from pocketvision.errors import MissingExtraError, UsageError
from pocketvision.streaming.frame import Pixels

TITLE = "PocketVision"
LEAVE = (ord("q"), 27)
"""Keys that close the window: q and Escape."""


class Window:
    """An open window. `closed` is whether its user has closed it."""

    dropped = 0

    def __init__(self, cv2: Any) -> None:
        self._cv2 = cv2
        self.closed = False

    def write(self, pixels: Pixels, _time: float, _line: str = "") -> None:
        """Show a picture (H, W, 3) at once."""
        self._cv2.imshow(TITLE, np.ascontiguousarray(pixels[..., ::-1]))
        key = self._cv2.waitKey(1) & 0xFF
        self.closed = key in LEAVE or self._cv2.getWindowProperty(TITLE, self._cv2.WND_PROP_VISIBLE) < 1


@contextmanager
def open_window() -> Iterator[Window]:
    """A window that is gone when the block is left.

    Raises MissingExtraError without OpenCV, and UsageError where no window can be: there is no display, or OpenCV is the build
    without windows.
    """
    try:
        import cv2
    except ModuleNotFoundError as error:
        raise MissingExtraError("A window", "window") from error
    # OpenCV ends the whole process when it can not reach a display, so that is asked for first.
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise UsageError(
            "A window needs a display, and there is none here. Use --out FILE.mp4 or --jsonl FILE instead."
        )
    try:
        cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL)
    except cv2.error as error:
        raise UsageError(
            "The installed OpenCV is built without windows (opencv-python-headless). Replace it by opencv-python, or use "
            "--out FILE.mp4."
        ) from error
    try:
        yield Window(cv2)
    finally:
        cv2.destroyAllWindows()
