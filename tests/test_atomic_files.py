"""Files that are written whole or not at all, and what is no file."""

import errno
import io
import os
import sys
import threading
from pathlib import Path

import pytest

from pocketvision.atomic_files import append_whole, replacing, write_text


def test_a_file_takes_the_place_of_another_or_leaves_it(tmp_path: Path) -> None:
    file = tmp_path / "new" / "file.txt"
    write_text(file, "one")
    with pytest.raises(RuntimeError), replacing(file) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise RuntimeError
    assert file.read_text(encoding="utf-8") == "one"
    assert [each.name for each in file.parent.iterdir()] == ["file.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="a link needs a privilege there")
@pytest.mark.parametrize("there", [True, False])
def test_a_symbolic_link_stays_one(tmp_path: Path, there: bool) -> None:
    target, link = tmp_path / "target.txt", tmp_path / "link.txt"
    link.symlink_to(target)
    if there:
        target.write_text("before", encoding="utf-8")
    write_text(link, "after")
    assert link.is_symlink() and target.read_text(encoding="utf-8") == "after"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_what_is_no_file_is_written_to_and_stays_what_it_is(tmp_path: Path) -> None:
    pipe, received = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reading = threading.Thread(target=lambda: received.append(pipe.read_bytes()), daemon=True)
    reading.start()
    write_text(pipe, "said")
    reading.join(20)
    assert received == [b"said"] and pipe.is_fifo()


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="open files have no names here")
def test_what_is_open_already_is_written_on(tmp_path: Path) -> None:
    """As /dev/stdout of a command whose output goes into a file, which is that command's, and not to be replaced."""
    path = tmp_path / "log"
    path.write_bytes(b"before\n")
    with path.open("ab") as file:
        write_text(Path(f"/dev/fd/{file.fileno()}"), "content\n")
        file.write(b"after\n")
    assert path.read_bytes() == b"before\ncontent\nafter\n"


class FullDisk(io.FileIO):
    """Takes ten bytes in all, and a part of what does not fit, as file systems do."""

    def write(self, content) -> int:  # type: ignore[no-untyped-def, override]
        left = 10 - self.tell()
        if left <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(bytes(content)[:left])


def test_a_line_that_does_not_fit_leaves_nothing_of_itself(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    with FullDisk(path, "wb") as file:
        append_whole(file, b"first\n")
        with pytest.raises(OSError, match="No space"):
            append_whole(file, b"second\n")
        assert path.read_bytes() == b"first\n"
        append_whole(file, b"3rd\n")
    assert path.read_bytes() == b"first\n3rd\n"


def test_a_line_that_goes_out_in_parts_is_whole(tmp_path: Path) -> None:
    class Slow(io.FileIO):
        def write(self, content) -> int:  # type: ignore[no-untyped-def, override]
            return super().write(bytes(content)[:3])

    path = tmp_path / "lines"
    with Slow(path, "wb") as file:
        append_whole(file, b"a long line\n")
    assert path.read_bytes() == b"a long line\n"
