"""A table of splits over the source that its images have their truth from."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bright_spots.source import SPOTS, write_spots
from bright_spots.truth import Points

from pocketvision.data.samples import Samples
from pocketvision.data.sources.catalog import SOURCES, read_samples
from pocketvision.data.splits import write_split_csv
from pocketvision.errors import UsageError


def known(*, classes: bool = True) -> dict[str, dict[str, Any]]:
    """Eight images: with no, one or more points, or without anyone having looked."""
    return {
        f"{number}.png": {
            "class": ("ant", "bee")[number % 2] if classes else None,
            "points": None if classes and number == 7 else [[number, index] for index in range(number % 3)],
        }
        for number in range(8)
    }


@pytest.fixture(autouse=True)
def spots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES, "spots", SPOTS)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    write_spots(folder, known())
    return folder


SPLITS_GIVEN = np.array([0, 1, 2, 0, 0, 1, 0], np.int8)
ORDER = [6, 1, 2, 3, 0, 5, 7]


def recorded(source: Path, table: Path) -> Samples:
    samples = read_samples(source).select(ORDER).with_splits(SPLITS_GIVEN)
    write_split_csv(table, samples)
    return samples


def same(one: Samples, other: Samples) -> bool:
    assert one.splits is not None and other.splits is not None
    return (
        [one.file(index) for index in range(len(one))] == [other.file(index) for index in range(len(other))]
        and [one.said(index) for index in range(len(one))] == [other.said(index) for index in range(len(other))]
        and one.splits.tolist() == other.splits.tolist()
    )


def test_all_truth_is_read_from_the_source_again(source: Path, tmp_path: Path) -> None:
    table = tmp_path / "run/split.csv"
    samples = recorded(source, table)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    said = rows[0].pop("truth_hash")
    assert rows[0] == {"path": "6.png", "label": "ant", "split": "train"}, "the path is relative to the source"
    assert len(said) == 16 and said != rows[1]["truth_hash"]
    again = read_samples(table)
    assert same(again, samples) and again.class_names == ("ant", "bee")
    found = again.truth["spots"]
    assert isinstance(found, Points)
    assert found.rows.lengths.tolist() == [0, 1, 2, 0, 0, 2, 0] and found.present.tolist() == [True] * 6 + [False]
    assert again.reading == ("Read as split-overlay, not as image-table; --format says otherwise.",)


def test_classes_are_in_the_order_that_is_asked_for(source: Path, tmp_path: Path) -> None:
    recorded(source, tmp_path / "split.csv")
    again = read_samples(tmp_path / "split.csv", labels=["cow", "bee", "ant"])
    assert again.class_names == ("cow", "bee", "ant") and again.labels.tolist() == [2, 1, 2, 1, 2, 1, 1]
    with pytest.raises(UsageError, match=r"Unknown class 'bee'"):
        read_samples(tmp_path / "split.csv", labels=["ant", "cow"])


def test_truth_without_classes(source: Path, tmp_path: Path) -> None:
    write_spots(source, known(classes=False))
    table = tmp_path / "split.csv"
    samples = recorded(source, table)
    head, first = table.read_text().splitlines()[:2]
    assert head == "path,split,truth_hash" and first.startswith("6.png,train,")
    assert same(read_samples(table, task="spots"), samples)
    with pytest.raises(UsageError, match="read as split-overlay, has the truth of spots, and none of classification"):
        read_samples(table, task="classification")


def test_a_table_of_a_table_names_the_first_source(source: Path, tmp_path: Path) -> None:
    samples = recorded(source, tmp_path / "split.csv")
    write_split_csv(tmp_path / "fit/images.csv", read_samples(tmp_path / "split.csv"))
    (tmp_path / "split.csv").unlink()
    assert same(read_samples(tmp_path / "fit/images.csv"), samples)


def test_what_was_mended_in_the_source_since_is_known(source: Path, tmp_path: Path) -> None:
    recorded(source, tmp_path / "split.csv")
    mended = known()
    mended["6.png"]["points"] = [[1, 1]]
    mended["new.png"] = {"class": "cow", "points": []}
    write_spots(source, mended)
    again = read_samples(tmp_path / "split.csv")
    assert len(again) == 7 and again.class_names == ("ant", "bee")
    assert again.truth["spots"].select(np.array([0])).said(0) == b"points" + np.ones(2, np.float32).tobytes()


def test_a_source_that_changed_is_refused_by_name(source: Path, tmp_path: Path) -> None:
    recorded(source, tmp_path / "split.csv")
    changed = known()
    changed["3.png"]["class"] = "ant"
    del changed["6.png"]
    write_spots(source, changed)
    with pytest.raises(UsageError, match=r"2 of its 7 images \('6\.png', '3\.png'\) are not in .*another class"):
        read_samples(tmp_path / "split.csv")


def test_a_source_that_was_moved(source: Path, tmp_path: Path) -> None:
    samples = recorded(source, tmp_path / "split.csv")
    moved = source.rename(tmp_path / "moved")
    with pytest.raises(
        UsageError, match=r"the truth of its images from .*source, which is not there.*split\.source\.json"
    ):
        read_samples(tmp_path / "split.csv")
    beside = tmp_path / "split.source.json"
    beside.write_text(json.dumps({**json.loads(beside.read_text()), "source": str(moved)}))
    assert list(read_samples(tmp_path / "split.csv").paths) == list(samples.paths)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("split.source.json", "{", r"split\.source\.json: it can not be read"),
        ("split.source.json", "{}", r"split\.source\.json: it can not be read \('labels'\)"),
        ("split.csv", "path\n0.png\n", r"split\.csv: it can not be read as a table of splits"),
        ("split.csv", "path,label,split\n", r"split\.csv: 0 of its 0 images"),
    ],
)
def test_files_that_can_not_be_read(source: Path, tmp_path: Path, file: str, text: str, message: str) -> None:
    recorded(source, tmp_path / "split.csv")
    (tmp_path / file).write_text(text)
    with pytest.raises(UsageError, match=message):
        read_samples(tmp_path / "split.csv")


def test_truth_of_classes_alone_needs_no_second_file(source: Path, tmp_path: Path) -> None:
    samples = recorded(source, tmp_path / "split.csv")
    (source / "0.png").touch()
    classes = Samples(source, ["0.png"], {"classification": samples.truth["classification"].select(np.array([0]))})
    write_split_csv(tmp_path / "split.csv", classes.with_splits(np.zeros(1, np.int8)))
    assert not (tmp_path / "split.source.json").exists()
    assert list(read_samples(tmp_path / "split.csv").truth) == ["classification"]
    with pytest.raises(ValueError, match="A table can not hold spots"):
        write_split_csv(
            tmp_path / "split.csv",
            Samples(source, samples.paths, {"spots": samples.truth["spots"]}, splits=SPLITS_GIVEN),
        )
