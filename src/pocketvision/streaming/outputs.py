"""The table of outputs: where frames with their overlay go. A new output is one file and one row."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pocketvision.errors import UsageError
from pocketvision.printable import shortened
from pocketvision.redaction import looks_like_url, redacted
from pocketvision.streaming.frame import Pixels
from pocketvision.streaming.mp4 import open_mp4
from pocketvision.streaming.publishing import OnOptions, accepts_url, open_publisher
from pocketvision.streaming.window import open_window


class Output(Protocol):
    """Takes frames. closed: whether its user wants no more. dropped: frames that were taken and reached nobody."""

    closed: bool

    @property
    def dropped(self) -> int: ...

    def write(self, pixels: Pixels, time: float, line: str) -> None:
        """Take an RGB picture (H, W, 3) with its time in seconds, which never goes back, and its answer, a JSON object."""
        ...


class NullOutput:
    """Takes frames and does nothing."""

    closed = False
    dropped = 0

    def write(self, pixels: Pixels, time: float, line: str) -> None:
        """Nothing."""


@contextmanager
def _null_output() -> Iterator[NullOutput]:
    yield NullOutput()


@dataclass(frozen=True)
class OutputKind:
    """One kind of output. open: also takes what is called with the options that its viewers ask for. draws: whether frames need
    their overlay at all."""

    expects: str
    accepts: Callable[[str], bool]
    open: Callable[[str, OnOptions], AbstractContextManager[Output]]
    draws: bool = True


OUTPUTS: dict[str, OutputKind] = {
    "none": OutputKind("none", lambda text: text == "none", lambda *_: _null_output(), draws=False),
    "window": OutputKind("window", lambda text: text == "window", lambda *_: open_window()),
    "server": OutputKind(
        "http://HOST/live/NAME", accepts_url, lambda text, on_options: open_publisher(text, on_options=on_options)
    ),
    "video file": OutputKind(
        "FILE.mp4", lambda text: Path(text).suffix.lower() == ".mp4", lambda text, _: open_mp4(Path(text))
    ),
}


def find_output(text: str) -> OutputKind:
    """The row of the table that accepts `text`. Raises UsageError when none does."""
    for kind in OUTPUTS.values():
        # Not a file whose name is an address, with a password perhaps.
        if kind.accepts(text) and (kind is OUTPUTS["server"] or not looks_like_url(text)):
            return kind
    expected = ", ".join(kind.expects for kind in OUTPUTS.values())
    raise UsageError(f"--out {shortened(redacted(text))}: expected {expected}")
