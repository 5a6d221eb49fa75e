"""Delimited text: dialects and encodings that are found out, and rows that are never cut or swallowed."""

import io
from pathlib import Path

import pytest

from pocketvision.data.delimited_text import open_delimited, split_cells, text_lines, text_of
from pocketvision.data.left_out import LeftOut
from pocketvision.data.samples import Samples
from pocketvision.data.sources.catalog import read_samples
from pocketvision.errors import UsageError

FILES = [f"{number}.jpg" for number in range(12)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).touch()
    return tmp_path


def write(folder: Path, text: str, encoding: str = "utf-8", name: str = "t.csv") -> Path:
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


def labels_of(samples: Samples) -> list[str]:
    return [samples.class_name(index) for index in range(len(samples))]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("declared", [False, True])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_dialects(folder: Path, delimiter: str, declared: bool, encoding: str) -> None:
    lines = [f"sep={delimiter}"] * declared + [
        "note,with,commas;path;label".replace(",", " "),
        "a;0.jpg;고양이",
        "b;1.jpg;x",
    ]
    path = write(folder, "\r\n".join(lines).replace(";", delimiter), encoding)
    assert labels_of(read_samples(path)) == ["고양이", "x"]


def test_the_header_decides_between_delimiters(folder: Path) -> None:
    assert labels_of(read_samples(write(folder, "\n\npath;label\n0.jpg;x\n"))) == ["x"]
    assert labels_of(read_samples(write(folder, "path;label;a,b,c,d\n0.jpg;x;1,2\n"))) == ["x"]
    assert labels_of(read_samples(write(folder, "path,label\n0.jpg,x\n", name="t.tsv"))) == ["x"]
    assert labels_of(read_samples(write(folder, "path\tlabel\r\n0.jpg\tx, y\r\n", "utf-16", "Book1.txt"))) == ["x, y"]
    assert labels_of(read_samples(write(folder, '"path","label"\r0.jpg,"Pepper, ""bell"""\r'))) == ['Pepper, "bell"']


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "path,label\n0.jpg,Pepper, bell\n",
            r"line 2: 3 cells, but 2 columns.*'0\.jpg,Pepper, bell'.*delimiter \(,\) in quotes",
        ),
        ("path,label\n0.jpg,x\n1.jpg,y,\n", "line 3: 3 cells, but 2 columns"),
        ("sep=;\npath;label\n0.jpg;x\n\n1.jpg;a;b\n", r"line 5: 3 cells.*delimiter \(;\)"),
        ("\ufeff\r\n \r\nsep=;\r\n\r\npath;label\r\n0.jpg;a;b\r\n", r"line 6: 3 cells.*delimiter \(;\)"),
        ("path\tlabel\n0.jpg\tx\n1.jpg\n", "line 3: 1 cell, but 2 columns"),
        ("path,label,note\n0.jpg,x\n", "line 2: 2 cells, but 3 columns"),
        ('path,label\n0.jpg,x\n1.jpg,"y\n2.jpg,x\n', r'line 3: .*quote \("\) is opened in this row and never closed'),
        (
            'path,label\n0.jpg,"x\n1.jpg,x\n2.jpg,"y\n',
            "line 2: .*closed before the end of a cell in line 4, and swallows",
        ),
        (
            'path,label,note\n0.jpg,x,"n\n1.jpg,x,n\n2.jpg,y,n"\n',
            r"line 2: .*goes on to line 4 and swallows rows such as line 3",
        ),
        ('path,label\n0.jpg,"x\nz"\n', "line 2: the label goes over several lines"),
        ('path,label\n0.jpg,x\n1.jpg,y"\n', r"line 3: the label 'y\"' has a quote"),
        ('path,label\n0.jpg,"x" y\n', "line 2: .*closed before the end of a cell"),
        ("path,label\n0.jpg," + "long " * 1000 + "\n", r"line 2: the label has 5,000 characters.*--label-column"),
        ("0.jpg,x\n1.jpg,y\n", "The first line looks like a row: put a line with the columns' names"),
    ],
)
def test_rows_that_would_be_cut_or_swallowed_are_named(folder: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read_samples(write(folder, text))
    assert len(str(caught.value)) < 700


def test_a_note_of_several_lines_and_odd_quotes_in_it_are_no_fault(folder: Path) -> None:
    text = 'path,label,note\n0.jpg,x,"first, line\nsecond, ""line"""\n1.jpg,y,12" wide\n,,\n\n   \n2.jpg,x,\n'
    samples = read_samples(write(folder, text))
    assert labels_of(samples) == ["x", "y", "x"]
    assert samples.left_out == (LeftOut("blank_row", 1, "line 5"),)


def test_a_huge_row_makes_a_small_message(folder: Path) -> None:
    for text in ("path,label\n0.jpg,x," + "y" * 100_000, "path,label\n0.jpg," + "," * 100_000, "a" * 200_000 + "\n"):
        with pytest.raises(UsageError) as caught:
            read_samples(write(folder, text))
        assert len(str(caught.value)) < 700


def test_utf16_cut_in_the_middle_is_an_error_with_its_line(folder: Path) -> None:
    (folder / "t.csv").write_bytes("path,label\n0.jpg,x\n1.jpg,y".encode("utf-16")[:-1])
    with pytest.raises(UsageError, match="line 3: not readable as text"):
        read_samples(folder / "t.csv")


def test_lines_and_cells(tmp_path: Path) -> None:
    path = write(tmp_path, " one\r\n\r\ntwo, three \r\n", "utf-16", "list.txt")
    assert list(text_lines(path)) == [(1, " one"), (3, "two, three ")]
    assert split_cells('a , "b, c","d ""e"""', ",", "") == ["a", "b, c", 'd "e"']
    pipe = text_of(io.BufferedReader(io.BytesIO("\ufeffphoto 사진.jpg\nb.jpg".encode("utf-16-le"))))  # type: ignore[arg-type]
    assert pipe.read() == "photo 사진.jpg\nb.jpg"
    with pytest.raises(UsageError, match="can not be read"), open_delimited(tmp_path) as _:
        pass
