"""JSON holds every name that the system holds, can be printed, and is read back the same."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvision.json_text import json_text
from pocketvision.printable import printable

ANY_NAME = st.text(alphabet=st.characters(exclude_categories=[]), max_size=40)


@given(st.dictionaries(ANY_NAME, ANY_NAME, max_size=4), st.sampled_from([None, 2]))
def test_every_text_is_read_back_and_printable(value: dict[str, str], indent: int | None) -> None:
    text = json_text(value, indent=indent)
    assert json.loads(text.encode()) == {
        # As in JSON itself, two surrogates that make a character are one.
        json.loads(json.dumps(key)): json.loads(json.dumps(each))
        for key, each in value.items()
    }
    assert printable(text.replace("\n", "")) == text.replace("\n", "")


def test_readable_scripts_stay_readable() -> None:
    assert json_text({"한글": "é\u202e\udcff\x1b\U000e0041"}) == '{"한글": "é\\u202e\\udcff\\u001b\\udb40\\udc41"}'


def test_numbers_that_json_lacks_are_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text([float("nan")])
