"""Several labels in a cell are said, and names with blanks and signs stay names."""

from pathlib import Path

import pytest

from pocketvision.data.several_labels import LabelUse, refuse_several_labels
from pocketvision.errors import UsageError

TABLE = Path("t.csv")


def look(*labels: str, known: tuple[str, ...] = ()) -> None:
    refuse_several_labels(TABLE, {label: LabelUse(3, f"line {place}") for place, label in enumerate(labels, 2)}, known)


@pytest.mark.parametrize(
    "cell",
    ["a|b", "a;b", "a; new", "a,b", "a, b", "a/b", "a + b", "a & b", "a and b", "a b", "['a', 'b']", '["a","b"]', "('a','b')",
     "{'a', 'b'}", "['a' 'b']", "[1, 2]", "a|b|c"],
)  # fmt: skip
def test_cells_of_several_labels(cell: str) -> None:
    with pytest.raises(
        UsageError, match=r"several labels in one cell in 3 of 12 rows, such as line 5: .*--labels"
    ) as caught:
        look("a", "b", "c", cell)
    assert cell in str(caught.value)
    look("a", "b", "c", cell, known=("a", "b", "c", cell))


@pytest.mark.parametrize("sign", ["|", ";", " | "])
def test_cells_that_are_all_of_several_labels(sign: str) -> None:
    with pytest.raises(UsageError, match="several labels in one cell in 9 of 12 rows, such as line 2"):
        look(f"a{sign}b", f"b{sign}c", "other", f"d{sign}e{sign}f")


@pytest.mark.parametrize(
    "labels",
    [
        ("sea lion", "sea", "dog"),
        ("Pepper, bell", "Pepper, sweet", "Potato"),
        ("Tomato|healthy", "Tomato|blight"),
        ("Tomato|leaf|healthy", "Potato|leaf|healthy", "Potato|root"),
        ("black/white", "black"),
        ("R&B", "rock and roll", "rock"),
        ("[other]", "cat"),
        ("['cat']", "['dog']"),
        ("c++", "c"),
        ("1 2", "3"),
        ("a_b", "a", "b"),
        ("no finding", "finding"),
    ],
)
def test_names_that_only_look_like_several(labels: tuple[str, ...]) -> None:
    look(*labels)


def test_a_long_cell_makes_a_short_message() -> None:
    with pytest.raises(UsageError) as caught:
        look("a", "|".join(["a"] * 50_000))
    assert len(str(caught.value)) < 900
