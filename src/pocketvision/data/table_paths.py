"""Paths of a table: the file that a cell means, and why there is none."""

import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from pocketvision.errors import UsageError
from pocketvision.printable import counted, quoted

_LOOKED_UP = 3  # folders above the table's own
_MOST_FOLDERS = 200  # folders beside the pictures that are tried
_IMAGES_HINT = "Say where the pictures are with --images FOLDER."
_EXPLAINED = 100  # rows whose cause is looked for; the others are counted with them
_DRIVE = re.compile(r"^[A-Za-z]:[\\/]")
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://")


Key = Callable[[str], str]


class Cause(NamedTuple):
    """Why a path leads to no file. text: the same for all paths of one cause; hint: what may help, from one of them."""

    text: str
    hint: str = ""


class TablePaths:
    """Finds the files that the cells of a table name, relative to `root`.

    given: whether `root` was named by the user (--images): absolute paths that lead nowhere are then looked up below it,
    all with the same leading folders taken off.
    """

    def __init__(self, root: Path, *, given: bool = False) -> None:
        self.root = root
        self.moved_from: str | None = None
        self._given = given
        self._root_text = f"{root.absolute()}{os.sep}"
        self._listings: dict[str, dict[str, list[str]]] = {}

    def find(self, cell: str) -> str | None:
        """The path of a file, relative to `root` with "/" between its parts where it lies inside; None when it is not there.

        As it is written, or else with backslashes as slashes, as a file:// URL, with ~ as the home folder, without blanks
        around it, or with its letters composed otherwise in Unicode (NFC, NFD).
        """
        # Plain text: a Path a row would take as long again as asking the file system.
        if self._is_file(cell):
            return self._inside(cell)
        path = plain_path(cell)
        for variant in dict.fromkeys((path, unicodedata.normalize("NFC", path), unicodedata.normalize("NFD", path))):
            if self._is_file(variant):
                return self._inside(variant)
        if (spelt := self._spelt(path, _composed)) is not None:
            return self._inside(spelt)
        return self._moved(path) if self._given and _is_absolute(path) else None

    def cause(self, cell: str) -> Cause:
        """Why `find` found no file for `cell`."""
        if _SCHEME.match(cell) and not cell.lower().startswith("file:"):
            return Cause("is the address of a picture elsewhere; pictures are read from files: download them first")
        path = plain_path(cell)
        if Path(self._root_text, path).is_dir():
            return Cause("is a folder, not a file")
        if "\n" in cell:
            return Cause('goes over several lines; is a quote (") left open there?')
        for cause in self._nearly(path):
            return cause
        hint = self._elsewhere(path) or _IMAGES_HINT
        if cell.strip().startswith("~"):
            return Cause(f"starts at a home folder, which is {Path.home()} here, and is not there", hint)
        if _DRIVE.match(path):
            return Cause("starts at a drive of Windows, which is not here", hint)
        if _is_absolute(path):
            kind = "is a file:// address" if cell.strip().lower().startswith("file:") else "is absolute"
            gone = next((str(each) for each in reversed(Path(path).parents) if not each.exists()), None)
            return Cause(
                f"{kind} and starts elsewhere{f': there is no folder {quoted(gone)} here' if gone else ''}", hint
            )
        if hint != _IMAGES_HINT:
            return Cause("starts at another folder", hint)
        return Cause("is not there", hint)

    def _is_file(self, path: str) -> bool:
        return os.path.isfile(os.path.join(self._root_text, path))  # noqa: PTH113, PTH118

    def _inside(self, path: str) -> str:
        path = path.removeprefix(self._root_text)
        return (path.replace("\\", "/") if os.sep == "\\" else path).removeprefix("./")

    def _moved(self, path: str) -> str | None:
        """An absolute path below `root`, without the leading folders that the first such path had to lose."""
        if self.moved_from is not None:
            rest = path.removeprefix(self.moved_from)
            return rest if rest != path and self._is_file(rest) else None
        for rest in _tails(path):
            if self._is_file(rest):
                self.moved_from = path[: len(path) - len(rest)]
                return rest
        return None

    def _nearly(self, path: str) -> Iterator[Cause]:
        """Causes that lie in how the name is written."""
        folder, name = os.path.split(os.path.join(self._root_text, path))  # noqa: PTH118
        names = [each for every in self._listing(folder, _composed).values() for each in every]
        stem, suffix = os.path.splitext(name)  # noqa: PTH122
        with_suffix = [each for each in names if os.path.splitext(each)[0] == name]  # noqa: PTH122
        if with_suffix:
            yield Cause("has no suffix", f"There is {_some(with_suffix)}: write the suffix into the column.")
        if suffix and (others := [each for each in names if os.path.splitext(each)[0] == stem]):  # noqa: PTH122
            yield Cause("has another suffix than the file", f"There is {_some(others)}.")
        if (spelt := self._spelt(path, _folded)) is not None:
            yield Cause("differs from the file in small and capital letters", f"There is {quoted(spelt)}.")
        if "%" in path and self._is_file(unquote(path)):
            yield Cause("is percent-encoded", f"There is {quoted(unquote(path))}.")

    def _elsewhere(self, path: str) -> str | None:
        """What to do where another folder, or the end of the path, leads to a file."""
        tail = next((rest for rest in _tails(path) if self._is_file(rest)), None)
        root = self.root.absolute()
        if _is_absolute(path):
            return None if tail is None else f"There is {quoted(tail)} below {root}: give --images {root}."
        beside = sorted(each.path for each in _entries(root) if each.is_dir())[:_MOST_FOLDERS]
        for folder in (Path.cwd(), *list(root.parents)[:_LOOKED_UP], *map(Path, beside)):
            if os.path.isfile(os.path.join(folder, path)):  # noqa: PTH113, PTH118
                return f"It is there below {folder}: give --images {folder}."
        return None if tail is None else f"There is {quoted(tail)} below {root}: shorten the paths in the table."

    def _spelt(self, path: str, key: Key) -> str | None:
        """`path` as the file system spells it, part by part, where one name alone is the same by `key`."""
        spelt = "/" if _is_absolute(path) else ""
        for part in PurePosixPath(path).parts[bool(spelt) :]:
            folder = os.path.join(self._root_text, spelt)  # noqa: PTH118
            same = self._listing(folder, key).get(key(part), []) if part not in (".", "..") else [part]
            if len(same) != 1:
                return None
            spelt = f"{spelt}{same[0]}/"
        spelt = spelt.rstrip("/")
        return spelt if spelt and self._is_file(spelt) else None

    def _listing(self, folder: str, key: Key) -> dict[str, list[str]]:
        """The names in a folder, by `key`; read once."""
        place = f"{key('A')}{folder}"
        if place not in self._listings:
            names: dict[str, list[str]] = {}
            for each in _entries(Path(folder)):
                names.setdefault(key(each.name), []).append(each.name)
            self._listings[place] = names
        return self._listings[place]


