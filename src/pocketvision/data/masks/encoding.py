"""From the values and colours of masks to class numbers: what they stand for, as far as files and the masks themselves tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.masks.class_table import ClassTable, Entry
from pocketvision.data.masks.survey import COLOUR, GREY, PALETTE, MaskFacts, colour_of
from pocketvision.errors import UsageError
from pocketvision.tasks.segmentation.truth import MOST_CLASSES, NOTHING

BACKGROUND, FOREGROUND = "background", "foreground"
_NEAR_GREY = 16
_NEAR_COLOUR = 24
_MOST_OF_ALL, _MOST_OF_SMOOTHED = 0.97, 0.6
_EDGE_VALUES, _EDGE_SHARE = 5, 0.02
_MOST_STRETCHED = 32
_NAMED = 8


@dataclass(frozen=True, eq=False)
class Encoding:
    """names: of the classes, by number. greys: (65536) numbers of values, NOTHING for none. colours: by code. blended: (65536)
    values that are taken for a neighbour, or for nothing, because smoothing made them. reading: sentences about how the values
    were understood. stretched: whether 0 and 255 are the two classes. void: values that are known to be of no class.
    ignored: the value that a person said to be of none."""

    names: tuple[str, ...]
    greys: NDArray[np.uint8]
    colours: Mapping[int, int]
    blended: NDArray[np.bool_]
    reading: tuple[str, ...] = ()
    stretched: bool = False
    void: tuple[int, ...] = ()
    ignored: int | None = None

    @cached_property
    def _known(self) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        codes = np.array(sorted(self.colours), np.int64)
        return codes, np.array([self.colours[code] for code in codes.tolist()], np.uint8)

    def numbers(self, codes: NDArray[np.integer], form: int, palette: NDArray[np.int64] | None) -> NDArray[np.uint8]:
        """(…) class numbers of codes (…) of a form (survey.py)."""
        numbers = self._numbers(codes, form, palette)
        return numbers if self.ignored is None or form == COLOUR else np.where(codes == self.ignored, NOTHING, numbers)

    def _numbers(self, codes: NDArray[np.integer], form: int, palette: NDArray[np.int64] | None) -> NDArray[np.uint8]:
        if form == PALETTE and palette is not None and self.colours:
            table = np.full(256, NOTHING, np.uint8)
            table[: len(palette)] = self._of_colours(palette)
            of_palette: NDArray[np.uint8] = table[codes]
            return of_palette
        if form == COLOUR:
            levels, place = np.unique(codes, return_inverse=True)
            return self._of_colours(levels.astype(np.int64))[place].reshape(codes.shape)
        of_values: NDArray[np.uint8] = self.greys[codes]
        return of_values

    def is_blended(self, codes: NDArray[np.int64], form: int) -> NDArray[np.bool_]:
        """(k) of a mask's codes (k), those that smoothing or compressing made."""
        if form == COLOUR:
            exact = np.isin(codes, self._known[0])
            return np.asarray(~exact & (self._of_colours(codes) != NOTHING), np.bool_)
        meant: NDArray[np.bool_] = codes != (-1 if self.ignored is None else self.ignored)
        return np.asarray(self.blended[codes] & meant, np.bool_)

    def is_void(self, codes: NDArray[np.int64], form: int) -> NDArray[np.bool_]:
        """(k) of a mask's codes (k), those that are known to be of no class."""
        known = [code for code, number in self.colours.items() if number == NOTHING] if form == COLOUR else self._void
        return np.isin(codes, known)

    @property
    def _void(self) -> list[int]:
        return [*self.void, *(() if self.ignored is None else (self.ignored,))]

    def _of_colours(self, codes: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Of different codes, the nearest class's where it is near."""
        known, numbers = self._known
        if not len(known):
            return np.full(len(codes), NOTHING, np.uint8)
        sides = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1)
        of_classes = np.stack([known >> 16, known >> 8 & 255, known & 255], axis=1)
        far = np.abs(sides[:, None] - of_classes).max(axis=2)
        return np.where(far.min(axis=1) <= _NEAR_COLOUR, numbers[far.argmin(axis=1)], np.uint8(NOTHING))


