"""The most memory that this process has held, and what is free: what the system counts, of the process as a whole."""

import sys
from contextlib import suppress
from pathlib import Path

_STATUS, _FORGET, _SYSTEM = Path("/proc/self/status"), Path("/proc/self/clear_refs"), Path("/proc/meminfo")


def begin_peak() -> None:
    """Count from here on. Where the system can not (it is Linux's), the peak stays that since the process began."""
    with suppress(OSError):
        _FORGET.write_bytes(b"5")


def peak_memory() -> float:
    """Resident, in MB of a million bytes; 0 where the system does not tell."""
    with suppress(OSError, ValueError, StopIteration):
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    with suppress(ImportError):
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6
    return 0.0


def free_memory() -> float | None:
    """That the system can give without swapping, in MB of a million bytes; None where it does not tell."""
    with suppress(OSError, ValueError, StopIteration):
        line = next(line for line in _SYSTEM.read_text().splitlines() if line.startswith("MemAvailable:"))
        return int(line.split()[1]) * 1024 / 1e6
    return None
