"""The one style of everything that is shown in a browser: the report, the server's page, its API page."""

from functools import cache
from pathlib import Path


@cache
def stylesheet() -> str:
    """CSS: colours for light and dark, the type scale, cards, tables, tags and bars. Layouts of one page stay with that page."""
    return (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