def encoding_of(
    facts: Sequence[MaskFacts], table: ClassTable | None, labels: Sequence[str] | None, where: str
) -> Encoding:
    """What the codes of masks stand for. labels: names by number that a person gave. Raises UsageError for colours that nothing
    names, and more classes than there can be."""
    names = tuple(labels) if labels is not None else None
    if table is not None and table.has_colours:
        return _by_colours(facts, table)
    if table is not None and table.has_values:
        return _by_values(table)
    if any(each.form == COLOUR for each in facts):
        raise _nameless_colours(facts, where)
    entries = None if table is None else table.entries
    if names is None and entries is not None:
        names = tuple(each.name for each in entries)
    totals = _totals(facts)
    found = _by_numbers(totals, names, where)
    return found if entries is None else _without_void(found)


def _totals(facts: Sequence[MaskFacts]) -> NDArray[np.int64]:
    """(65536) pixels of each value."""
    totals = np.zeros(65536, np.int64)
    for each in facts:
        np.add.at(totals, each.codes, each.counts)
    return totals


def _by_numbers(totals: NDArray[np.int64], names: tuple[str, ...] | None, where: str) -> Encoding:
    values = np.flatnonzero(totals)
    if names is not None and len(names) == 1:
        names = (BACKGROUND, *names)
    if _is_binary(totals, values, names):
        return _binary(names, values)
    classes = values[values != NOTHING] if names is None or len(names) <= NOTHING else values
    if names is None:
        return _nameless(classes, where)
    reading: tuple[str, ...] = ()
    one_more = len(names) < MOST_CLASSES and len(classes) > 0 and classes.max() == len(names) and 0 in classes
    if one_more and not _says_background(names[0]):
        names = (BACKGROUND, *names)
        reading = (f"The masks have the values 0 to {len(names) - 1}: 0 is read as {BACKGROUND}.",)
    if len(classes) and classes.max() >= len(names) and 1 < len(classes) == len(names) <= _MOST_STRETCHED:
        said = ", ".join(map(str, classes.tolist()[:_NAMED]))
        reading = (*reading, f"The values of the masks ({said}) are read as the classes in order.")
        return Encoding(names, _table(classes.tolist()), {}, np.zeros(65536, np.bool_), reading)
    return Encoding(names, _table(range(len(names))), {}, np.zeros(65536, np.bool_), reading)


def _is_binary(totals: NDArray[np.int64], values: NDArray[np.int64], names: tuple[str, ...] | None) -> bool:
    """Whether nearly all pixels are near 0 or near 255, and no more than two classes are named."""
    if not len(values) or values[-1] > 255 or values[-1] < 128 or (names is not None and len(names) > 2):
        return False
    black, white = int(totals[: _NEAR_GREY + 1].sum()), int(totals[255 - _NEAR_GREY : 256].sum())
    between, whole = totals[_NEAR_GREY + 1 : 255 - _NEAR_GREY], int(totals.sum())
    # Edges that were smoothed have a little of many values.
    smoothed = (between > 0).sum() >= _EDGE_VALUES and between.max() < _EDGE_SHARE * whole
    if not (black and white) or black + white < (_MOST_OF_SMOOTHED if smoothed else _MOST_OF_ALL) * whole:
        return False
    # 0, 1 and 255: two classes and what is of none.
    return not (totals[1] > 0 and not totals[2:255].any())


def _binary(names: tuple[str, ...] | None, values: NDArray[np.int64]) -> Encoding:
    reading = () if names is not None else (_nameless_binary(255),)
    greys = np.full(65536, NOTHING, np.uint8)
    greys[:128], greys[128:256] = 0, 1
    blended = np.zeros(65536, np.bool_)
    blended[1:255] = True
    del values
    return Encoding(names or (BACKGROUND, FOREGROUND), greys, {}, blended, reading, stretched=True)


def _nameless(values: NDArray[np.int64], where: str) -> Encoding:
    """Classes called by their values; of two, 0 and 1, by what is meant as a rule."""
    if len(values) > MOST_CLASSES:
        raise UsageError(
            f"{where}: the masks have {len(values):,} different values; at most {MOST_CLASSES} classes can be told apart. "
            "Are these masks of classes, and not of depth or single objects?"
        )
    if values.tolist() in ([0, 1], [0], [1]):
        return Encoding(
            (BACKGROUND, FOREGROUND), _table(range(2)), {}, np.zeros(65536, np.bool_), (_nameless_binary(1),)
        )
    names = tuple(str(value) for value in values.tolist())
    said = f"No classes.txt names the classes: they are called by their values ({', '.join(names[:_NAMED])})."
    return Encoding(names, _table(values.tolist()), {}, np.zeros(65536, np.bool_), (said,))


