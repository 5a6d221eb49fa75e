"""CSV as this project writes it: whatever a cell holds, any reader gets it back the same.

Python's own writer leaves a carriage return without quotes (before 3.13), and blanks at the ends of a cell, which many
readers drop.
"""

import re
from collections.abc import Iterable

_TO_QUOTE = re.compile(r"""^\s|\s$|[,;\t"'\r\n]|^\ufeff""")


def csv_line(cells: Iterable[object]) -> str:
    """One row with its line end. None is an empty cell."""
    return ",".join(_cell("" if cell is None else str(cell)) for cell in cells) + "\n"


def csv_bytes(cells: Iterable[object]) -> bytes:
    """One row as UTF-8; bytes of file names that are not UTF-8 stand there as they are."""
    return csv_line(cells).encode("utf-8", "surrogateescape")


def _cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if _TO_QUOTE.search(text) else text
