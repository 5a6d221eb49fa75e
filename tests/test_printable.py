"""Text from outside is shown on one line, without what a terminal obeys, and not longer than it may be."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvision.errors import BundleError, ImageError, PocketVisionError, UsageError, unknown_name
from pocketvision.printable import printable, quoted, shortened


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mred\x1b[0m", r"a\x1b[31mred\x1b[0m"),
        ("two\nlines\r\tand\x00", r"two\nlines\r\tand\x00"),
        ("c1 \x9b2J \x85", r"c1 \x9b2J \x85"),
        ("invoice\u202egpj.exe", r"invoice\u202egpj.exe"),
        ("caf\udce9.png", r"caf\xe9.png"),
        ("half \ud83d", r"half \ud83d"),
        ("\u2028\u200b\ufeff\U000e0041", r"\u2028\u200b\ufeff\U000e0041"),
        ("[red]:cat:[/x] C:\\new", "[red]:cat:[/x] C:\\new"),
        ("사진 👩\u200d🔬 é\u3000\xa0", "사진 👩\u200d🔬 é\u3000\xa0"),
    ],
)
def test_what_is_shown_of_a_text(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_no_control_character_and_no_surrogate_is_left() -> None:
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    left = printable(everything)
    assert not {unicodedata.category(character) for character in left} & {"Cc", "Cs", "Zl", "Zp"}
    left.encode()


@given(st.text(alphabet=st.characters(), max_size=400), st.integers(20, 90))
def test_a_shortened_text_is_one_line_of_at_most_its_length(text: str, most: int) -> None:
    shown = shortened(text, most)
    assert len(shown) <= most
    assert shown == printable(text) or "…" in shown


def test_a_long_value_keeps_its_beginning_and_its_end() -> None:
    shown = quoted("begin" + "x" * 1_000_000 + "end")
    assert shown.startswith("'begin") and shown.endswith("end'") and len(shown) <= 122
    assert quoted(b"\x00" * 500_000).endswith("'\"")


@pytest.mark.parametrize("kind", [PocketVisionError, UsageError, BundleError])
@pytest.mark.parametrize(
    "value", ["x" * 1_000_000, "a b " * 100_000, "line\n" * 10_000, "\x00" * 50_000, "\udcff" * 50_000]
)
def test_no_error_is_longer_than_a_screen_or_more_than_a_line(kind: type[PocketVisionError], value: str) -> None:
    error = kind(f"samples.csv, line 3: {value!r}; expected a name")
    assert len(str(error)) <= 4000 and len(str(error).splitlines()) == 1
    assert str(error).startswith("samples.csv, line 3: '")
    image = ImageError("a.png", f"it is damaged ({value})")
    assert len(image.reason) <= 4000 and len(image.reason.splitlines()) == 1


def test_an_unknown_name_is_cut_in_its_error() -> None:
    message = str(unknown_name("class", "\x1b[2J" + "x" * 10_000, ["cat", "dog\n"]))
    assert len(message) < 300 and "\x1b" not in message and "\n" not in message
