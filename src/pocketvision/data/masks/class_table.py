"""Which classes the values or colours of masks stand for, as files beside them say it.

A line a class: its name, and perhaps a value before it or a colour beside it: `road`, `7 road`, `road 128 64 128`, `128 64 128
road`, `road,128,64,128`, `road #804080`, and CVAT's `road:128,64,128::`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pocketvision.data.class_names import spelled
from pocketvision.errors import UsageError
from pocketvision.printable import quoted

FILES = (
    "classes.txt",
    "class_names.txt",
    "labelmap.txt",
    "class_dict.csv",
    "label_colors.txt",
    "labels.txt",
    "codes.txt",
)
"""Names of such files; the first that is there counts."""

_VOID = re.compile(r"_*(void|ignore|ignored|unlabel+ed|dont_?care)_*", re.IGNORECASE)
_HEADER = re.compile(r"\s*(#|name\b|class\b|label\b).*\b(r|red|color_rgb)\b", re.IGNORECASE)
_BYTE = r"(\d{1,3})"
_SEP = r"[\s,;]+"
_FORMS = (
    re.compile(rf"(?P<name>.+?):{_BYTE},{_BYTE},{_BYTE}:.*:.*"),
    re.compile(rf"{_BYTE}{_SEP}{_BYTE}{_SEP}{_BYTE}{_SEP}(?P<name>\S.*)"),
    re.compile(rf"(?P<name>.*?\S){_SEP}{_BYTE}{_SEP}{_BYTE}{_SEP}{_BYTE}"),
)
_HEX = re.compile(rf"(?P<name>.*?\S){_SEP}#([0-9a-fA-F]{{2}})([0-9a-fA-F]{{2}})([0-9a-fA-F]{{2}})")
_VALUE = re.compile(r"(?P<value>\d{1,5})(?:\s*[:,;=]\s*|\s+)(?P<name>\S.*)")
_LARGEST = 1 << 20


@dataclass(frozen=True)
class Entry:
    """A class as a line says it. value, colour: None where the line says none."""

    name: str
    value: int | None = None
    colour: tuple[int, int, int] | None = None

    @property
    def is_void(self) -> bool:
        """Whether its name says that such pixels are of no class."""
        return _VOID.fullmatch(self.name) is not None


@dataclass(frozen=True)
class ClassTable:
    """file: where it was read. entries: in order. Either all have a colour, or none; the same of values."""

    file: Path
    entries: tuple[Entry, ...]

    @property
    def has_colours(self) -> bool:
        """Whether colours stand for classes."""
        return self.entries[0].colour is not None

    @property
    def has_values(self) -> bool:
        """Whether the values are said."""
        return self.entries[0].value is not None


def class_table(folders: list[Path]) -> ClassTable | None:
    """From the first of FILES in the first of the folders that has one; None without. Raises UsageError for one that does not
    hold together."""
    for folder in folders:
        for name in FILES:
            file = folder / name
            if file.is_file() and file.stat().st_size <= _LARGEST:
                table = read_table(file)
                if table is not None:
                    return table
    return None


def read_table(file: Path) -> ClassTable | None:
    """None for a file without any line. Raises UsageError for names, values or colours that are there twice, and lines of two
    kinds."""
    entries = tuple(_entries(file))
    if not entries:
        return None
    if {each.value is None for each in entries} == {True, False} and not any(each.colour for each in entries):
        entries = tuple(Entry(spelled(line)) for line in _lines(file))  # names that begin with numbers
    if len({each.colour is None for each in entries}) > 1:
        bare = next(each for each in entries if each.colour is None)
        raise UsageError(
            f"{file}: some classes have a colour, and {quoted(bare.name)} has none. Give each one, or none."
        )
    for what in ("name", "value", "colour"):
        seen: dict[object, str] = {}
        for each in entries:
            said = getattr(each, what)
            if said is not None and said in seen:
                raise UsageError(f"{file}: the {what} {quoted(str(said))} is there twice. Each class needs its own.")
            seen[said] = each.name
    return ClassTable(file, entries)


def _entries(file: Path) -> Iterator[Entry]:
    for line in _lines(file):
        for form in (_HEX, *_FORMS):
            found = form.fullmatch(line)
            if found is not None:
                base = 16 if form is _HEX else 10
                bytes_ = [int(each, base) for name, each in zip(_groups(form), found.groups(), strict=True) if not name]
                if max(bytes_) > 255:
                    raise UsageError(f"{file}: {quoted(line)} has a colour above 255.")
                yield Entry(spelled(found["name"]), None, (bytes_[0], bytes_[1], bytes_[2]))
                break
        else:
            value = _VALUE.fullmatch(line)
            yield Entry(spelled(line)) if value is None else Entry(spelled(value["name"]), int(value["value"]))


def _groups(form: re.Pattern[str]) -> list[str]:
    """The names of a form's groups in order, empty for those of bytes."""
    names = {place: name for name, place in form.groupindex.items()}
    return [names.get(place, "") for place in range(1, form.groups + 1)]


def _lines(file: Path) -> list[str]:
    """Without blank ones and headers."""
    text = file.read_text(encoding="utf-8-sig", errors="replace")
    lines = [line.strip().strip(",;") for line in text.splitlines()]
    return [line for line in lines if line and not _HEADER.match(line) and not line.startswith("#")]
