"""JSON files of any size, element by element: never more of them in memory than one element and a piece of text."""

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pocketvision.errors import UsageError
from pocketvision.printable import quoted

PIECE = 1 << 20
"""Bytes that are read at once."""

LARGEST_ELEMENT = 256 << 20
"""Characters of one element, from which on a file is refused: decoded they would take some 20 times as much memory."""

_LONGEST_WORD = 64
_BLANKS = re.compile(r"[ \t\r\n]*")
_NUMBER_GOES_ON = re.compile(r"[-+0-9.eE]")


def json_elements(path: Path) -> Iterator[tuple[str, Any]]:
    """The elements of a file's arrays, each with the array's key; of a list at the top the key is "". Other members of an
    object at the top are yielded whole, with their key.

    Raises UsageError, with the place, for a file that can not be read, is no JSON, ends early, or has an element that is too
    large.
    """
    try:
        with path.open("rb") as file:
            text = _Text(path, file)
            opening = text.peek()
            if opening == "[":
                yield from (("", element) for element in text.array())
            elif opening == "{":
                yield from text.members()
            else:
                yield "", text.value()
            text.end()
    except OSError as error:
        raise UsageError(f"{path}: the file can not be read ({error.strerror or error}).") from error


class _Text:
    """A window on a file's text. `_start` is where in the window reading goes on."""

    def __init__(self, path: Path, file: Any) -> None:
        self._path, self._file = path, file
        head = file.peek(4)[:4]
        encoding = "utf-8-sig" if head[1:2] != b"\x00" else "utf-16-le"
        self._decode = codecs.getincrementaldecoder("utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else encoding)()
        self._decoder = json.JSONDecoder()
        self._window, self._start, self._passed, self._ended = "", 0, 0, False

    def peek(self) -> str:
        """The next character that is no blank; "" at the end."""
        while True:
            self._start = _BLANKS.match(self._window, self._start).end()  # type: ignore[union-attr]
            if self._start < len(self._window):
                return self._window[self._start]
            if not self._more():
                return ""

    def take(self, expected: str) -> str:
        """The next character, one of `expected`."""
        found = self.peek()
        if not found or found not in expected:
            raise self._wrong(
                f"{quoted(found) if found else 'the end'} where {' or '.join(map(quoted, expected))} is expected"
            )
        self._start += 1
        return found

    def value(self) -> Any:
        """The next value, whole."""
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._window, self._start)
            except json.JSONDecodeError as error:
                # Near the end of the window it may be one of the window alone.
                own = error.pos < len(self._window) - _LONGEST_WORD and not error.msg.startswith("Unterminated string")
                if own or not self._more():
                    raise self._wrong(error.msg, error.pos - self._start) from error
                continue
            except RecursionError as error:
                raise self._wrong("brackets within brackets, too many of them") from error
            # A number may go on in the next piece: 1 as 12, -1 as -1.5.
            cut = end == len(self._window) or _NUMBER_GOES_ON.match(self._window, end)
            if not cut or not self._more():
                self._start = end
                return value

    def array(self) -> Iterator[Any]:
        """The elements of the next value, which is an array."""
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            yield self.value()
            if self.take(",]") == "]":
                return

    def members(self) -> Iterator[tuple[str, Any]]:
        """The members of the next value, which is an object; those of arrays one by one."""
        self.take("{")
        if self.peek() == "}":
            self.take("}")
            return
        while True:
            if self.peek() != '"':
                raise self._wrong("no name of a member")
            key = self.value()
            self.take(":")
            if self.peek() == "[":
                yield from ((key, element) for element in self.array())
            else:
                yield key, self.value()
            if self.take(",}") == "}":
                return

    def end(self) -> None:
        """Nothing but blanks may follow."""
        if self.peek():
            raise self._wrong("more text after the end")

    def _more(self) -> bool:
        """Read on; what is done with leaves the window. False at the end of the file."""
        if self._ended:
            return False
        if len(self._window) - self._start > LARGEST_ELEMENT:
            size = self._path.stat().st_size
            raise UsageError(
                f"{self._path}: one element at character {self._passed + self._start:,} has more than {LARGEST_ELEMENT >> 20} "
                f"million characters; the file ({size / 1e6:,.0f} MB) would take some {size * 20 / 1e9:,.0f} GB of "
                f"memory. Is it a "
                "list of annotations?"
            )
        # Twice what is held, so that a long element is not decoded again for every piece.
        piece = self._file.read(max(PIECE, len(self._window) - self._start))
        self._ended = not piece
        try:
            text = self._decode.decode(piece, not piece)
        except UnicodeDecodeError as error:
            raise self._wrong(f"not UTF-8 text ({error.reason})") from error
        if text:
            self._passed += self._start
            self._window, self._start = self._window[self._start :] + text, 0
        return bool(text) or not self._ended

    def _wrong(self, what: str, further: int = 0) -> UsageError:
        at = self._passed + self._start + further
        near = self._window[max(self._start + further - 20, 0) : self._start + further + 40]
        return UsageError(f"{self._path}: not readable as JSON at character {at:,}: {what}, near {quoted(near)}.")
