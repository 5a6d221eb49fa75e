"""What a source gives, a SourceFrame, and what the reader makes of it, a Frame."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""(H, W, 3) uint8 in RGB order."""


@dataclass(frozen=True, eq=False)
class SourceFrame:
    """A picture as a source gives it. pixels: computes its RGB array when it is called, and may raise ImageError.

    Only when called: a frame that is dropped unseen costs no conversion of colours. position: seconds from the start of the
    source by its own clock, None where it has none. name: a file's path in a folder, empty elsewhere.
    """

    pixels: Callable[[], Pixels]
    position: float | None
    name: str = ""


def _nothing(_note: str = "") -> None:
    pass


@dataclass(frozen=True)
class SourceEvents:
    """What a source reports besides its frames. damaged: a packet or picture could not be decoded. note: a sentence for the user,
    such as how fast a video without timestamps is played."""

    damaged: Callable[[], None] = _nothing
    note: Callable[[str], None] = _nothing


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture with its number (from 0, counting those that were dropped) and when it came out of the source.

    captured: seconds of time.monotonic. time: seconds since 1970.
    """

    picture: SourceFrame
    index: int
    captured: float
    time: float
