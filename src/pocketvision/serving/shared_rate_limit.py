"""Rate limits of keys, shared by several processes."""

import fcntl
import mmap
import os
import struct
import time
from collections.abc import Sequence
from pathlib import Path

_BUCKET = struct.Struct("dd")  # tokens; the time of `time.monotonic` they were counted at, the same in all processes


class SharedTokenBuckets:
    """TokenBuckets in a file that processes share: a key's requests count whichever process they reach.

    The file's lock is held for microseconds, and released by the system when its holder dies.
    """

    def __init__(self, path: Path, names: Sequence[str], rate: float) -> None:
        """path: made when it is not there. names: the same in every process, in the same order."""
        self._rate = rate
        self._most = max(rate, 1.0)
        self._places = {name: place * _BUCKET.size for place, name in enumerate(names)}
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        size = max(len(names), 1) * _BUCKET.size
        os.ftruncate(self._file, size)
        self._buckets = mmap.mmap(self._file, size)

    def try_acquire(self, name: str, now: float | None = None) -> float:
        """Take a token: 0 when there was one, otherwise the seconds until there is."""
        place = self._places[name]
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            now = time.monotonic() if now is None else now
            tokens, since = _BUCKET.unpack_from(self._buckets, place)
            if since == 0:  # never used
                tokens, since = self._most, now
            tokens = min(self._most, tokens + max(now - since, 0) * self._rate)
            left = tokens - 1 if tokens >= 1 else tokens
            _BUCKET.pack_into(self._buckets, place, left, now)
            return 0.0 if tokens >= 1 else (1 - tokens) / self._rate
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
