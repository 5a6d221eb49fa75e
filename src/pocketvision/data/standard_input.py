"""What comes on standard input: one picture, or a list of paths."""

import io
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, cast

from pocketvision.data.delimited_text import text_of
from pocketvision.data.signatures import HEAD_BYTES, format_of
from pocketvision.errors import UsageError

STANDARD_INPUT = "-"
"""Stands for it among images, and in rows for the picture that came on it."""

Lines = Iterable[str] | BinaryIO

LARGEST_PICTURE = 256 * 1024 * 1024
"""Bytes of a picture on standard input."""


def standard_input(source: BinaryIO) -> bytes | Iterator[str]:
    """The picture that `source` holds, or its lines, one at a time: paths that end at a line end or, as `find -print0`
    writes them, at a zero.

    Raises UsageError for what is neither, and for a picture of more than LARGEST_PICTURE bytes.
    """
    buffered: Any = io.BufferedReader(_WithHead(source))
    head = buffered.peek(HEAD_BYTES)[: 4 * HEAD_BYTES]
    if format_of(head[:HEAD_BYTES]) is not None:
        return _picture(buffered)
    lines = text_of(buffered)
    if lines.encoding.startswith("utf-8") and _is_binary(head.replace(b"\0", b"")):
        raise UsageError(
            "Standard input holds neither a picture of a known format nor a list of paths: it begins with "
            f"{head[:8]!r}. Expected an image file, or one path a line."
        )
    if lines.encoding.startswith("utf-8") and b"\0" in head:
        cast(io.TextIOWrapper, lines).detach()
        return _ended_by_zeros(buffered)
    return _lines(lines)


class _WithHead(io.RawIOBase):
    """A stream whose first read gives enough of it to tell what it is: a pipe may bring a picture in pieces of a few bytes."""

    def __init__(self, source: BinaryIO) -> None:
        self._source: Any = source
        self._read = getattr(source, "read1", source.read)
        self._head: bytes | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._head is None:
            self._head = self._read(len(buffer))
            while len(self._head) < HEAD_BYTES and not _is_line(self._head) and (more := self._read(HEAD_BYTES)):
                self._head += more
        held = self._head[: len(buffer)] or self._read(len(buffer))
        self._head = self._head[len(held) :]
        buffer[: len(held)] = held
        return len(held)


def _is_line(head: bytes) -> bool:
    """Whether these bytes begin with a whole line of text, so that nobody waits for more."""
    first, end, _ = head.partition(b"\n")
    try:
        return bool(end) and not _is_binary(first) and len(first.decode().strip()) > 2
    except UnicodeDecodeError:
        return False


def lines_of(lines: Lines) -> bytes | Iterable[str]:
    """What `find_images` takes for `-`: lines as they are given from Python, or what a binary stream holds."""
    return standard_input(cast(BinaryIO, lines)) if hasattr(lines, "readinto") else cast(Iterable[str], lines)


def _picture(source: BinaryIO) -> bytes:
    content = source.read(LARGEST_PICTURE + 1)
    if len(content) > LARGEST_PICTURE:
        raise UsageError(f"The picture on standard input is larger than {LARGEST_PICTURE // 2**20} MiB.")
    return content


def _lines(text: Iterable[str]) -> Iterator[str]:
    try:
        yield from text
    except UnicodeError as error:
        raise UsageError(f"Standard input can not be read as text ({error}). Expected UTF-8.") from error


def _ended_by_zeros(source: BinaryIO) -> Iterator[str]:
    left = b""
    while block := source.read(65536):
        *whole, left = (left + block).split(b"\0")
        yield from (each.decode("utf-8", "surrogateescape") for each in whole)
    if left:
        yield left.decode("utf-8", "surrogateescape")


def _is_binary(head: bytes) -> bool:
    """Control characters that no path has, early on."""
    return any(byte < 9 or 13 < byte < 27 or 27 < byte < 32 for byte in head)
