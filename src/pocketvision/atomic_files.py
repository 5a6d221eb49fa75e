"""Files are written whole or not at all: to a temporary name beside the target, flushed to disk, then renamed."""

import io
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pocketvision.json_text import json_text

_OPENED = re.compile(r"/dev/(stdout|stderr)|/(?:dev|proc/self)/fd/(\d+)")
_STANDARD = {"stdout": 1, "stderr": 2}


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends well it takes `path`'s place, else it is removed.

    The parent folder is made if absent. A symbolic link stays one, and its target is replaced. What is no file (a device, a pipe)
    can not be replaced, and is written to in the end; so is what is open already (/dev/stdout), after what it holds. Raises
    OSError (for example a full disk) with `path` left as it was.
    """
    opened = _OPENED.fullmatch(str(path))
    if opened or (path.exists() and not path.is_file() and not path.is_dir()):
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder) / path.name
            yield temporary
            to: int | Path = path
            if opened:
                to = os.dup(_STANDARD.get(opened[1]) or int(opened[2]))
            with temporary.open("rb") as content, open(to, "wb") as device:  # noqa: PTH123
                shutil.copyfileobj(content, device)
        return
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".part")
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files that only their owner reads; a result is as readable as any other new file.
        temporary.chmod(0o666 & ~_umask())
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def append_whole(file: io.FileIO, content: bytes) -> None:
    """Write `content` to an unbuffered file, whole or not at all: a full disk may take a part of it. Raises OSError."""
    start = file.tell() if file.seekable() else None
    written = 0
    try:
        while written < len(content):
            written += file.write(content[written:])
    except OSError:
        if start is not None:
            with suppress(OSError):
                file.seek(start)
                file.truncate()
        raise


def write_text(path: Path, content: str) -> None:
    """Write `content` to `path` as UTF-8 with Unix line ends, whole or not at all. Bytes of file names that are not UTF-8
    are written as they are (surrogateescape)."""
    write_bytes(path, content.encode("utf-8", "surrogateescape"))


def write_json(path: Path, content: Any, default: Callable[[Any], Any] | None = None) -> None:
    """Write `content` to `path` as indented UTF-8 JSON, whole or not at all. NaN and infinity are refused (ValueError)."""
    write_text(path, json_text(content, indent=2, default=default) + "\n")


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current
