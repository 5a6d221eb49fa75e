"""Images from Python: lists, arrays and data sets become samples like all others; what is none is refused by its number."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pocketvision
from pocketvision.data.samples import Samples
from pocketvision.data.sources.catalog import read_samples
from pocketvision.data.sources.in_memory import InMemory, given_data
from pocketvision.errors import UsageError


def pixels(seed: int, shape: tuple[int, ...] = (40, 50, 3)) -> Any:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def encoded(seed: int, format: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels(seed)).save(file, format)
    return file.getvalue()


class Pairs:
    """As torch's data sets, without torch."""

    def __init__(self, *pairs: Any, classes: list[str] | None = None) -> None:
        self.pairs = pairs
        if classes is not None:
            self.classes = classes

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Any:
        return self.pairs[index]


def read(data: Any = None, paths: Any = None, labels: Any = None, folder: Path | None = None) -> Samples:
    given = given_data(data, paths, labels)
    assert isinstance(given, InMemory)
    return given.read(folder)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    for number in range(4):
        Image.fromarray(pixels(number)).save(tmp_path / f"{number}.png")
    return [tmp_path / f"{number}.png" for number in range(4)]


@pytest.mark.parametrize("kind", [list, np.array, tuple, iter], ids=["list", "array", "tuple", "iterator"])
def test_lists_of_paths_and_labels(files: list[Path], kind: Callable[[Any], Any]) -> None:
    samples = read(paths=kind(list(map(str, files))), labels=kind(["b", "a", "b", "a"]))
    assert [samples.file(index) for index in range(4)] == files
    assert samples.class_names == ("a", "b") and samples.labels.tolist() == [1, 0, 1, 0]
    assert samples.splits is None and samples.reading == ()


def test_paths_start_at_the_working_folder(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files[0].parent)
    samples = read(paths=["0.png", Path("1.png")], labels=[7, np.int64(10)])
    assert list(samples.paths) == ["0.png", "1.png"] and samples.class_names == ("7", "10")


def test_pictures_that_are_no_files_are_written_once_without_loss(files: list[Path], tmp_path: Path) -> None:
    turned = Image.fromarray(pixels(5))
    turned.getexif()[0x0112] = 6
    pictures = [
        files[0],
        pixels(1),
        pixels(2, (40, 50)),
        pixels(3, (40, 50, 4)),
        Image.fromarray(pixels(4)),
        turned,
        encoded(6, "JPEG"),
        Image.fromarray(pixels(7)).convert("CMYK"),
    ]
    samples = read(paths=pictures, labels=["a", "b"] * 4, folder=tmp_path / "kept")
    assert samples.file(0) == files[0]
    opened = [np.asarray(Image.open(samples.file(index))) for index in range(1, 8)]
    for found, expected in zip(
        opened[:4], (pixels(1), pixels(2, (40, 50)), pixels(3, (40, 50, 4)), pixels(4)), strict=True
    ):
        assert (found == expected).all()
    assert (opened[4] == np.rot90(pixels(5), -1)).all(), "upright"
    assert samples.file(6).suffix == ".jpg" and samples.file(6).read_bytes() == encoded(6, "JPEG")
    assert "Unpacked from the data: 7 pictures" in samples.reading[0]
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").rglob("*.*")}
    again = read(paths=pictures, labels=["a", "b"] * 4, folder=tmp_path / "kept")
    assert list(again.paths) == list(samples.paths)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").rglob("*.*")} == written


def test_a_data_set_gives_its_classes(files: list[Path], tmp_path: Path) -> None:
    data = Pairs((files[0], 1), (pixels(9), np.int64(0)), (encoded(8), 1), classes=["dog", "cat"])
    samples = read(data, folder=tmp_path / "kept")
    assert samples.class_names == ("dog", "cat") and samples.labels.tolist() == [1, 0, 1]
    assert read(data, labels=["one", "two"]).class_names == ("one", "two")
    named = Pairs((files[0], "b"), (files[1], True), (files[2], "b"))
    assert read(named).class_names == ("b", "True")
    yes = Pairs((files[0], np.bool_(True)), (files[1], False))
    assert read(yes, labels=["no", "yes"]).labels.tolist() == [1, 0] and read(yes).class_names == ("False", "True")
    numbers = Pairs((files[0], 3), (files[1], 11))
    assert read(numbers).class_names == ("3", "11")