def plain_path(cell: str) -> str:
    """A cell as a path of this system: blanks around it off, a file:// URL and ~ resolved, backslashes as slashes."""
    path = cell.strip()
    if path.lower().startswith("file:"):
        parts = urlsplit(path)
        path = unquote(parts.path if parts.netloc in ("", "localhost") else f"//{parts.netloc}{parts.path}")
        if _DRIVE.match(path[1:]):
            path = path[1:]
    path = path.replace("\\", "/")
    if path.startswith("~"):
        path = os.path.expanduser(path)  # noqa: PTH111 (a home that is not known stays ~)
    return path


def not_there(table: Path, paths: TablePaths, missing: Sequence[tuple[str, str]], count: int, rows: int) -> UsageError:
    """The error for rows whose file is not there, by cause. missing: (place in the table, cell) of some of the `count`."""
    causes: dict[str, list[tuple[str, Cause]]] = {}
    looked_at = missing[:_EXPLAINED]
    for where, cell in looked_at:
        cause = paths.cause(cell)
        causes.setdefault(cause.text, []).append((f"{where[:1].upper()}{where[1:]}: {quoted(cell)}", cause))
    sentences = []
    for text, members in sorted(causes.items(), key=lambda each: -len(each[1]))[:4]:
        example, cause = members[0]
        share = f" ({len(members)} of the first {len(looked_at)} looked at)" if len(causes) > 1 else ""
        sentences.append(f"{example} {text}{share}.{cause.hint and ' '}{cause.hint}")
    return UsageError(
        f"{table}: {count:,} of {counted(rows, 'row')} {'names' if count == 1 else 'name'} a file that is "
        f"not there. {' '.join(sentences)} Relative paths start at {paths.root.absolute()}."
    )


def _is_absolute(path: str) -> bool:
    return path.startswith("/") or bool(_DRIVE.match(path))


def _tails(path: str) -> Iterator[str]:
    """What is left of a path when its leading folders are taken off, the longest first."""
    start = path.find("/", 0) + 1
    while start:
        if rest := path[start:].lstrip("/"):
            yield rest
        start = path.find("/", start) + 1


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _folded(text: str) -> str:
    return _composed(text).casefold()


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (OSError, ValueError):
        return []


def _some(names: Sequence[str]) -> str:
    return " and ".join(map(quoted, sorted(names)[:2]))
