"""Every row of SOURCES: it knows its own, gives truth of its kinds, and what it read can be read again, also over a split."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bright_spots.source import SPOTS, write_spots
from data.boxes.drawn_sets import DRAWN_SETS
from data.masks.masked_sets import MASKED_SETS
from PIL import Image

from pocketvision.data.origin import Origin
from pocketvision.data.samples import Samples
from pocketvision.data.sources.catalog import SOURCES, read_samples
from pocketvision.data.sources.source import ASKED, LAYOUT, NAMED, OWN_FILE, SHAPE
from pocketvision.data.splits import write_split_csv
from pocketvision.preprocessing import Preprocessing

INPUT = Preprocessing(32, 32, 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def pictures(folder: Path) -> list[str]:
    names = [f"{label}/{number}.png" for label in ("a", "b") for number in range(4)]
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (48, 40), (number, 0, 0)).save(folder / name)
    return names


def folder(place: Path) -> Path:
    pictures(place / "folder")
    return place / "folder"


def table(place: Path) -> Path:
    rows = [f"{name},{name[0]}" for name in pictures(place)]
    (place / "table.csv").write_text("\n".join(["path,label", *rows]))
    return place / "table.csv"


def spots(place: Path) -> Path:
    names = pictures(place / "spots")
    write_spots(place / "spots", {name: {"class": name[0], "points": [[1, 2]]} for name in names})
    return place / "spots"


def overlay(place: Path) -> Path:
    samples = read_samples(spots(place))
    write_split_csv(place / "split.csv", samples.with_splits(np.array([0, 0, 1, 2] * 2, np.int8)))
    return place / "split.csv"


def tag_folder(place: Path) -> Path:
    """The first picture of `a` is in `b` as well."""
    pictures(place / "tags")
    (place / "tags/b/copy.png").write_bytes((place / "tags/a/0.png").read_bytes())
    return place / "tags"


def tag_table(place: Path) -> Path:
    rows = [f"{name},{name[0] if number else 'a;b'}" for number, name in enumerate(pictures(place))]
    (place / "tags.csv").write_text("\n".join(["path,tags", *rows]))
    return place / "tags.csv"


def number_table(place: Path) -> Path:
    place.mkdir(exist_ok=True)
    rows = [f"{name},{number + 0.5}" for number, name in enumerate([*pictures(place)])]
    (place / "numbers.csv").write_text("\n".join(["path,label", *rows]))
    return place / "numbers.csv"


def several_tasks(place: Path) -> Path:
    folder = number_table(place / "several").parent
    rows = [f"{name},{name[0]}" for name in pictures(folder)]
    (folder / "classes.csv").write_text("\n".join(["path,label", *rows]))
    (folder / "pocketvision.toml").write_text('[tasks]\nclassification = "classes.csv"\nnumber = "numbers.csv"')
    return folder


EXAMPLES: dict[str, Callable[[Path], Path]] = {
    "image-folder": folder,
    "image-table": table,
    "tag-folder": tag_folder,
    "tag-table": tag_table,
    "number-table": number_table,
    **DRAWN_SETS,
    "several-tasks": several_tasks,
    **MASKED_SETS,
    "split-overlay": overlay,
    "spots": spots,
}
each_source = pytest.mark.parametrize("name", EXAMPLES)


@pytest.fixture(autouse=True)
def with_spots(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row as a package has it."""
    monkeypatch.setitem(SOURCES, "spots", SPOTS)


def said(samples: Samples) -> list[tuple[Path, bytes]]:
    return [(samples.file(index), samples.said(index)) for index in range(len(samples))]


def own(name: str, place: Path) -> Samples:
    """The example, read as its format: where its kind of task has to be asked for, it is."""
    source, path = SOURCES[name], EXAMPLES[name](place)
    return read_samples(path, task=source.kinds[0] if source.evidence(path) == ASKED else None)


def test_every_row_has_an_example() -> None:
    assert EXAMPLES.keys() == SOURCES.keys()


def expected(name: str) -> tuple[tuple[str, ...], list[int]]:
    """The classes, and how many of the images show each."""
    if name == "cityscapes":
        return ("road", "car"), [8, 4]
    if name.endswith("-masks"):
        return ("background", "a", "b"), [8, 5, 4]
    counts = (
        [5, 4]
        if name in DRAWN_SETS
        else [8, 4]
        if name in MASKED_SETS
        else [4, 5]
        if name.startswith("tag-")
        else [4, 4]
    )
    return ("a", "b"), counts


@each_source
def test_it_knows_its_own(name: str, tmp_path: Path) -> None:
    source, path = SOURCES[name], EXAMPLES[name](tmp_path)
    assert source.evidence(path) in (ASKED, SHAPE, LAYOUT, OWN_FILE, NAMED)
    assert source.evidence(tmp_path / "nothing") is None and source.evidence(Path(__file__)) is None
    assert said(own(name, tmp_path)) == said(read_samples(path, format=name))


@each_source
def test_it_gives_truth_of_its_kinds(name: str, tmp_path: Path) -> None:
    samples = own(name, tmp_path)
    assert set(samples.truth) <= set(SOURCES[name].kinds or samples.truth) and len(samples) == 8
    if name != "number-table":
        names, counts = expected(name)
        assert samples.class_names == names and samples.class_counts().tolist() == counts
    _, placement = INPUT.place(samples.file(3))
    for truth in samples.truth.values():
        assert truth.present.all() and len(truth) == len(truth.strata) == 8
        chosen = truth.select(np.array([3, 0]))
        assert [chosen.said(0), chosen.said(1)] == [truth.said(3), truth.said(0)]
        assert len(truth.through(3, placement)) == 1


@each_source
def test_what_it_read_can_be_read_again(name: str, tmp_path: Path) -> None:
    samples = own(name, tmp_path)
    assert samples.origin is not None
    origin = Origin.from_dict(samples.origin.to_dict())
    again = SOURCES[origin.format].read(origin.path, origin.options)
    assert said(again) == said(samples)
    split = samples.with_splits(np.array([2, 1, 0, 0] * 2, np.int8))
    write_split_csv(tmp_path / "run/split.csv", split)
    names = None if name == "number-table" else [*expected(name)[0]][::-1]
    over = read_samples(tmp_path / "run/split.csv", labels=names)
    assert said(over) == said(samples) and over.class_names == tuple(names or ())
    assert over.splits is not None and over.splits.tolist() == [2, 1, 0, 0] * 2
    assert set(over.truth) == set(samples.truth)
    assert set(SOURCES[name].kinds or over.truth) & set(over.truth)
