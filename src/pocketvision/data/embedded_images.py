"""Pictures that lie inside a table or in memory: unpacked once into a folder, under names made of their content."""

import hashlib
import re
import tempfile
from pathlib import Path, PurePosixPath

from platformdirs import user_cache_path

from pocketvision.data.image_files import SUFFIXES
from pocketvision.data.signatures import HEAD_BYTES, format_of
from pocketvision.errors import PocketVisionError

_SUFFIX_OF = {name: suffix for suffix, name in reversed(SUFFIXES.items())}
_PLAIN_NAME = re.compile(r"[\w.-]{1,60}")


class EmbeddedImages:
    """Writes pictures below `folder` (None: the cache folder) and counts them. One that is there already is not written again."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = user_cache_path("pocketvision") / "embedded" if folder is None else folder.absolute()
        self.count = 0
        self.size = 0

    def add(self, content: bytes, name: str) -> str:
        """The path, relative to `folder`, of a file that holds `content`. name: what the picture was called, or nothing.

        Raises PocketVisionError when it can not be written.
        """
        digest = hashlib.blake2b(content, digest_size=16).hexdigest()
        stem = PurePosixPath(name.replace("\\", "/")).stem
        suffix = _SUFFIX_OF.get(format_of(content[:HEAD_BYTES]) or "", ".img")
        relative = f"{digest[:2]}/{digest}{f'-{stem}' if _PLAIN_NAME.fullmatch(stem) else ''}{suffix}"
        self.count += 1
        self.size += len(content)
        self._write(self.folder / relative, content)
        return relative

    def _write(self, path: Path, content: bytes) -> None:
        try:
            if path.is_file() and path.stat().st_size == len(content):
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            # Not flushed to disk one by one: a file that a crash cut short has another size, and is written again.
            with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
                file.write(content)
            Path(file.name).replace(path)
        except OSError as error:
            raise PocketVisionError(
                f"{path}: pictures can not be unpacked there ({error.strerror or error}). Free some space, or take another "
                "folder (the cache: set XDG_CACHE_HOME)."
            ) from error
