"""The table of outputs: where frames with their overlay go. A new output is one file and one row."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pocketvision.errors import UsageError
from pocketvision.streaming.mp4 import open_mp4
from pocketvision.streaming.picture import Pixels
from pocketvision.streaming.window import open_window


class Output(Protocol):
    """Takes frames. closed: whether its user wants no more."""

    closed: bool

    def write(self, pixels: Pixels, time: float) -> None:
        """Take an RGB picture (H, W, 3) with its time in seconds, which never goes back."""
        ...


class Nowhere:
    """Takes frames and does nothing."""

    closed = False

    def write(self, pixels: Pixels, time: float) -> None:
        """Nothing."""


@contextmanager
def _nowhere() -> Iterator[Nowhere]:
    yield Nowhere()


@dataclass(frozen=True)
class OutputKind:
    """One kind of output. draws: whether frames need their overlay at all."""

    expects: str
    accepts: Callable[[str], bool]
    open: Callable[[str], AbstractContextManager[Output]]
    draws: bool = True


OUTPUTS: dict[str, OutputKind] = {
    "none": OutputKind("none", lambda text: text == "none", lambda _: _nowhere(), draws=False),
    "window": OutputKind("window", lambda text: text == "window", lambda _: open_window()),
    "video file": OutputKind(
        "FILE.mp4", lambda text: Path(text).suffix.lower() == ".mp4", lambda text: open_mp4(Path(text))
    ),
}


def find_output(text: str) -> OutputKind:
    """The row of the table that accepts `text`. Raises UsageError when none does."""
    for kind in OUTPUTS.values():
        if kind.accepts(text):
            return kind
    raise UsageError(f"--out {text}: expected {', '.join(kind.expects for kind in OUTPUTS.values())}")
