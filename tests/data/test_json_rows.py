"""JSON Lines tables: classes, tags and numbers, and what is refused, with its line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketvision.data.samples import Samples
from pocketvision.data.sources.catalog import read_samples
from pocketvision.errors import UsageError
from pocketvision.tasks.number.truth import NumberLabels
from pocketvision.tasks.tags.truth import TagLabels

NAMES = ("1.png", "2.png", "3.png", "4.png")


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / name)


def written(folder: Path, rows: list[Any], name: str = "t.jsonl") -> Path:
    lines = [each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in rows]
    (folder / name).write_text("\n".join(lines), encoding="utf-8")
    return folder / name


def rows_of(name: str, values: list[Any]) -> list[dict[str, Any]]:
    return [{"path": path, name: value} for path, value in zip(NAMES, values, strict=True)]


def tags_of(samples: Samples) -> list[list[str]]:
    truth = samples.truth["tags"]
    assert isinstance(truth, TagLabels)
    return [[truth.class_names[place] for place in np.flatnonzero(row)] for row in truth.marks]


@pytest.mark.parametrize("suffix", ["jsonl", "ndjson", "JSONL"])
def test_classes_are_read_with_splits_and_groups_and_blank_lines_are_counted(tmp_path: Path, suffix: str) -> None:
    rows: list[Any] = rows_of("label", ["고양이", "dog", "고양이", 7])
    for number, row in enumerate(rows):
        row |= {"split": "val" if number == 2 else "train", "group": None if number else "a", "other": {"x": [1]}}
    samples = read_samples(written(tmp_path, [*rows[:2], "", *rows[2:]], f"t.{suffix}"))
    assert samples.class_names == ("7", "dog", "고양이") and samples.labels.tolist() == [2, 1, 2, 0]
    assert samples.split_indices("val").tolist() == [2]
    assert samples.groups is not None and samples.groups.tolist() == [0, -1, -1, -1]
    assert [(each.reason, each.example) for each in samples.left_out] == [("blank_row", "line 3")]


@pytest.mark.parametrize(("column", "task"), [("tags", None), ("label", None), ("label", "tags")])
def test_lists_are_tags_without_being_asked_for(tmp_path: Path, column: str, task: str | None) -> None:
    said = [["cat", "sofa"], [], ["sofa"], [3]]
    samples = read_samples(written(tmp_path, rows_of(column, said)), task=task)
    assert tags_of(samples) == [["cat", "sofa"], [], ["sofa"], ["3"]]


def test_marks_and_numbers_are_known_as_in_other_tables(tmp_path: Path) -> None:
    marks = [(True, False), (1, 1), (0, True), (False, 0.0)]
    rows = [{"path": path, "cat": one, "sofa": other} for path, (one, other) in zip(NAMES, marks, strict=True)]
    assert tags_of(read_samples(written(tmp_path, rows))) == [["cat"], ["cat", "sofa"], ["sofa"], []]
    table = written(tmp_path, rows_of("age (years)", [3, 4.5, -1, 0]))
    numbers = read_samples(table, task="number", label_column="age (years)").truth["number"]
    assert isinstance(numbers, NumberLabels) and (numbers.values.tolist(), numbers.unit) == ([3, 4.5, -1, 0], "years")


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (['{"path": "1.png", "label": "a"}', "{nonsense}"], r"t\.jsonl, line 2 is no JSON: Expecting property name"),
        (['["1.png", "a"]'], r"line 1 is no object"),
        (['{"path": "1.png", "label": "a"}', '{"path": "2.png"}'], r"line 2: there is no 'label', which the first line has"),
        (['{"path": "1.png", "class": "a"}'], r"no column 'label' for the label\. Columns found: path, class"),
        (['{"path": "1.png", "label": {"a": 1}}'], r"line 1: 'label' is .* expected a text or a number"),
        (['{"path": ["1.png"], "label": "a"}'], r"line 1: 'path' is "),
        (['{"path": "1.png", "label": "a"}', '{"path": "9.png", "label": "b"}'], r"Line 2: .*9\.png"),
        ([""], r"no rows\. Expected an object a line"),
    ],
)  # fmt: skip
def test_what_is_refused_is_said_with_its_line(tmp_path: Path, rows: list[str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        read_samples(written(tmp_path, rows), task="classification")


def test_lists_for_a_classifier_and_numbers_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"line 1: 'label' is a list: .*--task tags"):
        read_samples(written(tmp_path, rows_of("label", [["a"], ["b"], [], ["a"]])), task="classification")
    with pytest.raises(UsageError, match=r"line 3: the column 'label' holds 'NaN', which is not finite"):
        read_samples(written(tmp_path, rows_of("label", [1, 2, float("nan"), 4])), task="number")
    (tmp_path / "latin.jsonl").write_bytes('{"path": "1.png", "label": "café"}'.encode("latin-1"))
    with pytest.raises(UsageError, match="not UTF-8"):
        read_samples(tmp_path / "latin.jsonl", task="classification")
