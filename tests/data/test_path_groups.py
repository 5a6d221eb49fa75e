"""Groups that a pattern finds in paths."""

import re

import pytest

from pocketvision.data.path_groups import groups_of_paths
from pocketvision.errors import UsageError

PATHS = ["cat/ann_1.jpg", "cat/bob_1.jpg", "dog/ann_2.jpg", "dog/stray.jpg"]


def test_the_first_parentheses_name_the_group_over_all_folders() -> None:
    assert groups_of_paths(PATHS, r"([a-z]+)_\d").tolist() == [0, 1, 0, -1]
    assert groups_of_paths(PATHS, r"^(?:cat|dog)/(\w)").tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(ann", "(ann is no regular expression: missing ), unterminated subpattern at position 0"),
        ("(?:ann)_", "captures nothing: put what names a group in parentheses"),
        (r"(\d{4})", "finds nothing in 4 paths, such as 'cat/ann_1.jpg'"),
    ],
)
def test_a_pattern_that_can_not_group_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        groups_of_paths(PATHS, pattern)
