"""The command that repeats a report's figures."""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from pocketvision.data.samples import SPLITS


def repeating(
    bundle: str | Path,
    data: str | Path,
    split: str | None,
    options: Mapping[str, str | Path | bool | Iterable[str] | None] | None = None,
) -> str:
    """`pocketvision evaluate …` on the command line. split: left out where it is none of a data set's. options: by name; flags
    are True, and what is empty is left out."""
    words = ["pocketvision", "evaluate", str(bundle), str(data)]
    names = {"validation": "val"}
    if split is not None and names.get(split, split) in SPLITS:
        words += ["--split", names.get(split, split)]
    for name, value in (options or {}).items():
        if value is None or value is False or value == () or value == []:
            continue
        words.append(f"--{name}")
        if value is not True:
            words.append(str(value) if isinstance(value, str | Path) else ",".join(value))
    return " ".join(map(shlex.quote, words))
