"""The commands that repeat a report's figures, section by section."""

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
    words = ["evaluate", bundle, data]
    names = {"validation": "val"}
    if split is not None and names.get(split, split) in SPLITS:
        words += ["--split", names.get(split, split)]
    for name, value in (options or {}).items():
        if value is None or value is False or value == () or value == []:
            continue
        words.append(f"--{name}")
        if value is not True:
            words.append(str(value) if isinstance(value, str | Path) else ",".join(value))
    return _command(*words)


REPEATED = "repeated"
"""The folder that a printed command writes to."""

_READ = ("format", "task", "images")
_OF_RUNS = ("learning", "audit", "split", "recipe", "timings")


def beside(section: str, command: str | None, bundle: str | None, run: Mapping[str, str]) -> str | None:
    """The command that repeats what a section shows, by its id. command: what repeats the main figures; its report has the other
    sections. run: see of_run. None where nothing is known that does."""
    if section == "bundle":
        return _command("verify", bundle) if bundle else None
    if section in _OF_RUNS:
        return run.get(section)
    return f"{command} --out {REPEATED}" if command else None


def of_run(run: Path, split: Path, data: str, options: Mapping[str, object]) -> dict[str, str]:
    """Of the sections that a training has, and an evaluation has not. split: the run's split.csv, with which the training is
    repeated; data: what was audited. options: of the run by name, of which those of how data is read are taken."""
    train = ["train", split, "--recipe", run / "recipe.toml"]
    read = [word for name in _READ if options.get(name) for word in (f"--{name}", options[name])]
    again = _command(*train, "--out", REPEATED)
    return {
        "learning": again,
        "timings": again,
        "recipe": _command(*train, "--show-recipe"),
        "split": _command("check", split),
        "audit": _command("check", data, *read),
    }


def _command(*words: object) -> str:
    return " ".join(shlex.quote(str(word)) for word in ("pocketvision", *words))
