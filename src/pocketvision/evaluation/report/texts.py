"""The report's texts: one table of words for each language, with the same keys."""

import json
from functools import cache
from pathlib import Path

from pocketvision.errors import unknown_name

LANGUAGES = ("en", "ko")
_FOLDER = Path(__file__).parent / "texts"


@cache
def texts(lang: str) -> dict[str, str]:
    """Every text of `lang` by key; {names} in braces are filled in. Raises UsageError for an unknown language."""
    if lang not in LANGUAGES:
        raise unknown_name("report language", lang, LANGUAGES)
    table: dict[str, str] = json.loads((_FOLDER / f"{lang}.json").read_text(encoding="utf-8"))
    return table
