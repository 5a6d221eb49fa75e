"""The machine that something was measured on, so that figures of different ones are not compared."""

import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pocketvision.errors import UsageError
from pocketvision.runtime.backends import BACKENDS, usable_cores

_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Machine:
    """cpu: its model. cores: that this process may use. versions: of Python and of what runs networks; what is not installed is
    left out."""

    cpu: str
    cores: int
    system: str
    versions: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Machine":
        """Raises KeyError or TypeError for what is no machine."""
        return cls(**{each.name: values[each.name] for each in fields(cls)})

    def require_same(self, other: "Machine", where: Path) -> None:
        """Raise UsageError that names what differs. `other` is that of the file `where`."""
        own, before = _flat(self), _flat(other)
        differences = [
            f"{name} was {before.get(name, 'absent')} and is {own.get(name, 'absent')}"
            for name in dict.fromkeys((*before, *own))
            if own.get(name) != before.get(name)
        ]
        if differences:
            raise UsageError(
                f"{where} was measured on another machine than this, or with other versions: {'; '.join(differences)}. Times can "
                "not be compared; measure both here: pocketvision benchmark ONE OTHER"
            )


def this_machine() -> Machine:
    """Where this process runs."""
    found = {"python": platform.python_version()}
    for name in dict.fromkeys(("numpy", *(row.module for row in BACKENDS.values()))):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return Machine(_cpu(), usable_cores(), f"{platform.system()} {platform.machine()}", found)


def _flat(machine: Machine) -> dict[str, str]:
    own = machine.to_dict()
    versions: dict[str, str] = own.pop("versions")
    return {name: str(value) for name, value in own.items()} | versions


def _cpu() -> str:
    with suppress(OSError, StopIteration):
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.lower().startswith("model name"))
    return platform.processor() or platform.machine()
