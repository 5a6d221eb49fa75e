"""Finds the pictures that files of boxes speak of: by path, else by name, wherever they lie below the data."""

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pocketvision.data.image_files import images_below
from pocketvision.data.left_out import LeftOutCounter
from pocketvision.data.samples import SPLITS
from pocketvision.data.split_folders import split_in_name
from pocketvision.data.table_paths import TablePaths, plain_path
from pocketvision.errors import UsageError


class Pictures:
    """root: below which pictures lie; found paths are relative to it. given: of --images, in its place."""

    def __init__(self, root: Path, given: Path | None = None) -> None:
        if given is not None and not given.is_dir():
            raise UsageError(f"--images {given}: there is no such folder. Expected the folder that pictures lie in.")
        self.root = root if given is None else given
        self._paths = TablePaths(self.root, given=given is not None)
        self._by_name: dict[str, list[str]] | None = None
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        self.counter = LeftOutCounter()

    def find(self, name: str, near: Sequence[Path] = (), split: int = -1) -> str | None:
        """The picture called `name`, relative to the root; None where none is there, or several and nothing tells which.

        near: folders that a relative path may start at, before the root. split: of several pictures of one name, that below a
        folder of this split is taken.
        """
        if not name.strip():
            return None
        plain = plain_path(name)
        for folder in near:
            path = os.path.join(folder, plain)  # noqa: PTH118
            if os.path.isfile(path):  # noqa: PTH113
                return self.inside(Path(path))
        found = self._paths.find(name)
        if found is not None and self._is_picture(found):
            return found
        base = PurePosixPath(plain).name
        return self._one(self.by_name.get(base, ()), split) or self._one(self._by_stem.get(base, ()), split)

    def of_stem(self, stem: str, folders: Sequence[Path], split: int = -1) -> str | None:
        """The picture with this name before its suffix, in the first of the folders that has one, else anywhere."""
        self.by_name  # noqa: B018 (fills the stems)
        candidates = self._by_stem.get(stem, [])
        for folder in folders:
            place = self.inside(folder)
            same = [each for each in candidates if each.rpartition("/")[0] == ("" if place == "." else place)]
            if same:
                return same[0]
        return self._one(candidates, split)

    @property
    def by_name(self) -> dict[str, list[str]]:
        """Every picture below the root by its name; the folder is searched once."""
        if self._by_name is None:
            self._by_name = defaultdict(list)
            for path in images_below(self.root, "", self.counter, passed=set(), skip_unreadable=True):
                name = path.rpartition("/")[2]
                self._by_name[name].append(path)
                self._by_stem[name.rpartition(".")[0]].append(path)
        return self._by_name

    def inside(self, path: Path) -> str:
        """A path relative to the root where it lies inside, with "/" between its parts, else absolute."""
        absolute, start = os.path.abspath(path), os.path.abspath(self.root)  # noqa: PTH100
        if absolute == start:
            return "."
        return absolute[len(start) + 1 :].replace(os.sep, "/") if absolute.startswith(start + os.sep) else absolute

    def cause(self, name: str) -> str:
        """Why there is no picture of that name, with what may help."""
        several = self.by_name.get(PurePosixPath(plain_path(name)).name, ())
        if len(several) > 1:
            return f"is there {len(several)} times, such as {several[0]} and {several[1]}"
        cause = self._paths.cause(name)
        return f"{cause.text}. {cause.hint}"

    def _is_picture(self, path: str) -> bool:
        return os.path.isfile(os.path.join(self.root, path))  # noqa: PTH113, PTH118

    def _one(self, paths: Sequence[str], split: int) -> str | None:
        if len(paths) > 1 and split >= 0:
            paths = [each for each in paths if split_of_path(each) == split]
        return paths[0] if len(paths) == 1 else None


def split_of_path(path: str) -> int:
    """The split that the last of its folders named like one names, as an index into SPLITS; -1 for none."""
    for part in reversed(PurePosixPath(path).parts[:-1]):
        split = split_in_name(part)
        if split is not None:
            return split
    return -1


def split_name(split: int) -> str:
    """For messages."""
    return SPLITS[split] if split >= 0 else "no split"
