"""Groups that stand in the paths of pictures, found by a regular expression."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import UsageError
from pocketvision.printable import quoted, shortened


def groups_of_paths(paths: Sequence[str], pattern: str) -> NDArray[np.int32]:
    """(n) the group of each path, numbered from 0 as they come; -1 where the pattern finds nothing.

    pattern: a regular expression of Python's, looked for anywhere in a path; what its first parentheses find is the group's name.
    UsageError for one that is none, has no parentheses that capture, or finds nothing in any path.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"The pattern of groups {shortened(pattern)} is no regular expression: {error}.") from error
    if not compiled.groups:
        raise UsageError(
            f"The pattern of groups {shortened(pattern)} captures nothing: put what names a group in parentheses, as in "
            r"(person\d+)."
        )
    numbers: dict[str, int] = {}
    found = np.full(len(paths), -1, np.int32)
    for index, path in enumerate(paths):
        match = compiled.search(path)
        if match is not None and match[1]:
            found[index] = numbers.setdefault(match[1], len(numbers))
    if not numbers and len(paths):
        raise UsageError(
            f"The pattern of groups {shortened(pattern)} finds nothing in {len(paths):,} paths, such as {quoted(paths[0])}."
        )
    return found
