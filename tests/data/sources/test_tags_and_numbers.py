"""Tags and numbers as they are read: the forms that there are, and what is refused, with where it stands."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from pocketvision.data.samples import Samples
from pocketvision.data.sources.catalog import read_samples
from pocketvision.data.sources.in_memory import InMemory, given_data
from pocketvision.data.sources.number_table import are_numbers
from pocketvision.errors import UsageError
from pocketvision.tasks.number.truth import NumberLabels
from pocketvision.tasks.tags.truth import TagLabels

NAMES = ("1.png", "2.png", "3.png", "4.png")


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / name)


def table(folder: Path, column: str, cells: list[str]) -> Path:
    rows = [f"{name},{cell}" for name, cell in zip(NAMES, cells, strict=True)]
    (folder / "t.csv").write_text("\n".join([f"path,{column}", *rows]), encoding="utf-8")
    return folder / "t.csv"


def tags_of(samples: Samples) -> list[list[str]]:
    truth = samples.truth["tags"]
    assert isinstance(truth, TagLabels)
    return [[truth.class_names[place] for place in np.flatnonzero(row)] for row in truth.marks]


SAID = [["cat", "sofa"], ["sofa"], [], ["cat"]]


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ("tags", ["cat;sofa", "sofa", "[]", "cat"]),
        ("tags", ["sofa| cat", "sofa", "[]", "cat"]),
        ("tags", ['"sofa,cat"', "sofa", "[]", "cat"]),
        ("tags", ['"[""cat"", ""sofa""]"', '"[""sofa""]"', "[]", '"[""cat""]"']),
        ("tags", ["['cat' 'sofa']", "['sofa']", "[]", "['cat']"]),
        ("cat,sofa", ["1,1", "0,1", "0,0", "1,0"]),
        ("sofa,cat", ["True,true", "true,0", "0,false", "0,1.0"]),
    ],
)
def test_every_form_of_tags_is_known_without_being_asked_for(tmp_path: Path, column: str, cells: list[str]) -> None:
    samples = read_samples(table(tmp_path, column, cells))
    assert tags_of(samples) == SAID and samples.class_names == ("cat", "sofa")
    assert any("Read as tag-table, not as image-table" in line for line in samples.account)


def test_parquet_lists_and_marks_are_tags(tmp_path: Path) -> None:
    for columns in ({"label": SAID}, {"cat": [1, 0, 0, 1], "sofa": [True, True, False, False]}):
        held: dict[str, Any] = {"path": list(NAMES), **columns}
        pyarrow.parquet.write_table(pyarrow.table(held), tmp_path / "t.parquet")
        assert tags_of(read_samples(tmp_path / "t.parquet")) == SAID


def test_labels_with_signs_are_tags_where_they_are_asked_for(tmp_path: Path) -> None:
    path = table(tmp_path, "label", ["cat;sofa", "sofa", "[]", "cat"])
    assert tags_of(read_samples(path, task="tags")) == SAID
    with pytest.raises(UsageError, match=r"several labels in one cell .* say --task tags"):
        read_samples(table(tmp_path, "label", ["cat;sofa", "sofa", "sofa", "cat"]))


def test_labels_choose_the_columns_of_marks(tmp_path: Path) -> None:
    path = table(tmp_path, "cat,sofa,width", ["1,1,640", "0,1,640", "0,0,320", "1,0,320"])
    with pytest.raises(
        UsageError, match=r"t\.csv, line 2: the column 'width' holds '640'; expected 1 .* list those that are"
    ):
        read_samples(path, task="tags")
    assert tags_of(read_samples(path, task="tags", labels=["cat", "sofa"])) == SAID
    with pytest.raises(UsageError, match=r"none that is called as the tag 'dog'"):
        read_samples(path, task="tags", labels=["cat", "dog"])


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["cat;sofa", "", "[]", "cat"], r"t\.csv, line 3: the column 'tags' is empty\. Write \[\]"),
        (["cat;;sofa", "sofa", "[]", "cat"], r"line 2: the column 'tags' has an empty tag: 'cat;;sofa'"),
        (
            ["cat/sofa", "sofa", "[]", "cat"],
            r"line 2: .* holds 'cat/sofa': '/' seems to stand between tags.* Write ; or \|",
        ),
        (["cat sofa", "sofa", "[]", "cat"], r"line 2: .* holds 'cat sofa': a blank seems to stand between tags"),
        (["cat;sofa", "cat", "cat", "cat"], r"the tag 'cat' is on every image, so there is nothing to tell apart"),
        (["[]", "[]", "[]", "[]"], r"none of its 4 images has any tag"),
        (["x" * 201, "sofa", "[]", "cat"], r"line 2: .* has a tag of 201 characters"),
    ],
)
def test_tags_that_are_none_are_refused_with_their_place(tmp_path: Path, cells: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_samples(table(tmp_path, "tags", cells))


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["cat;sofa,train", "cat,train", "sofa,val", "[],test"], r"'cat' is on every image of the training split"),
        (["cat,train", "[],train", "sofa,val", "sofa,test"], "sofa"),
    ],
)
def test_a_tag_on_every_or_no_training_image_is_refused(tmp_path: Path, cells: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_samples(table(tmp_path, "tags,split", cells))


def test_a_picture_in_several_folders_has_several_tags(tmp_path: Path) -> None:
    for folder, names in {"cat": NAMES[:2], "sofa": NAMES[1:3], "dog": NAMES[3:]}.items():
        (tmp_path / "pictures" / folder).mkdir(parents=True)
        for name in names:
            (tmp_path / "pictures" / folder / f"own {name}").write_bytes((tmp_path / name).read_bytes())
    samples = read_samples(tmp_path / "pictures", task="tags")
    assert tags_of(samples) == [["cat"], ["cat", "sofa"], ["dog"], ["sofa"]]
    assert "Read as tags: 1 picture in several folders, 4 pictures in all." in samples.account
    assert len(read_samples(tmp_path / "pictures")) == 5  # classes, unless tags are asked for


@pytest.mark.parametrize(
    ("column", "unit"), [("label", ""), ("age (years)", "years"), ("width[mm]", "mm"), ("count of cells", "")]
)
def test_a_column_of_numbers_may_tell_the_unit(tmp_path: Path, column: str, unit: str) -> None:
    path = table(tmp_path, column, ["3", "-1.5", "1e3", " 7 "])
    truth = read_samples(path, task="number", label_column=column).truth["number"]
    assert isinstance(truth, NumberLabels)
    assert (truth.values.tolist(), truth.unit) == ([3, -1.5, 1000, 7], unit)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["3", "", "1", "2"], r"t\.csv, line 3: the column 'age' is empty\. Give every image its number"),
        (["3", "old", "1", "2"], r"line 3: the column 'age' holds 'old', which is no number\. Is --label-column"),
        (["3", '"4,5"', "1", "2"], r"holds '4,5', which is no number\. Write decimals with a point"),
        (["3", "inf", "1", "2"], r"line 3: the column 'age' holds 'inf', which is not finite"),
        (["3", "nan", "1", "2"], r"holds 'nan', which is not finite"),
        (["3", "3", "3", "3.0"], r"every number is 3, so there is nothing to learn"),
    ],
)
def test_numbers_that_are_none_are_refused_with_their_place(tmp_path: Path, cells: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_samples(table(tmp_path, "age", cells), task="number", label_column="age")


def test_numbers_have_no_labels_and_folders_no_numbers(tmp_path: Path) -> None:
    path = table(tmp_path, "label", ["1", "2", "3", "4"])
    with pytest.raises(UsageError, match=r"--labels lists names of classes, and numbers have none"):
        read_samples(path, task="number", labels=["1"])
    (tmp_path / "a").mkdir()
    with pytest.raises(UsageError, match=r"says nothing of number\. Expected a table"):
        read_samples(tmp_path, task="number")


@pytest.mark.parametrize(
    ("texts", "known"),
    [
        ([f"{number / 7:.3f}" for number in range(40)], True),
        ([str(number) for number in range(40)], True),
        ([str(number % 10) for number in range(400)], False),
        ([str(number % 1000) for number in range(5000)], False),
        (["0.5", "1.5"] * 40, False),
        (["cat", *map(str, range(40))], False),
        ([], False),
    ],
)
def test_classes_that_are_called_by_numbers_stay_classes(texts: list[str], known: bool) -> None:
    assert are_numbers(texts) == known


def test_truth_from_python_is_told_apart_by_its_type() -> None:
    pictures = [np.full((8, 8, 3), shade, np.uint8) for shade in range(0, 200, 50)]

    def read(labels: list[Any], task: str | None = None) -> Samples:
        given = given_data(None, pictures, labels, task)
        assert isinstance(given, InMemory)
        return given.read()

    assert tags_of(read([["sofa", "cat"], ["sofa"], (), {"cat"}])) == SAID
    numbers = read([1.5, 2, np.float32(3.5), 4]).truth["number"]
    assert isinstance(numbers, NumberLabels) and numbers.values.tolist() == [1.5, 2, 3.5, 4]
    assert "number" in read([1, 2, 3, 4], "number").truth and "classification" in read([1, 2, 1, 2]).truth
    for labels, task, message in (
        ([1.0, float("inf"), 2.0, 3.0], None, "item 1: the column 'labels' holds 'inf', which is not finite"),
        ([1.0, "old", 2.0, 3.0], None, "item 1: its truth, 'old' of the type str, is no number"),
        ([["a"], "b", [], []], None, r"item 1: its truth is 'b'; expected a list"),
        ([["a"], [""], [], []], None, "item 1: the column 'labels' has an empty tag"),
        ([1, 2, 3, 4], "spots", r"Unknown kind of task for data from Python 'spots'"),
    ):
        with pytest.raises(UsageError, match=message):
            read(labels, task)


def test_marks_of_a_data_set_are_by_its_classes() -> None:
    class Pairs:
        classes = ("cat", "sofa")
        marks = ((1, 1), (0, 1), (0, 0), (1, 0))

        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> tuple[Any, Any]:
            return np.full((8, 8, 3), 50 * index, np.uint8), np.array(self.marks[index])

    given = given_data(Pairs(), None, None)
    assert isinstance(given, InMemory) and tags_of(given.read()) == SAID
    Pairs.marks = ((1, 1), (0, 2), (0, 0), (1, 0))
    with pytest.raises(UsageError, match=r"item 1: its truth is .*expected 2 numbers, 1 for each tag"):
        wrong = given_data(Pairs(), None, None)
        assert isinstance(wrong, InMemory)
        wrong.read()


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    pictures = [np.full((8, 8, 3), shade, np.uint8) for shade in range(0, 200, 50)]
    for labels, task in ((SAID, "tags"), ([1.5, 2.25, 0.1, 4.0], "number")):
        given = given_data(None, pictures, labels)
        assert isinstance(given, InMemory) and given.task == task
        again = read_samples(given.write(tmp_path / task), task=task)
        same = given_data(None, pictures, labels)
        assert isinstance(same, InMemory)
        samples = same.read()
        assert [again.said(index) for index in range(4)] == [samples.said(index) for index in range(4)]
