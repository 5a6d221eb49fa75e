"""The trunk cache: what the frozen part of a network computes, per image view, on disk and memory-mapped.

A cache is a folder of *segments*, files that are written whole and never changed. A segment holds some hundreds of rows: a
16-byte key and one array per feature name. Several runs may share a folder: each adds segments of its own. A
segment whose length or checksum is wrong is removed, and its rows are computed anew.
"""

import hashlib
import json
import uuid
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.atomic_files import replacing
from pocketvision.errors import TrainingError

FORMAT = 1
KEY_BYTES = 16
# Some 30 MB at the usual cut of a 224-pixel network (31 kB a row): few files, and a crash loses a few seconds' work.
SEGMENT_ROWS = 1024
# Of a pyramid, ten times as large: what waits is kept in memory.
SEGMENT_BYTES = 64_000_000
_HEADER_BYTES = 4096

Features = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class FeatureLayout:
    """One array of an entry: its name, its shape without the batch dimension, and its type on disk."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def row_bytes(self) -> int:
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


class TrunkCache:
    """Rows of features by key. `fingerprint` names all that the rows depend on apart from the image view (weights, cut,
    preprocessing, runtime): another fingerprint is another sub-folder, so a stale row is never found."""

    def __init__(self, folder: Path, *, fingerprint: str, layouts: Sequence[FeatureLayout]) -> None:
        self.layouts = tuple(layouts)
        described = f"{fingerprint}|{self.layouts}|{FORMAT}"
        self.folder = folder / hashlib.blake2b(described.encode(), digest_size=10).hexdigest()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.discarded: list[Path] = []
        self._rows: dict[bytes, tuple[int, int]] = {}
        self._segments: list[dict[str, NDArray[np.generic]]] = []
        self._waiting: list[tuple[Sequence[bytes], Features]] = []
        self._known: set[Path] = set()
        self.look_again()

    def look_again(self) -> None:
        """Open the segments that are new in the folder: another run or process may have added some."""
        for path in sorted({*self.folder.glob("*.segment")} - self._known):
            self._open(path)

    @property
    def row_bytes(self) -> int:
        """Bytes that one row takes on disk."""
        return KEY_BYTES + sum(layout.row_bytes for layout in self.layouts)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: bytes) -> bool:
        return key in self._rows

    @property
    def keys(self) -> tuple[bytes, ...]:
        """Of the rows."""
        return tuple(self._rows)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the features that an entry maps to arrays."""
        return tuple(layout.name for layout in self.layouts)

    def add(self, keys: Sequence[bytes], features: Features) -> None:
        """Take rows of every feature of the layouts; they reach the disk, a segment at a time, at the latest with `flush`.

        Raises TrainingError when the disk is full; complete segments stay and are found by the next run.
        """
        stored = {each.name: features[each.name].astype(each.dtype, copy=False) for each in self.layouts}
        self._waiting.append((keys, stored))
        waiting = sum(len(part) for part, _ in self._waiting)
        if waiting >= SEGMENT_ROWS or waiting * self.row_bytes >= SEGMENT_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait. Raises TrainingError when the disk is full."""
        if not self._waiting:
            return
        keys = [key for part, _ in self._waiting for key in part]
        try:
            self._write(keys, [features for _, features in self._waiting])
        except OSError as error:
            raise TrainingError(
                f"The trunk cache can not be written to {self.folder}: {error.strerror or error}. Free some space, name another "
                "folder (--cache-dir), lower --views, or train with --no-cache."
            ) from error
        finally:
            self._waiting = []

    def read(self, keys: Sequence[bytes], name: str) -> NDArray[np.generic]:
        """The rows of feature `name` for `keys`, (len(keys), *shape), copied out of the mapped files."""
        layout = next(layout for layout in self.layouts if layout.name == name)
        out = np.empty((len(keys), *layout.shape), dtype=layout.dtype)
        for index, key in enumerate(keys):
            segment, row = self._rows[key]
            out[index] = self._segments[segment][name][row]
        return out

    def _write(self, keys: Sequence[bytes], parts: Sequence[Features]) -> None:
        path = self.folder / f"{uuid.uuid4().hex}.segment"
        arrays = {layout.name: np.concatenate([part[layout.name] for part in parts]) for layout in self.layouts}
        checksum = zlib.crc32(b"".join(keys))
        for array in arrays.values():
            checksum = zlib.crc32(np.ascontiguousarray(array).data, checksum)
        header = json.dumps({"format": FORMAT, "rows": len(keys), "crc32": checksum}).encode().ljust(_HEADER_BYTES)
        with replacing(path) as temporary, temporary.open("wb") as file:
            file.write(header)
            file.write(b"".join(keys))
            for array in arrays.values():
                file.write(np.ascontiguousarray(array).data)
        self._map(path, len(keys), keys)

    def _open(self, path: Path) -> None:
        """Take over a segment that is whole; remove one that is not."""
        try:
            with path.open("rb") as file:
                header = json.loads(file.read(_HEADER_BYTES))
                rows = int(header["rows"])
                if header["format"] != FORMAT or path.stat().st_size != _HEADER_BYTES + rows * self.row_bytes:
                    raise ValueError("length")
                joined = file.read(rows * KEY_BYTES)
                checksum = zlib.crc32(joined)
                while block := file.read(1 << 22):
                    checksum = zlib.crc32(block, checksum)
            if checksum != header["crc32"]:
                raise ValueError("checksum")
        except (ValueError, KeyError, TypeError):
            self.discarded.append(path)
            path.unlink(missing_ok=True)
            return
        self._map(path, rows, [joined[i : i + KEY_BYTES] for i in range(0, len(joined), KEY_BYTES)])

    def _map(self, path: Path, rows: int, keys: Sequence[bytes]) -> None:
        arrays: dict[str, NDArray[np.generic]] = {}
        self._known.add(path)
        offset = _HEADER_BYTES + rows * KEY_BYTES
        for layout in self.layouts:
            arrays[layout.name] = np.memmap(path, layout.dtype, "r", offset, (rows, *layout.shape))
            offset += rows * layout.row_bytes
        self._segments.append(arrays)
        for row, key in enumerate(keys):
            self._rows[key] = (len(self._segments) - 1, row)


def row_key(content: bytes, view: bytes) -> bytes:
    """The key of one image view: from the image's content hash and the view's recorded parameters."""
    return hashlib.blake2b(content + b"|" + view, digest_size=KEY_BYTES).digest()