def test_what_is_written_is_read_again_also_elsewhere(files: list[Path], tmp_path: Path) -> None:
    given = given_data(Pairs((files[0], 0), (pixels(9), 1), classes=["a", "b, c"]), None, None)
    assert isinstance(given, InMemory)
    table = given.write(tmp_path / "run/data")
    moved = (tmp_path / "run").rename(tmp_path / "moved") / "data" / table.name
    samples = read_samples(moved, labels=given.names)
    assert samples.class_names == ("a", "b, c") and samples.labels.tolist() == [0, 1]
    assert samples.file(0) == files[0] and samples.file(1).is_relative_to(tmp_path / "moved")


def test_the_same_audit(files: list[Path], tmp_path: Path) -> None:
    pictures, labels = [*files, pixels(0), b"no picture", pixels(0)], list("ababbab")
    audit = pocketvision.check(paths=pictures, labels=labels)
    (repeated,) = audit.samples.left_out
    assert repeated.reason == "repeated_row", "the last one has the pixels and the label of the fifth"
    assert audit.counts["unreadable"] == 1 and audit.counts["conflicting_labels"] == 1
    table = tmp_path / "t.csv"
    lines = [f"{path},{label}" for path, label in zip(audit.samples.paths, labels, strict=False)]
    root = audit.samples.root
    table.write_text("\n".join(["path,label", *(str(root / line) for line in lines)]), encoding="utf-8")
    again = pocketvision.check(table)
    assert [each.message for each in again.findings] == [each.message for each in audit.findings]
    assert pocketvision.check(Pairs(*zip(files, [0, 1, 0, 1], strict=True)), min_per_class=2).counts == {}


def test_a_file_that_is_not_there(files: list[Path]) -> None:
    with pytest.raises(UsageError, match=r"paths: 1 of 2 rows name.*gone\.png"):
        read(paths=[files[0], files[0].with_name("gone.png")], labels=["a", "b"])


class Broken(Pairs):
    def __getitem__(self, index: int) -> Any:
        raise OSError("cannot identify image file")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"paths": ["a.png"], "labels": ["a", "b"]}, "1 paths and 2 labels; expected one label for each path"),
        ({"paths": [], "labels": []}, "lists of paths and labels are empty"),
        ({"paths": ["a.png"]}, "paths and no labels"),
        ({"paths": "a.png", "labels": ["a"]}, "paths is 'a.png'; expected a list"),
        ({"paths": ["a.png"], "labels": "a"}, "labels is 'a'; expected a list"),
        ({"paths": 3, "labels": ["a"]}, "paths is '3'; expected a list"),
        ({"data": "photos", "paths": ["a.png"], "labels": ["a"]}, "both data and paths"),
        ({}, "There is no data"),
        ({"data": 7}, "data is of the type int; expected a path, or a data set"),
        ({"data": Pairs()}, "Pairs: the data set is empty"),
        ({"data": Pairs(("a.png",))}, r"Pairs, item 0: it is 1 values; expected the pair \(picture, truth\)"),
        ({"data": Pairs({"image": 1, "label": 2})}, "Pairs, item 0: it is dict; expected the pair"),
        ({"data": Broken(1)}, "Broken, item 0: the data set can not give it .*cannot identify"),
        ({"data": {"a.png": "cat"}}, "dict, item 0: the data set can not give it .KeyError"),
        ({"data": Pairs((pixels(0), 2), classes=["a", "b"])}, "item 0: its truth is class 2, and there are 2 classes"),
        ({"paths": [pixels(0)], "labels": [None]}, r"paths, item 0: it has no truth \(None\)"),
        ({"paths": [pixels(0)], "labels": [""]}, "paths, item 0: the label is empty"),
        ({"paths": [pixels(0)], "labels": [[1.0, 2.0]]}, "item 0: its truth, .* of the type float, does not fit tags"),
        (
            {"paths": [pixels(0), pixels(1)], "labels": ["a", 0.5]},
            "item 1: .* of the type float, does not fit classification",
        ),
        ({"paths": [7], "labels": ["a"]}, "item 0: the picture is of the type int; expected a path"),
        ({"paths": [""], "labels": ["a"]}, "paths, item 0: the path is empty"),
        ({"paths": [np.zeros((40, 40, 3), np.float32)], "labels": ["a"]}, r"array \(40, 40, 3\) of float32; expected"),
        ({"paths": [np.zeros((3, 40, 40), np.uint8)], "labels": ["a"]}, r"array \(3, 40, 40\) of uint8; expected"),
        ({"paths": [np.zeros((0, 4, 3), np.uint8)], "labels": ["a"]}, r"array \(0, 4, 3\) of uint8; expected"),
        ({"paths": [Image.new("F", (4, 4))], "labels": ["a"]}, "pixels of 32 bits .mode F."),
    ],
)
def test_what_is_no_data_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(**arguments)
