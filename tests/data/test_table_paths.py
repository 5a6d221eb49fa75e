"""Paths of a table: spellings that are understood, and one sentence for each cause why a file is not there."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from pocketvision.data.samples import Samples
from pocketvision.data.sources.catalog import read_samples
from pocketvision.errors import UsageError

NAMES = ("img/a 1.jpg", "img/b.PNG", "img/한글.jpg")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for name in NAMES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def read(folder: Path, change: Callable[[str], str], **options: object) -> Samples:
    lines = [f'"{change(name)}",{"xyz"[place]}' for place, name in enumerate(NAMES)]
    (folder / "t.csv").write_text("\n".join(["path,label", *lines]), encoding="utf-8")
    return read_samples(folder / "t.csv", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        lambda name: name.replace("/", "\\"),
        lambda name: f".\\{name}".replace("/", "\\"),
        lambda name: f" {name} ",
        lambda name: f"./{name}",
        lambda name: unicodedata.normalize("NFD", name),
        lambda name: unicodedata.normalize("NFD", name).replace("/", "\\"),
    ],
)
def test_spellings_of_relative_paths(folder: Path, change: Callable[[str], str]) -> None:
    samples = read(folder, change)
    assert [samples.file(place).samefile(folder / name) for place, name in enumerate(NAMES)] == [True] * 3


def test_a_file_in_nfd_under_a_path_in_nfc(tmp_path: Path) -> None:
    name = unicodedata.normalize("NFD", "한글 é")
    (tmp_path / name).mkdir()
    (tmp_path / name / f"{name}.jpg").touch()
    (tmp_path / "t.csv").write_text("path,label\n한글 é/한글 é.jpg,x\n", encoding="utf-8")
    assert read_samples(tmp_path / "t.csv").file(0).exists()
    assert len(read_samples(tmp_path, labels=["한글 é", "x"])) == 1


def test_addresses_of_files_and_of_the_home_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    for change in (
        lambda name: (folder / name).absolute().as_uri(),
        lambda name: f"file://localhost{folder}/{name}",
        lambda name: f"~/{name}",
    ):
        assert list(read(folder, change).paths) == list(NAMES), "inside the table's folder: relative again"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda name: f"https://host/{name}", "is the address of a picture elsewhere.*download them first"),
        (lambda name: f"s3://bucket/{name}", "is the address of a picture elsewhere"),
        (lambda _name: "img", r"Line 2: 'img' is a folder, not a file"),
        (lambda name: name.rsplit(".", 1)[0], r"has no suffix.*There is 'a 1\.jpg'"),
        (lambda name: f"{name.rsplit('.', 1)[0]}.webp", r"has another suffix.*There is 'a 1\.jpg'"),
        (lambda name: name.upper(), r"differs from the file in small and capital letters.*There is 'img/a 1\.jpg'"),
        (lambda name: name.replace(" ", "%20"), r"is percent-encoded.*There is 'img/a 1\.jpg'"),
        (lambda name: f"~/no/{name}", "starts at a home folder, which is .* here, and is not there"),
        (lambda name: f"C:\\photos\\{name}", "starts at a drive of Windows.*give --images"),
        (lambda name: f"/mnt/gone/{name}", "is absolute and starts elsewhere: there is no folder '/mnt/gone' here.*--images"),
        (lambda name: f"file:///gone/{name}", "is a file:// address and starts elsewhere: there is no folder '/gone'"),
        (lambda name: f"data/{name}", "starts at another folder.*It is there below .*: give --images"),
        (lambda name: name.removeprefix("img/"), r"starts at another folder.*It is there below .*/data/img: give --images"),
        (lambda name: f"old/{name}", r"starts at another folder.*There is 'img/a 1\.jpg' below .*: shorten the paths"),
        (lambda name: f"quite else {name}", r"is not there\. Say where the pictures are with --images"),
    ],
)  # fmt: skip
def test_a_sentence_for_every_cause(folder: Path, change: Callable[[str], str], message: str) -> None:
    with pytest.raises(UsageError, match=r"[123] of 3 rows names? a file that is not there.*" + message):
        read(folder, change)


def test_several_causes_are_counted_each(folder: Path) -> None:
    (folder / "t.csv").write_text("path,label\nimg,x\nimg/b,y\nimg/a 1,y\nimg/b.PNG,x\n", encoding="utf-8")
    with pytest.raises(
        UsageError, match=r"3 of 4 rows.*has no suffix \(2 of the first 3.*is a folder.*\(1 of the first 3"
    ):
        read_samples(folder / "t.csv")


def test_images_says_where_paths_start(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "lists" / "t.csv"
    table.parent.mkdir()
    table.write_text("path,label\na 1.jpg,x\nb.PNG,y\n", encoding="utf-8")
    samples = read_samples(table, images=folder / "img")
    assert list(samples.paths) == ["a 1.jpg", "b.PNG"] and samples.file(1).exists() and samples.reading == ()
    with pytest.raises(UsageError, match=r"--images .*no such folder"):
        read_samples(table, images=folder / "nowhere")


@pytest.mark.parametrize(
    "start", ["/mnt/photos/", "C:\\photos\\", "file:///srv/x%20y/", "~/photos/", "\\\\server\\share\\"]
)
def test_images_stands_for_where_absolute_paths_started(folder: Path, start: str) -> None:
    samples = read(folder, lambda name: start + name, images=folder)
    assert list(samples.paths) == list(NAMES)
    assert len(samples.reading) == 1 and "are read below" in samples.reading[0]


def test_absolute_paths_that_lose_other_folders_than_the_first_are_not_guessed(folder: Path) -> None:
    (folder / "deep/img").mkdir(parents=True)
    (folder / "deep/img/b.PNG").touch()
    (folder / "t.csv").write_text("path,label\n/one/img/b.PNG,x\n/two/deep/img/b.PNG,y\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"1 of 2 rows.*Line 3"):
        read_samples(folder / "t.csv", images=folder)


def test_the_folder_to_give_is_named_in_full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(folder, lambda name: name)
    (folder / "t.csv").write_text("path,label\n/gone/img/b.PNG,x\n", encoding="utf-8")
    monkeypatch.chdir(folder)
    with pytest.raises(UsageError) as caught:
        read_samples("t.csv")
    assert f"give --images {folder}." in str(caught.value)
