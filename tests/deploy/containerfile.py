"""Reads deploy/Containerfile, so that tests run its own steps and not a copy of them."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CONTAINERFILE = DEPLOY / "Containerfile"


@dataclass(frozen=True)
class Instruction:
    """A keyword in capitals and what follows it, on one line."""

    keyword: str
    value: str

    @property
    def words(self) -> list[str]:
        """The exec form: the JSON list that the value is or ends with. Raises ValueError where there is none."""
        return [str(word) for word in json.loads(self.value[self.value.index("[") :])]


def stages() -> list[list[Instruction]]:
    """The instructions of each stage; those before the first FROM are a stage of their own."""
    lines = [line for line in CONTAINERFILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found: list[list[Instruction]] = [[]]
    for line in filter(None, map(str.strip, joined.splitlines())):
        keyword, _, value = line.partition(" ")
        if keyword == "FROM":
            found.append([])
        found[-1].append(Instruction(keyword, value))
    return found


def values(stage: list[Instruction], keyword: str) -> list[str]:
    """What follows a keyword, every time it stands in a stage."""
    return [each.value for each in stage if each.keyword == keyword]


def only(stage: list[Instruction], keyword: str) -> Instruction:
    """The instruction that a stage has once."""
    (found,) = [each for each in stage if each.keyword == keyword]
    return found


def environment(stage: list[Instruction]) -> dict[str, str]:
    """The variables that a stage sets."""
    pairs = re.findall(r'(\w+)=(?:"([^"]*)"|(\S+))', " ".join(values(stage, "ENV")))
    return {name: quoted or plain for name, quoted, plain in pairs}
