"""XML files, element by element. Entities are refused: they can blow a small file up to gigabytes, or name other files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from pocketvision.errors import UsageError

PIECE = 1 << 18
"""Bytes that are read at once."""


def xml_elements(path: Path, *names: str) -> Iterator[Element]:
    """Every element below the root that is called one of `names`, whole with what is in it; then the root without them. None of
    them stays in memory. The root itself comes too if it is so called.

    Raises UsageError, with the line, for a file that can not be read, is no XML, or declares entities.
    """
    try:
        with path.open("rb") as file:
            reader = _Reader(path, names)
            while piece := file.read(PIECE):
                yield from reader.feed(piece, False)
            yield from reader.feed(b"", True)
    except OSError as error:
        raise UsageError(f"{path}: the file can not be read ({error.strerror or error}).") from error


def xml_root(path: Path) -> Element:
    """A small file, whole. Raises UsageError as xml_elements does."""
    *_, root = xml_elements(path)
    return root


class _Reader:
    def __init__(self, path: Path, names: tuple[str, ...]) -> None:
        self._path, self._names = path, names
        self._parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler, parser.EndElementHandler = self._open, self._close
        parser.CharacterDataHandler = self._text
        parser.EntityDeclHandler = parser.SkippedEntityHandler = self._refuse
        self._builders = [TreeBuilder()]
        self._within = 0
        self._done: list[Element] = []

    def feed(self, piece: bytes, last: bool) -> list[Element]:
        """The elements that end in a piece."""
        try:
            self._parser.Parse(piece, last)
        except expat.ExpatError as error:
            text = expat.errors.messages.get(error.code, str(error))
            raise UsageError(f"{self._path}, line {error.lineno}: not readable as XML: {text}.") from error
        if last:
            self._done.append(self._builders[0].close())
        done, self._done = self._done, []
        return done

    def _open(self, name: str, attributes: dict[str, str]) -> None:
        if self._within:
            self._within += 1
        elif name in self._names:
            self._within = 1
            self._builders.append(TreeBuilder())
        self._builders[-1].start(name, attributes)

    def _close(self, name: str) -> None:
        self._builders[-1].end(name)
        if self._within:
            self._within -= 1
            if not self._within:
                self._done.append(self._builders.pop().close())

    def _text(self, text: str) -> None:
        self._builders[-1].data(text)

    def _refuse(self, *_: Any) -> NoReturn:
        raise UsageError(
            f"{self._path}, line {self._parser.CurrentLineNumber}: it declares or uses entities (<!ENTITY …>), which "
            f"are not read: "
            "they can fill the memory or name other files. Take them out; annotation tools write none."
        )
