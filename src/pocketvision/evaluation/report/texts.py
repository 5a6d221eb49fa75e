"""The report's texts: one table of words for each language, with the same keys; each task has its own beside them."""

import json
from functools import cache
from pathlib import Path

from pocketvision.errors import unknown_name

LANGUAGES = ("en", "ko")
_FOLDER = Path(__file__).parent


@cache
def texts(lang: str, task: Path | None = None) -> dict[str, str]:
    """Every text of `lang` by key; {names} in braces are filled in. task: the folder of a task's report, whose texts go before
    those that all share. Raises UsageError for an unknown language."""
    if lang not in LANGUAGES:
        raise unknown_name("report language", lang, LANGUAGES)
    table: dict[str, str] = {}
    for folder in (_FOLDER, *([] if task is None else [task])):
        table |= json.loads((folder / "texts" / f"{lang}.json").read_text(encoding="utf-8"))
    return table
