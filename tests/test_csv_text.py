"""What is written as CSV is read back the same, by Python's reader in its usual and in its strict dress."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from pocketvision.csv_text import csv_bytes, csv_line

CELL = st.text(
    alphabet=st.one_of(st.sampled_from("\r\n\t ,;\"'a\udcff\ufeff"), st.characters(exclude_characters="\0")), max_size=8
)


@given(st.lists(st.lists(CELL, min_size=2, max_size=4), min_size=1, max_size=3))
def test_every_cell_is_read_back_the_same(rows: list[list[str]]) -> None:
    text = "".join(map(csv_line, rows))
    for options in ({}, {"strict": True, "skipinitialspace": True}):
        assert list(csv.reader(io.StringIO(text, newline=""), **options)) == rows  # type: ignore[arg-type]


def test_bytes_of_file_names_stay_as_they_are() -> None:
    assert csv_bytes(["caf\udce9.png", None, 0.5]) == b"caf\xe9.png,,0.5\n"
    assert csv_line(["plain name.png", "b"]) == "plain name.png,b\n"
