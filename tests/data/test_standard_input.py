"""Standard input: one picture or a list of paths, in the encodings and with the ends that programs give it."""

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pocketvision.bundle import Bundle
from pocketvision.data.find_images import find_images
from pocketvision.data.standard_input import standard_input
from pocketvision.errors import UsageError
from pocketvision.workflows.predict import predict

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")


def picture(kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (20, 20), (250, 0, 0)).save(content, kind)
    return content.getvalue()


def paths(content: bytes) -> list[str]:
    held = standard_input(io.BytesIO(content))
    assert isinstance(held, Iterator)
    return [line.rstrip("\r\n") for line in held]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_picture_is_answered(tiny_bundle: Bundle, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "rows.jsonl"
    summary = predict(tiny_bundle.folder, ["-"], lines=io.BytesIO(picture(kind)), out=out)
    assert (summary.images, summary.failed) == (1, 0)
    row = json.loads(out.read_text())
    assert (row["path"], row["label"]) == ("-", "red")


def test_a_damaged_picture_is_one_row_with_its_error(tiny_bundle: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    heic = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00heicmif1" + b"\x00" * 80
    for content in (picture("JPEG")[:200], heic):
        assert predict(tiny_bundle.folder, ["-"], lines=io.BytesIO(content), out=out).failed == 1
        assert json.loads(out.read_text())["error"]


class Pieces(io.RawIOBase):
    """A pipe that brings what was written to it in pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self.pieces.pop(0) if self.pieces else b""
        if left := piece[len(buffer) :]:
            self.pieces.insert(0, left)
            piece = piece[: len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_picture_that_comes_in_pieces_is_one(kind: str) -> None:
    content = picture(kind)
    pieces = [content[:1], content[1:3], content[3:6], content[6:9], content[9:]]
    assert standard_input(io.BufferedReader(Pieces(*pieces))) == content


def test_a_list_is_answered_from_its_first_line_on() -> None:
    source = Pieces(b"a.p", b"ng\n", b"b.png\n")
    held = standard_input(io.BufferedReader(source))
    assert source.pieces == [b"b.png\n"]
    assert [line.rstrip() for line in map(str, held)] == ["a.png", "b.png"]


LIST = "a.png\n사진 é.png\nb c.png\n"


@pytest.mark.parametrize(
    "content",
    [
        LIST.encode(),
        LIST.replace("\n", "\r\n").encode(),
        LIST.encode("utf-8-sig"),
        LIST.encode("utf-16"),
        b"\xfe\xff" + LIST.encode("utf-16-be"),
        LIST.replace("\n", "\0").encode(),
        LIST.replace("\n", "\0").encode().rstrip(b"\0"),
    ],
    ids=["utf-8", "crlf", "bom", "utf-16", "utf-16-be", "print0", "print0 unended"],
)
def test_lists_in_the_encodings_that_shells_write(content: bytes) -> None:
    assert paths(content) == LIST.split("\n")[:3]


def test_utf_16_without_a_mark_is_recognised_by_its_zeros() -> None:
    assert paths("a.png\nb.png\n".encode("utf-16-le")) == ["a.png", "b.png"]


def test_names_that_are_no_text_and_names_with_line_ends() -> None:
    assert list(map(os.fsencode, paths(b"caf\xe9.png\nb\xff.png"))) == [b"caf\xe9.png", b"b\xff.png"]
    assert paths(b"two\nlines.png\0[b].png\0") == ["two\nlines.png", "[b].png"]


def test_lines_are_read_one_at_a_time() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb", buffering=0) as sink:
        sink.write(b"a.png\n")
        found = find_images(["-"], source)
        assert next(found) == Path("a.png")
        sink.write(b"b.png\n")
        assert next(found) == Path("b.png")


@pytest.mark.parametrize("content", [b"%PDF-1.7\n\x00\x01", b"\x7fELF\x02\x01\x01", b"PK\x03\x04\x14", b"\x1f\x8b\x08"])
def test_what_is_neither_is_recognised_by_its_first_bytes(content: bytes) -> None:
    if content.startswith(b"%PDF"):
        content = b"%PDF-1.7\n\x01\x02\x03"
    with pytest.raises(UsageError, match="neither a picture of a known format nor a list"):
        standard_input(io.BytesIO(content))


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b"\r\n"])
def test_an_empty_list_is_wrong_use(content: bytes) -> None:
    with pytest.raises(UsageError, match="holds no path"):
        list(find_images(["-"], io.BytesIO(content)))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_list_given_as_a_file_is_explained_how_it_is_given(
    tiny_bundle: Bundle, tmp_path: Path, encoding: str
) -> None:
    (tmp_path / "a.png").write_bytes(picture())
    names = tmp_path / "names.txt"
    names.write_text("a.png\nmissing.png\n", encoding=encoding)
    with pytest.raises(UsageError, match=r"names\.txt: this is a list of images .* predict BUNDLE - < "):
        predict(tiny_bundle.folder, [names])


@pytest.mark.parametrize("content", ["just words\n", "{}", "", "x" * 10_000])
def test_other_texts_are_rows_with_an_error(tiny_bundle: Bundle, tmp_path: Path, content: str) -> None:
    (tmp_path / "notes.txt").write_text(content)
    predict(tiny_bundle.folder, [tmp_path / "notes.txt"], out=tmp_path / "rows.jsonl")
    assert json.loads((tmp_path / "rows.jsonl").read_text())["error"]
