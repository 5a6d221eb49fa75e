"""Numbers of things in words."""

import pytest

from pocketvision.printable import counted


@pytest.mark.parametrize(
    ("number", "noun", "words"),
    [
        (0, "image", "0 images"),
        (1, "image", "1 image"),
        (1200, "image", "1,200 images"),
        (1, "class", "1 class"),
        (2, "class", "2 classes"),
        (1, "more file", "1 more file"),
    ],
)
def test_one_thing_is_in_the_singular(number: int, noun: str, words: str) -> None:
    assert counted(number, noun) == words
