"""Paths for libraries that know no file name but UTF-8 (ONNX Runtime, OpenVINO, safetensors, FFmpeg)."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def utf8_path(path: Path) -> Iterator[Path]:
    """A path to the same file, that is there or will be: `path` itself, or where that is not UTF-8 one through a link.

    The link is gone when the block ends; what was opened by then stays open.
    """
    if _is_utf8(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder, "linked")
        if _is_utf8(Path(path.name)):
            link.symlink_to(path.parent.absolute(), target_is_directory=True)
            yield link / path.name
        else:
            link = Path(folder, f"linked{path.suffix}") if _is_utf8(Path(path.suffix)) else link
            link.symlink_to(path.absolute())
            yield link


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
