"""Metrics of several processes, which prometheus_client keeps in a file for each kind and process (its multiprocess mode)."""

import fcntl
import logging
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

logger = logging.getLogger(__name__)

LOCK_TIMEOUT = 2.0  # seconds: the lock is held for milliseconds, unless its holder is stopped
CUMULATIVE = ("counter", "histogram")  # kinds whose values go on counting after the process that counted has ended


def shared_exposition(folder: Path) -> bytes:
    """The figures of all processes, those that ended included, in the text format that Prometheus scrapes."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    with _locked(folder, fcntl.LOCK_SH):
        return generate_latest(registry)


def merge_dead_process(process: int, folder: Path) -> None:
    """Take away what an ended process left, its counts in one file with those of all that ended before: there may be many.

    Raises OSError when the folder is gone, full or locked.
    """
    with _locked(folder, fcntl.LOCK_EX):
        mark_process_dead(process, str(folder))  # type: ignore[no-untyped-call]
        for kind in CUMULATIVE:
            left = folder / f"{kind}_{process}.db"
            if left.exists():
                try:
                    _add(left, folder / f"{kind}_ended.db")
                except (RuntimeError, ValueError, struct.error) as error:  # it ended while it wrote
                    logger.warning("the metrics of process %s can not be read and are lost: %s", process, error)
                left.unlink()  # a damaged file would break the whole exposition


def _add(left: Path, kept: Path) -> None:
    values = list(MmapedDict.read_all_values_from_file(str(left)))  # type: ignore[no-untyped-call]
    sums = MmapedDict(str(kept))  # type: ignore[no-untyped-call]
    try:
        for key, value, timestamp, _ in values:
            sums.write_value(key, sums.read_value(key)[0] + value, timestamp)  # type: ignore[no-untyped-call]
    finally:
        sums.close()  # type: ignore[no-untyped-call]


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    """A file lock: writers are alone, readers share. The system releases it when its holder dies.

    Raises BlockingIOError, an OSError, when another holds it for longer than LOCK_TIMEOUT.
    """
    with (folder / "figures.lock").open("a", encoding="ascii") as lock:
        ends = time.monotonic() + LOCK_TIMEOUT
        while True:
            try:
                fcntl.flock(lock, how | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > ends:
                    raise
                time.sleep(0.01)
        yield