def _nameless_binary(white: int) -> str:
    return (
        f"No classes.txt names the classes: 0 is read as {BACKGROUND} and {white} as {FOREGROUND}. --labels says other "
        "names, that of 0 first."
    )


def _table(values: Sequence[int] | range) -> NDArray[np.uint8]:
    greys = np.full(65536, NOTHING, np.uint8)
    for place, value in enumerate(values):
        greys[value] = place
    return greys


def _by_values(table: ClassTable) -> Encoding:
    kept = [each for each in table.entries if not each.is_void and each.value != NOTHING]
    names = tuple(each.name for each in kept)
    _check_count(names, str(table.file))
    greys = np.full(65536, NOTHING, np.uint8)
    for place, each in enumerate(kept):
        assert each.value is not None, "all have one"
        if each.value > 65535:
            raise UsageError(f"{table.file}: the value {each.value:,} is above 65,535, which no mask holds.")
        greys[each.value] = place
    void = tuple(each.value for each in table.entries if each.is_void and each.value is not None)
    return Encoding(names, greys, {}, np.zeros(65536, np.bool_), _void_said(table.entries), void=void)


def _by_colours(facts: Sequence[MaskFacts], table: ClassTable) -> Encoding:
    """Masks of numbers that are places in the table are taken so; other greys are colours."""
    kept = [each for each in table.entries if not each.is_void]
    names = tuple(each.name for each in kept)
    _check_count(names, str(table.file))
    place_of = {each.name: place for place, each in enumerate(kept)}
    colours: dict[int, int] = {}
    for each in table.entries:
        assert each.colour is not None, "all have one"
        red, green, blue = each.colour
        colours[red << 16 | green << 8 | blue] = place_of.get(each.name, NOTHING)
    totals = _totals([each for each in facts if each.form == GREY])
    values = np.flatnonzero(totals)
    numbered = [place_of.get(each.name, NOTHING) for each in table.entries]
    greys = np.full(65536, NOTHING, np.uint8)
    if len(values) and values[values != NOTHING].max(initial=0) < len(numbered):
        greys[: len(numbered)] = numbered
        void = tuple(place for place, number in enumerate(numbered) if number == NOTHING)
    else:
        void = tuple(value for value in range(256) if colours.get(value * 0x010101) == NOTHING)
        for value in range(256):
            greys[value] = colours.get(value * 0x010101, NOTHING)
    return Encoding(names, greys, colours, np.zeros(65536, np.bool_), _void_said(table.entries), void=void)


def _without_void(found: Encoding) -> Encoding:
    """Classes whose names say that they are none are none."""
    void = [place for place, name in enumerate(found.names) if Entry(name).is_void]
    if not void:
        return found
    kept = [place for place in range(len(found.names)) if place not in void]
    places = np.full(256, NOTHING, np.uint8)
    places[kept] = range(len(kept))
    said = _void_said(tuple(Entry(name) for name in found.names))
    return replace(
        found,
        names=tuple(found.names[place] for place in kept),
        greys=places[found.greys],
        reading=(*found.reading, *said),
        void=tuple(np.flatnonzero(np.isin(found.greys, void)).tolist()),
    )


def _void_said(entries: Sequence[Entry]) -> tuple[str, ...]:
    names = [each.name for each in entries if each.is_void]
    return (f"Pixels of {', '.join(names)} are of no class: neither learned nor measured.",) if names else ()


def _says_background(name: str) -> bool:
    return name.strip("_").casefold() in ("background", "bg", "배경")


def _check_count(names: Sequence[str], where: str) -> None:
    if len(names) > MOST_CLASSES:
        raise UsageError(f"{where}: there are {len(names)} classes; at most {MOST_CLASSES} can be told apart.")


def _nameless_colours(facts: Sequence[MaskFacts], where: str) -> UsageError:
    totals: dict[int, int] = {}
    for each in facts:
        if each.form == COLOUR:
            for code, count in zip(each.codes.tolist(), each.counts.tolist(), strict=True):
                totals[code] = totals.get(code, 0) + count
    ranked = sorted(totals, key=lambda code: -totals[code])
    shown = ", ".join(" ".join(map(str, colour_of(code))) for code in ranked[:_NAMED])
    return UsageError(
        f"{where}: the masks are in colours ({len(ranked):,} of them, the most frequent {shown}), and no file says what they "
        "stand for. Write classes.txt beside them, a line a class: its name and its colour, as in `road 128 64 128`."
    )
