"""How much processor time the control groups of Linux leave to this process: what `docker run --cpus 2` sets."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MEMBERSHIP = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")


def cpu_quota(membership: Path = MEMBERSHIP, mount: Path = MOUNT) -> float | None:
    """Cores' worth of time, such as 1.5. None where nothing is limited, on other systems than Linux too.

    membership: the file that tells the process's group in each hierarchy. mount: the folder of the hierarchies. The smallest of
    the limits counts, the group's own and those of the groups above it. Never raises: what can not be read limits nothing.

    Source: the kernel's Documentation/admin-guide/cgroup-v2.rst (cpu.max) and scheduler/sched-bwc.rst (v1).
    """
    found: list[float | None] = []
    for line in _lines(membership):
        if line.count(":") < 2:
            continue
        _, controllers, group = line.split(":", 2)
        if not controllers:  # version 2: one hierarchy for all controllers
            found += [_from_v2(folder) for folder in _folders(mount, group)]
        elif "cpu" in controllers.split(","):
            found += [_from_v1(folder) for name in ("cpu", controllers) for folder in _folders(mount / name, group)]
    return min((quota for quota in found if quota is not None), default=None)


def _folders(hierarchy: Path, group: str) -> Iterator[Path]:
    """The group's folder and those above it. A container may see its host's name of the group, but its own files at the top."""
    names = [name for name in PurePosixPath(group).parts if name != "/"]
    if ".." in names:  # outside of what is mounted here
        names = []
    for depth in range(len(names), -1, -1):
        yield hierarchy.joinpath(*names[:depth])


def _from_v2(folder: Path) -> float | None:
    """`cpu.max`: "200000 100000", microseconds of time in a period of so many, or "max 100000"."""
    words = " ".join(_lines(folder / "cpu.max")).split()
    return _share(*words) if len(words) == 2 else None


def _from_v1(folder: Path) -> float | None:
    """Two files of one number each; the quota is -1 without a limit."""
    quota, period = (" ".join(_lines(folder / f"cpu.cfs_{name}_us")) for name in ("quota", "period"))
    return _share(quota, period)


def _share(quota: str, period: str) -> float | None:
    try:
        time, of = int(quota), int(period)
    except ValueError:
        return None
    return time / of if time > 0 and of > 0 else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError):
        return []
