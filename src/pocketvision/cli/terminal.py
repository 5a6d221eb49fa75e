"""The one place where the command line prints. Text is text here: no markup, no emoji codes, nothing that a terminal obeys.

Other files of this folder print with `stdout()`, `stderr()`, `write_line` and `write_cells`, and give colour with `styled`;
tests/cli/test_terminal.py holds them to it.
"""

import io
import os
import sys
from contextlib import suppress
from typing import BinaryIO, TextIO

from rich.console import Console, HighlighterType, JustifyMethod, OverflowMethod
from rich.style import Style
from rich.text import Text

from pocketvision.printable import printable

_WIDE = 240


class ClosedPipeError(Exception):
    """Nobody reads standard output any more: `pocketvision predict … | head -1`."""


class Terminal(Console):
    """A console that takes every string for what it is: one line of text."""

    def __init__(self, *, to_stderr: bool = False) -> None:
        # A file or a pipe has no width: tables are not cut there.
        wide = None if to_stderr or sys.stdout.isatty() else _WIDE
        super().__init__(stderr=to_stderr, width=wide, markup=False, emoji=False, highlight=False)

    def render_str(
        self,
        text: str,
        *,
        style: str | Style = "",
        justify: JustifyMethod | None = None,
        overflow: OverflowMethod | None = None,
        emoji: bool | None = None,
        markup: bool | None = None,
        highlight: bool | None = None,
        highlighter: HighlighterType | None = None,
    ) -> Text:
        """Every string that is printed, in a table too, goes through here; what is asked for in markup is not given."""
        del emoji, markup, highlight, highlighter
        return Text(printable(text), style=style, justify=justify, overflow=overflow)

    def on_broken_pipe(self) -> None:
        """Raise ClosedPipeError: the verb ends as on Ctrl-C, and keeps what it has."""
        self.quiet = True
        raise ClosedPipeError


def stdout() -> Terminal:
    """Where results go."""
    return Terminal()


def stderr() -> Terminal:
    """Where progress and errors go, so that standard output can be piped."""
    return Terminal(to_stderr=True)


def styled(text: object, style: str) -> Text:
    """A text in a style, such as "bold" or "red"."""
    return Text(printable(text), style=style)


def joined(*parts: str | Text) -> Text:
    """One line of texts with styles of their own."""
    line = Text()
    for part in parts:
        line.append_text(part if isinstance(part, Text) else Text(printable(part)))
    return line


def lines(*texts: str) -> Text:
    """Several lines: a heading of a table."""
    return Text("\n").join(Text(printable(text)) for text in texts)


def write_line(text: str) -> None:
    """A line of standard output, handed on at once to a terminal."""
    _write(printable(text) + "\n")


def write_cells(*cells: object) -> None:
    """A line of values with tabs between them; a tab or a line end within a value is escaped."""
    _write("\t".join(map(printable, cells)) + "\n")


def write_json_line(text: str) -> None:
    """JSON as it is, which escapes what is not printable itself; handed on at once."""
    _write(text)
    flush()


def standard_input() -> BinaryIO:
    """What is piped in, as bytes. On a terminal a note says that input is awaited."""
    if sys.stdin.isatty():
        stderr().print("Paths of images, one a line; Ctrl-D ends the list.", soft_wrap=True)
    return getattr(sys.stdin, "buffer", None) or io.BytesIO(sys.stdin.read().encode("utf-8", "surrogateescape"))


def flush() -> None:
    """Hand on what is buffered of standard output. Raises ClosedPipeError."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise ClosedPipeError from None


def forget_output() -> None:
    """Discard what is still buffered: otherwise Python reports a broken pipe at its end."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def show_any_character() -> None:
    """Escape what the encoding of a terminal or a pipe lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        _escape_unencodable(stream)


def _escape_unencodable(stream: TextIO) -> None:
    reconfigure = getattr(stream, "reconfigure", None)  # what tests put in its place has none
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def _write(text: str) -> None:
    try:
        sys.stdout.write(text)
    except BrokenPipeError:
        raise ClosedPipeError from None
