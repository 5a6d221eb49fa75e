"""Delimited text: the one reader of image tables, files of class names and lists of paths.

Encoding and delimiter are found out; quoting and the length of rows are held to, so that no row is cut or swallowed.
"""

import csv
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from io import BufferedReader, TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TextIO

from pocketvision.errors import UsageError
from pocketvision.printable import counted, quoted

DELIMITERS = (",", ";", "\t", "|")
_NAMES = {"\t": "tab"}
_HEAD_BYTES = 64
_BOMS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


class Record(NamedTuple):
    """One row. line: where it starts, from 1; last: where it ends, further down if a quoted cell holds line ends.

    raw: its text as it stands in the file.
    """

    line: int
    last: int
    cells: list[str]
    raw: str


class DelimitedText(NamedTuple):
    """An opened table: its delimiter, the names in its header, and its rows one at a time."""

    delimiter: str
    header: list[str]
    records: Iterator[Record]


@contextmanager
def open_delimited(path: Path, wanted: Collection[str] = (), preferred: str = ",") -> Iterator[DelimitedText]:
    """Open a table whose first line names its columns; a line `sep=;` before it names the delimiter.

    wanted: names of columns that it should have: the delimiter is the one by which the header holds most of them, then
    most columns; `preferred` decides between equals. Rows whose cells are all empty are yielded for the caller to count.

    Raises UsageError, with the line, for a file that can not be read, text in an encoding that is not told, a quote left
    open, and a row longer or shorter than the header.
    """
    try:
        with path.open("rb") as file, text_of(file) as text:
            lines = _LineReader(text, str(path))
            first = lines.first()
            delimiter = _declared(first)
            if delimiter is not None:
                first = lines.first()
            delimiter = delimiter or _delimiter_of(first, wanted, preferred)
            records = _records(chain([first], lines) if first else iter(()), lines, str(path), delimiter)
            header = next(records, None)
            names = [] if header is None else [name.strip() for name in header.cells]
            yield DelimitedText(delimiter, names, _whole(records, names, str(path), delimiter))
    except OSError as error:
        raise UsageError(f"{path}: the table can not be read ({error.strerror or error}).") from error


def text_of(binary: BufferedReader) -> TextIO:
    """The text of an opened file or pipe: UTF-8, or UTF-16 or UTF-32 as a mark or the zeros in it tell.

    Bytes that are not UTF-8 become lone surrogates: a file name need not be UTF-8.
    """
    encoding = _encoding_of(binary.peek(_HEAD_BYTES)[:_HEAD_BYTES])
    errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
    return TextIOWrapper(binary, encoding=encoding, errors=errors, newline="")


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of every line of a file that is not blank, without its end. Raises UsageError as open_delimited does."""
    try:
        with path.open("rb") as file, text_of(file) as text:
            for number, line in enumerate(_LineReader(text, str(path)), 1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except OSError as error:
        raise UsageError(f"{path}: the file can not be read ({error.strerror or error}).") from error


def split_cells(text: str, delimiter: str, where: str) -> list[str]:
    """The cells of one line, without blanks around them; a quoted cell may hold the delimiter. Raises UsageError."""
    lines = iter([text])
    return [cell.strip() for record in _records(lines, None, where, delimiter) for cell in record.cells]


def is_utf8(text: str) -> bool:
    """Whether `text` was read from valid UTF-8. Bytes that were not have become lone surrogates."""
    return text.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in text)


def not_utf8(path: Path) -> UsageError:
    """The error for a text in another encoding, as Excel's plain "CSV" is."""
    return UsageError(f'{path}: not UTF-8 text. Save it as "CSV UTF-8" (in Excel: Save as, CSV UTF-8).')


class _LineReader:
    """The lines of a text with their ends. `number` counts them, `taken` holds those of the row that is being read."""

    def __init__(self, text: TextIO, where: str) -> None:
        self._text = text
        self._where = where
        self.number = 0
        self.taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def first(self) -> str:
        """The next line that is not blank; of a header's blank cells, tabs are not blanks."""
        while (line := self.readline()) and not line.strip(" \r\n"):
            pass
        return line

    def readline(self) -> str:
        try:
            line = self._text.readline()
        except UnicodeError as error:
            raise UsageError(f"{self._where}, line {self.number + 1}: not readable as text ({error}).") from error
        self.number += bool(line)
        self.taken.append(line)
        return line


def _records(lines: Iterator[str], source: _LineReader | None, where: str, delimiter: str) -> Iterator[Record]:
    """The rows of `lines`, blank lines apart, before their length is looked at. source: counts lines that `lines` takes."""
    skipped = 0 if source is None else source.number - 1  # a line `sep=;` before the first of `lines`
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    if source is not None:
        source.taken = source.taken[-1:]
    while True:
        start = reader.line_num + 1 + skipped
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            at = where if source is None else f"{where}, line {start}"
            raise UsageError(
                f"{at}: not readable as CSV: {_quoting(error, start, reader.line_num + skipped)}"
            ) from error
        raw = ""
        if source is not None:
            raw, source.taken = "".join(source.taken), []
        if cells and (len(cells) > 1 or cells[0].strip()):
            yield Record(start, reader.line_num + skipped, cells, raw)


def _quoting(error: csv.Error, start: int, end: int) -> str:
    text = str(error)
    if "unexpected end" in text:
        return 'a quote (") is opened in this row and never closed. Close it, or double it if it belongs to the text.'
    if "field limit" in text:
        return f'a cell of more than {csv.field_size_limit():,} characters. Is a quote (") left open in this row?'
    if "expected after" in text:
        span = f" in line {end}, and swallows the lines between" if end > start else ""
        return (
            f'a quote (") that is opened in this row is closed before the end of a cell{span}. Close quotes at the end of '
            "their cell, and double those that belong to the text."
        )
    return f"{text}."


def _whole(records: Iterator[Record], header: list[str], where: str, delimiter: str) -> Iterator[Record]:
    """The rows, each as long as the header; a row of empty cells alone may have any length."""
    for record in records:
        if len(record.cells) != len(header) and any(cell.strip() for cell in record.cells):
            name = _NAMES.get(delimiter, delimiter)
            hint = (
                f"Put cells that hold the delimiter ({name}) in quotes."
                if len(record.cells) > len(header)
                else "Give every column a cell, empty or not."
            )
            raise UsageError(
                f"{where}, line {record.line}: {counted(len(record.cells), 'cell')}, but "
                f"{counted(len(header), 'column')} in the header: {quoted(record.raw.strip())}. {hint}"
            )
        yield record


def _declared(line: str) -> str | None:
    """The delimiter that Excel's line `sep=;` names."""
    text = line.strip("\r\n").strip('"')
    return text[4] if len(text) == 5 and text[:4].lower() == "sep=" else None


def _delimiter_of(header: str, wanted: Collection[str], preferred: str) -> str:
    def fit(delimiter: str) -> tuple[int, int, bool]:
        try:
            names = split_cells(header, delimiter, "")
        except UsageError:
            return -1, 0, False
        return len(set(names) & set(wanted)), len(names), delimiter == preferred

    return max((preferred, *DELIMITERS), key=fit)


def _encoding_of(head: bytes) -> str:
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return encoding
    # UTF-16 without a mark: of ASCII letters every second byte is 0.
    if len(head) >= 4 and not any(head[1::2]) and all(head[0::2]):
        return "utf-16-le"
    if len(head) >= 4 and not any(head[0::2]) and all(head[1::2]):
        return "utf-16-be"
    return "utf-8"
