"""Keeping a library's compiled part, which writes past Python, off the terminal."""

import contextlib
import io
import os
from collections.abc import Iterator
from threading import Lock


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Within the block what is written to the process's standard output and error goes nowhere. Errors still raise."""
    with _SILENCING, contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        kept = os.dup(1), os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept[0], 1)
            os.dup2(kept[1], 2)
            for each in (*kept, nowhere):
                os.close(each)


_SILENCING = Lock()  # two at once would put each other's nowhere back
