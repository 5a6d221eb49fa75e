"""A file that grows line by line under its own name, and is kept whatever ends the work.

Such a file is not written aside and renamed: what stands in it is finished, and a run of hours that is interrupted, killed
or out of disk has to leave it. A line is written at once and whole.
"""

import io
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pocketvision.atomic_files import append_whole
from pocketvision.errors import PocketVisionError
from pocketvision.printable import printable

WriteLine = Callable[[bytes], None]


@contextmanager
def growing_file(path: Path, *, holds: str, header: bytes = b"") -> Iterator[WriteLine]:
    """A function that adds a whole line to `path`. holds: what the lines are, for messages: "rows".

    Whether it can be written is found out at once; what is there is replaced by the header and the first line together, so
    that work which fails before it leaves an earlier result alone. What is no regular file (a pipe) is opened at once.

    Raises PocketVisionError when the file can not be written. Every error that leaves the block, also KeyboardInterrupt,
    has a note that says how many lines are kept.
    """
    with ExitStack() as opened:
        lines = _LineWriter(path, holds, header, opened)
        with _explained(path, holds):
            lines.prepare()
        try:
            yield lines.write
        except BaseException as error:
            if lines.count:
                error.add_note(f"{printable(path)} holds the {holds} until then: {lines.count}.")
            raise
        with _explained(path, holds):
            lines.begin()  # nothing was answered: that, too, is a result


class _LineWriter:
    def __init__(self, path: Path, holds: str, header: bytes, opened: ExitStack) -> None:
        self._path, self._holds, self._header, self._opened = path, holds, header, opened
        self._file: io.FileIO | None = None
        self.count = 0

    def prepare(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        there = self._path.exists()
        if there and not stat.S_ISREG(self._path.stat().st_mode):
            self.begin()
            return
        # Raises what writing would.
        with self._path.open("ab") if there else tempfile.TemporaryFile(dir=self._path.parent):
            pass

    def begin(self) -> None:
        if self._file is None:
            self._file = self._opened.enter_context(self._path.open("wb", buffering=0))
            append_whole(self._file, self._header)

    def write(self, line: bytes) -> None:
        with _explained(self._path, self._holds):
            self.begin()
            assert self._file is not None
            append_whole(self._file, line)
        self.count += 1


@contextmanager
def _explained(path: Path, holds: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise PocketVisionError(f"{path}: {holds} can not be written there ({error.strerror or error})") from error
