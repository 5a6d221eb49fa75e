"""An architecture from a JSON or TOML file: what a search found is data, not code."""

import json
import tomllib
from pathlib import Path

from pocketvision.errors import UsageError
from pocketvision.models.spec import Architecture

SUFFIXES = (".json", ".toml")


def read_architecture(path: Path) -> Architecture:
    """The architecture whose fields and `stages` rows the file holds; fields with a default may be left out.

    Raises UsageError that names the file, and the row and field that is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except FileNotFoundError:
        raise UsageError(f"There is no file {path}.") from None
    except (
        OSError,
        UnicodeDecodeError,
        ValueError,
    ) as error:  # both parsers raise ValueErrors that name line and column
        raise UsageError(f"{path} can not be read: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds no table of an architecture's fields.")
    try:
        return Architecture.from_dict(content)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
