"""A file that names several tasks: their sources are joined by path, and each picture keeps the truth that it has."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.data.origin import SourceOptions
from pocketvision.data.samples import Samples
from pocketvision.data.sources.catalog import read_samples
from pocketvision.data.sources.several_tasks import loss_weights, named_sources, read, write_tasks
from pocketvision.data.splits import make_split, write_split_csv
from pocketvision.errors import UsageError
from pocketvision.tasks.classification.truth import ClassLabels
from pocketvision.tasks.number.truth import NumberLabels
from pocketvision.tasks.tags.truth import TagLabels

COLOURS = {"a.png": "red", "b.png": "blue", "c.png": "red", "e.png": "blue"}
AGES = {"b.png": "4.5", "d.png": "6.25", "a.png": "1"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "pictures").mkdir(parents=True)
    for number, name in enumerate("abcde"):
        Image.new("RGB", (20, 10), (40 * number, 0, 0)).save(folder / f"pictures/{name}.png")
    table(folder / "colours.csv", COLOURS)
    table(folder / "ages.csv", AGES)
    named(folder, '[tasks]\ncolour = "colours.csv"\nnumber = "ages.csv"')
    return folder


def table(path: Path, cells: dict[str, str], *further: tuple[str, dict[str, str]], start: str = "pictures/") -> Path:
    names = ["path", "label", *(name for name, _ in further)]
    rows = [[f"{start}{name}", cell, *(column.get(name, "") for _, column in further)] for name, cell in cells.items()]
    path.write_text("\n".join(",".join(row) for row in [names, *rows]), encoding="utf-8")
    return path


def named(folder: Path, text: str) -> Path:
    (folder / "pocketvision.toml").write_text(text, encoding="utf-8")
    return folder


def by_name(samples: Samples) -> dict[str, tuple[str, float | None]]:
    colour, number = samples.truth["colour"], samples.truth["number"]
    assert isinstance(colour, ClassLabels) and isinstance(number, NumberLabels)
    names = [*colour.class_names, ""]
    return {
        path: (names[label], None if np.isnan(value) else value)
        for path, label, value in zip(samples.paths, colour.labels.tolist(), number.values.tolist(), strict=True)
    }


def test_pictures_are_joined_by_their_paths_and_lack_what_no_source_says(data: Path) -> None:
    samples = read_samples(data)
    assert samples.paths == [f"pictures/{name}.png" for name in "abced"]
    assert by_name(samples) == {
        "pictures/a.png": ("red", 1.0),
        "pictures/b.png": ("blue", 4.5),
        "pictures/c.png": ("red", None),
        "pictures/e.png": ("blue", None),
        "pictures/d.png": ("", 6.25),
    }
    assert samples.truth["colour"].class_names == ("blue", "red")
    assert "Joined by path: 5 pictures; with the truth of colour 4, number 3." in samples.reading
    assert [samples.file(index).is_file() for index in range(5)] == 5 * [True]


def test_the_file_itself_is_a_source_and_paths_may_start_elsewhere(data: Path, tmp_path: Path) -> None:
    table(tmp_path / "elsewhere.csv", AGES, start="")
    text = f'[tasks.colour]\nsource = "colours.csv"\n[tasks.number]\nsource = "{(tmp_path / "elsewhere.csv").as_posix()}"\n'
    named(data, text + 'images = "pictures"')
    assert by_name(read_samples(data / "pocketvision.toml"))["pictures/d.png"] == ("", 6.25)


def test_a_table_may_have_a_column_for_each_of_several_tasks(data: Path) -> None:
    marks = {"a.png": "x;y", "b.png": "y", "c.png": "x", "e.png": "y;x"}
    table(
        data / "all.csv", COLOURS, ("age", {"a.png": "1.5", "b.png": "2", "c.png": "3", "e.png": "4"}), ("marks", marks)
    )
    named(
        data,
        '[tasks.colour]\nsource = "all.csv"\n'
        '[tasks.age]\nsource = "all.csv"\nlabel_column = "age"\nkind = "number"\n'
        '[tasks.marks]\nsource = "all.csv"\nlabel_column = "marks"\nkind = "tags"\nlabels = ["y", "x"]',
    )
    samples = read_samples(data)
    age, found = samples.truth["age"], samples.truth["marks"]
    assert isinstance(age, NumberLabels) and age.values.tolist() == [1.5, 2, 3, 4]
    assert isinstance(found, TagLabels) and found.class_names == ("y", "x")
    assert found.marks.tolist() == [[True, True], [True, False], [False, True], [True, True]]


def test_a_split_or_group_of_any_source_holds_for_all(data: Path) -> None:
    table(data / "colours.csv", COLOURS, ("group", {"a.png": "p", "c.png": "p", "b.png": "q"}))
    table(
        data / "ages.csv",
        AGES,
        ("split", {"b.png": "test", "d.png": "train", "a.png": "train"}),
        ("group", {"d.png": "z", "b.png": "z"}),
    )
    samples = read_samples(data)
    assert samples.splits is not None and samples.groups is not None
    splits = dict(zip(samples.paths, samples.splits.tolist(), strict=True))
    groups = dict(zip(samples.paths, samples.groups.tolist(), strict=True))
    assert splits == {f"pictures/{name}.png": 2 if name == "b" else 0 for name in "abcde"}
    assert groups["pictures/a.png"] == groups["pictures/c.png"] != groups["pictures/b.png"] == groups["pictures/d.png"]
    assert groups["pictures/e.png"] == -1
    assert "Pictures that are in no split of number are learned from: 2." in samples.reading


def test_every_task_is_shared_out_by_one_split() -> None:
    generator = np.random.default_rng(0)
    colour = ClassLabels(
        np.where(np.arange(200) < 120, generator.integers(0, 3, 200), -1).astype(np.int32), ("a", "b", "c")
    )
    shape = ClassLabels(
        np.where(np.arange(200) >= 80, np.arange(200) % 20 == 7, -1).astype(np.int32), ("usual", "rare")
    )
    samples = Samples(Path(), [str(number) for number in range(200)], {"colour": colour, "shape": shape})
    split = make_split(samples.strata, val_share=0.25, seed=1)
    held = samples.select(split == 1)
    for truth, there in ((held.truth["colour"], colour), (held.truth["shape"], shape)):
        expected = 0.25 * there.class_counts()
        assert np.abs(truth.class_counts() - expected).max() <= np.maximum(1.5, 0.1 * expected).max()
    assert held.truth["shape"].class_counts()[1] >= 1


def test_a_split_over_the_source_finds_all_truth_again(data: Path, tmp_path: Path) -> None:
    samples = read_samples(data).with_splits(np.array([0, 1, 0, 1, 0], np.int8))
    write_split_csv(tmp_path / "split.csv", samples)
    again = read_samples(tmp_path / "split.csv")
    assert by_name(again) == by_name(samples)
    assert again.splits is not None and again.splits.tolist() == [0, 1, 0, 1, 0]


def test_a_split_beside_its_source_may_be_moved_with_it(data: Path, tmp_path: Path) -> None:
    samples = read_samples(data / "pocketvision.toml").with_splits(np.zeros(5, np.int8))
    write_split_csv(data / "split.csv", samples)
    moved = data.rename(tmp_path / "moved")
    assert by_name(read_samples(moved / "split.csv")) == by_name(samples)


def test_class_folders_may_lie_beside_the_file(data: Path) -> None:
    for name, label in (("a.png", "red"), ("b.png", "blue")):
        (data / label).mkdir()
        (data / f"pictures/{name}").rename(data / label / name)
    table(data / "ages.csv", {"red/a.png": "3", "blue/b.png": "4"}, start="")
    named(data, '[tasks]\nnumber = "ages.csv"\n[tasks.colour]\nsource = "."\nformat = "image-folder"')
    for name in "cde":
        (data / f"pictures/{name}.png").unlink()
    assert by_name(read_samples(data)) == {"red/a.png": ("red", 3.0), "blue/b.png": ("blue", 4.0)}


def test_sources_named_one_by_one_become_such_a_file(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (data / "pocketvision.toml").unlink()
    found = named_sources(["colour=colours.csv", f"number={data / 'ages.csv'}"], data)
    assert found == {"colour": data / "colours.csv", "number": data / "ages.csv"}
    write_tasks(tmp_path / "pocketvision.toml", found)
    assert by_name(read_samples(tmp_path / "pocketvision.toml")).keys() == {
        f"data/pictures/{name}.png" for name in "abcde"
    }


def test_weights_of_losses_are_read_from_the_file(data: Path) -> None:
    assert loss_weights(data) == {} == loss_weights(data / "ages.csv")
    named(data, '[tasks]\ncolour = "colours.csv"\n[tasks.number]\nsource = "ages.csv"\nweight = 0.5')
    assert loss_weights(data) == {"number": 0.5}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[tasks]\ncolour = "colours.csv"\ncolour = "ages.csv"', "A task is named once"),
        ('[task]\ncolour = "colours.csv"', r"names no task\. Expected a table \[tasks\]"),
        ('[tasks]\n"The Colour" = "colours.csv"', "a task can not be called 'The Colour'"),
        ('[tasks.colour]\nsourse = "colours.csv"', "colour: it has no source"),
        ('[tasks.colour]\nsource = "colours.csv"\nlabel = "x"', "label_column"),
        ('[tasks.colour]\nsource = "colours.csv"\nweight = -1', r"weight is '-1'; expected 0 or more"),
        ('[tasks.colour]\nsource = "colours.csv"\nlabels = "red"', "labels is 'red'; expected a list of texts"),
        ('[tasks]\ncolour = "colors.csv"', "colour: .*colors.csv: no such file"),
        ('[tasks]\ncolour = "colours.csv"\nnumber = "."', "the source is this file's own folder"),
        ('[tasks]\nnumber = "colours.csv"', "number: "),
        ("tasks = 3", "names no task"),
    ],
)
def test_what_the_file_may_not_say(data: Path, text: str, said: str) -> None:
    named(data, text)
    with pytest.raises(UsageError, match=said):
        read_samples(data)


def test_what_sources_may_not_say(data: Path) -> None:
    Image.new("RGB", (20, 10)).save(data / "other.png")
    table(data / "ages.csv", {"other.png": "3"}, start="")
    with pytest.raises(
        UsageError, match=r"The source of colour names no picture of the others: it has .*a\.png.*other\.png"
    ):
        read_samples(data)
    table(data / "ages.csv", {**AGES}, ("split", {"a.png": "train", "b.png": "train", "d.png": "val"}))
    table(
        data / "colours.csv", COLOURS, ("split", {"a.png": "val", "b.png": "train", "c.png": "train", "e.png": "val"})
    )
    with pytest.raises(UsageError, match=r"a\.png is in the split val, and by the source of number in train"):
        read_samples(data)
    with pytest.raises(UsageError, match=r"--labels are of one task"):
        read_samples(data, labels=["red", "blue"])
    with pytest.raises(UsageError, match="and none of tags"):
        read_samples(named(data, '[tasks]\ncolour = "colours.csv"'), task="tags")


def test_a_picture_is_one_row_of_each_source(data: Path) -> None:
    table(data / "ages.csv", {"a.png": "1", "./a.png": "2"})
    with pytest.raises(UsageError, match=r"The source of number names 'pictures/a\.png' more than once"):
        read_samples(data)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["colour=a.csv", "colour=b.csv"], r"names colour twice: a\.csv and b\.csv"),
        (["colours.csv"], "expected NAME=SOURCE"),
        (["=a.csv"], "expected NAME=SOURCE"),
        (["My Task=a.csv"], "can not be called 'My Task'"),
    ],
)
def test_what_the_command_line_may_not_say(given: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        named_sources(given, None)


def test_a_task_whose_truth_no_picture_has_is_refused_and_one_of_several_kinds_is_asked_for(data: Path) -> None:
    def samples(place: Path, **options: object) -> Samples:
        kinds = {"classification": ClassLabels(np.array([0], np.int32), ("a",)), "tags": TagLabels.of([[0]], ("x",))}
        if place.name == "ages.csv":
            return Samples(data, ["pictures/a.png"], {"number": NumberLabels(np.array([np.nan]))})
        return Samples(
            data, ["pictures/a.png"], kinds if options["task"] is None else {str(options["task"]): kinds["tags"]}
        )

    with pytest.raises(
        UsageError, match=r"tasks\.colour: .*has the truth of classification, tags\. Say which with kind"
    ):
        read(data, SourceOptions(), samples)
    named(data, '[tasks]\nnumber = "ages.csv"')
    with pytest.raises(UsageError, match=r"tasks\.number: no picture of .*ages\.csv has that truth"):
        read(data, SourceOptions(), samples)
    named(data, '[tasks.colour]\nsource = "colours.csv"\nkind = "tags"')
    assert set(read(data, SourceOptions(), samples).truth) == {"colour"}
