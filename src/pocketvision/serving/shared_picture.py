"""An image file that several models look at: decoded once, by the first thread that needs it."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from pocketvision.errors import ImageError
from pocketvision.preprocessing import DecodedImage, Preprocessing, decode_image
from pocketvision.tasks.viewing import Input

Value = TypeVar("Value")

MOST_KEPT = 160 * 1024 * 1024
"""Bytes of decoded pictures that a server keeps for a second look, of all requests together. One that finds no room is decoded
again where something was found in it."""


class PictureMemory:
    """Bytes that decoded pictures may take together. Threads share it."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        self.most, self.used = most, 0
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Whether there was room for so many bytes, which are taken then."""
        with self._lock:
            if self.used + size > self.most:
                return False
            self.used += size
            return True

    def give_back(self, size: int) -> None:
        """Let others have them."""
        with self._lock:
            self.used -= size


@dataclass(frozen=True)
class Reading:
    """How a model reads a picture. inputs: what its network is run on. whole: whether it takes every pixel."""

    preprocessing: Preprocessing
    inputs: Callable[[DecodedImage], Sequence[Input]]
    whole: bool


@dataclass(frozen=True)
class Read:
    """A picture as a model's inputs, and the seconds that cropping took."""

    inputs: Sequence[Input]
    seconds: float


class SharedPicture:
    """The content of an image file, to be read by one model or several, each by its own rules.

    The thread that comes first decodes it and makes the inputs of all; the others wait for it and find theirs. So the pixels are
    gone again before any network runs, unless they are kept for a second look. A JPEG is decoded as small as the model that needs
    most of it allows; a 16-bit picture once for each white level. `close` when nobody needs it any more."""

    def __init__(
        self,
        content: bytes,
        readings: Sequence[Reading],
        *,
        max_pixels: int,
        formats: Sequence[str],
        keep: PictureMemory | None = None,
    ) -> None:
        """keep: where it is to be looked at again, in its whole size, by the rules of the first reading."""
        self._content, self._readings = content, readings
        sides = [None if each.whole else each.preprocessing.shortest_side for each in readings]
        side = None if keep is not None or None in sides else max(side for side in sides if side is not None)
        self._decode = partial(decode_image, content, max_pixels=max_pixels, formats=formats, shortest_side=side)
        self._memory, self._size = keep, 0
        self._kept: DecodedImage | None = None
        self._lock = threading.Lock()
        self._read: list[Read] | None = None
        self._error: Exception | None = None
        self._closed = False
        self.seconds = 0.0
        """What decoding took."""

    def read(self, reading: int) -> Read:
        """The inputs of a reading, by its place. Raises ImageError."""
        with self._lock:
            if self._read is None and self._error is None:
                try:
                    self._read = self._read_all()
                except Exception as error:
                    self._error = error
            if isinstance(
                self._error, ImageError
            ):  # one of its own for each: an error holds the frames it came through
                raise ImageError(self._error.where, self._error.reason)
            if self._error is not None:
                raise self._error
            assert self._read is not None
            return self._read[reading]

    def whole(self) -> DecodedImage:
        """Every pixel, for a second look: those that were kept, else decoded again."""
        with self._lock:
            return self._kept or self._decode(white_level=self._readings[0].preprocessing.white_level)

    def close(self) -> None:
        """Forget the pixels."""
        with self._lock:
            self._closed = True
            self._forget()

    def _read_all(self) -> list[Read]:
        decoded: dict[int, DecodedImage] = {}
        found = []
        for each in self._readings:
            white = each.preprocessing.white_level
            if white not in decoded:
                decoded[white], seconds = _timed(partial(self._decode, white_level=white))
                self.seconds += seconds
            inputs, seconds = _timed(partial(each.inputs, decoded[white]))
            found.append(Read(inputs, seconds))
        self._keep(decoded[self._readings[0].preprocessing.white_level])
        return found

    def _keep(self, decoded: DecodedImage) -> None:
        size = 3 * decoded.image.width * decoded.image.height
        if self._memory is not None and not self._closed and self._memory.take(size):
            self._kept, self._size = decoded, size

    def _forget(self) -> None:
        if self._memory is not None and self._kept is not None:
            self._memory.give_back(self._size)
        self._kept = None


def _timed(work: Callable[[], Value]) -> tuple[Value, float]:
    began = time.perf_counter()
    value = work()
    return value, time.perf_counter() - began
