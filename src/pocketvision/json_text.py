r"""JSON as this project writes it: UTF-8, and what is not printable as `\uXXXX`, in files as on a terminal.

A file name may hold bytes that are not UTF-8. Python keeps them as lone surrogates, which become `\udc80` to `\udcff`
here; `json.loads` reads them back as `os.fsdecode` had them.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from pocketvision.printable import UNPRINTABLE


def json_text(value: Any, *, indent: int | None = None, default: Callable[[Any], Any] | None = None) -> str:
    """A value as JSON that can be encoded and printed. NaN and infinity are refused (ValueError)."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent, default=default)
    # Outside of strings there is nothing but spaces and, with an indent, line ends; within them controls are escaped already.
    return UNPRINTABLE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[0] == "\n" else json.dumps(found[0])[1:-1]
