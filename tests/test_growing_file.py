"""A file of answers is kept whatever ends the run, and an earlier one until there is a first answer."""

import errno
import io
import os
import threading
from pathlib import Path

import pytest

from pocketvision import growing_file as module
from pocketvision.errors import PocketVisionError
from pocketvision.growing_file import growing_file


def test_lines_are_there_as_soon_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows.csv"
    with growing_file(path, holds="rows", header=b"head\n") as write:
        assert not path.exists()
        write(b"one\n")
        assert path.read_bytes() == b"head\none\n"
        write(b"two\n")
    assert path.read_bytes() == b"head\none\ntwo\n"


@pytest.mark.parametrize("ended_by", [RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError])
def test_what_is_written_stays_whatever_ends_the_run(tmp_path: Path, ended_by: type[BaseException]) -> None:
    path = tmp_path / "rows.csv"
    with pytest.raises(ended_by) as ended, growing_file(path, holds="rows", header=b"head\n") as write:
        write(b"one\n")
        write(b"two\n")
        raise ended_by
    assert path.read_bytes() == b"head\none\ntwo\n"
    assert ended.value.__notes__ == [f"{path} holds the rows until then: 2."]


def test_an_earlier_file_stays_until_there_is_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"earlier\n")
    with pytest.raises(KeyboardInterrupt) as ended, growing_file(path, holds="rows", header=b"head\n"):
        raise KeyboardInterrupt
    assert path.read_bytes() == b"earlier\n" and not hasattr(ended.value, "__notes__")
    with growing_file(path, holds="rows", header=b"head\n"):
        pass
    assert path.read_bytes() == b"head\n"


def test_a_file_that_can_not_be_written_is_reported_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "rows.csv", tmp_path):
        with pytest.raises(PocketVisionError, match="rows can not be written there"), growing_file(path, holds="rows"):
            pytest.fail("the work began")


def test_a_full_disk_keeps_whole_lines_and_says_how_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: io.FileIO, content: bytes) -> None:
        if file.tell() + len(content) > 12:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        file.write(content)

    monkeypatch.setattr(module, "append_whole", full)
    path = tmp_path / "rows.csv"
    with pytest.raises(PocketVisionError, match="No space left") as ended, growing_file(path, holds="rows") as write:
        for line in (b"first\n", b"2nd\n", b"third\n"):
            write(line)
    assert path.read_bytes() == b"first\n2nd\n"
    assert ended.value.__notes__ == [f"{path} holds the rows until then: 2."]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_a_pipe_is_opened_once_and_its_reader_sees_every_line(tmp_path: Path) -> None:
    pipe, heard = tmp_path / "rows.csv", []
    os.mkfifo(pipe)
    reading = threading.Thread(target=lambda: heard.append(pipe.read_bytes()), daemon=True)
    reading.start()
    with growing_file(pipe, holds="rows", header=b"head\n") as write:
        write(b"one\n")
    reading.join(20)
    assert heard == [b"head\none\n"] and pipe.is_fifo()
