"""Text from outside (names, labels, paths, messages of libraries) as it may be shown: on one line, with nothing in it that
a terminal obeys, and cut to a length."""

import re

LONGEST_VALUE = 120
"""Characters of a value that is quoted in a message."""

LONGEST_WORD, LONGEST_MESSAGE = 400, 4000
"""Characters of a word, such as a path, in a message, and of a message."""

_LONG_WORD = re.compile(rf"\S{{{LONGEST_WORD + 1},}}")
# Controls (C0, DEL, C1), line and paragraph separators, lone surrogates, what turns the direction of writing, and what is
# invisible. The joiners U+200C and U+200D stay: emoji and several scripts are written with them.
UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0001\U000e0020-\U000e007f]"
)
"""What is escaped wherever text is shown."""

_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def printable(text: object) -> str:
    r"""A text on one line: control characters as `\n`, `\x1b`, others as `\u202e`, and bytes of a file name that are not
    UTF-8 as `\xff`. Brackets, colons and backslashes stay as they are."""
    return UNPRINTABLE.sub(_escaped, str(text))


def shortened(text: object, most: int = LONGEST_VALUE) -> str:
    """A text on one line of at most `most` characters; of a longer one the middle is left out."""
    whole = str(text)
    # Megabytes are cut before they are looked at.
    shown = printable(whole if len(whole) <= 4 * most else whole[: 2 * most] + whole[-2 * most :])
    if len(whole) <= 4 * most and len(shown) <= most:
        return shown
    tail = most // 4
    return f"{shown[: most - tail - 1]}…{shown[-tail:]}"


def bounded(text: str, most: int = LONGEST_MESSAGE) -> str:
    """A message on one line whose words are no longer than LONGEST_WORD, and which is no longer than `most`: for messages
    of others, which may repeat whatever they were given."""
    return shortened(_LONG_WORD.sub(lambda found: shortened(found[0], LONGEST_WORD), text[: 64 * most]), most)


def quoted(value: object, most: int = LONGEST_VALUE) -> str:
    """A value in quotes, on one line, cut to a length: every value that an error shows goes through here."""
    shown = shortened(value, most)
    return f'"{shown}"' if "'" in shown else f"'{shown}'"


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that is not UTF-8
        return rf"\x{code - 0xDC00:02x}"
    if character in _NAMED:
        return _NAMED[character]
    if code < 0x100:
        return rf"\x{code:02x}"
    return rf"\u{code:04x}" if code < 0x10000 else rf"\U{code:08x}"


def counted(number: int, noun: str) -> str:
    """`number` of `noun`, as in "1 image", "1,200 images" and "2 classes"."""
    plural = "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}{plural}"
