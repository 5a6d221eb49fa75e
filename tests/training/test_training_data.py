"""The data of a training: what is left out is reported, small classes go by request, and errors name the way out."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bright_spots.installed import install
from bright_spots.source import SPOTS, write_spots
from PIL import Image

from pocketvision.data.sources.catalog import SOURCES
from pocketvision.errors import UsageError
from pocketvision.progress import Event, Note
from pocketvision.training.recipe import Recipe
from pocketvision.training.run_log import RunLog
from pocketvision.training.setting_values import changed
from pocketvision.training.training_data import TrainingData, prepare_data

RECIPE = Recipe(seed=1)


def draw(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    dice = np.random.default_rng(seed)
    Image.fromarray(dice.integers(0, 256, (6, 6, 3), np.uint8)).resize((64, 64), Image.Resampling.BICUBIC).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """ant and cow with five pictures, bee with one, dog with three copies of one."""
    root = tmp_path / "photos"
    for place, (label, count) in enumerate((("ant", 5), ("bee", 1), ("cow", 5))):
        for number in range(count):
            draw(root / label / f"{number}.png", 10 * place + number)
    for number in range(3):
        draw(root / "dog" / f"{number}.png", 99)
    (root / "ant" / "phone.heic").touch()
    draw(root / "loose.png", 50)
    return root


def prepare(data: Path, tmp_path: Path, *, recipe: Recipe = RECIPE, **options: Any) -> tuple[TrainingData, list[str]]:
    notes: list[str] = []

    def note(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(event.text)

    chosen = {"labels": None, "columns": {}, "images": None, "recorded": None, **options}
    return prepare_data(data, recipe, log=RunLog(tmp_path / "log.jsonl", note), on_event=note, **chosen), notes


def test_a_single_image_can_not_be_mixed_with_others(photos: Path, tmp_path: Path) -> None:
    table = photos / "tagged.csv"
    table.write_text("path,tags,split\nant/0.png,a;b,train\ncow/0.png,a,val\ncow/1.png,b,val", encoding="utf-8")
    recipe = changed(RECIPE, {"regularisation.mixup": 0.2})
    data, _ = prepare(table, tmp_path, recipe=recipe)
    with pytest.raises(UsageError, match=r"MixUp, CutMix and mosaics mix the images of a batch, and a batch is 1 here"):
        data.objective(recipe)
    assert data.objective(RECIPE).learners.keys() == {"tags"}


def test_classes_that_are_too_small_are_named_with_the_way_out(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"1 of 4 classes: bee \(1\).*--min-per-class 2"):
        prepare(photos, tmp_path)


def test_classes_left_out_by_request(photos: Path, tmp_path: Path) -> None:
    data, notes = prepare(photos, tmp_path, recipe=changed(RECIPE, {"data.min_per_class": 2}))
    assert data.samples.class_names == ("ant", "cow") and len(data.samples) == len(data.content_hashes) == 10
    assert set(data.samples.class_counts().tolist()) == {5}
    assert any("HEIC" in line for line in notes) and any("loose.png" in line for line in notes)
    small = [line for line in notes if "--min-per-class" in line]
    assert "bee (1)" in small[0] and "dog (3)" in small[-1], "copies can not be parted, so they count once"


def test_a_table_whose_pictures_moved(photos: Path, tmp_path: Path) -> None:
    lines = [f"/gone/{label}/{number}.png,{label}" for label in ("ant", "cow") for number in range(5)]
    table = tmp_path / "t.csv"
    table.write_text("\n".join(["path,label", *lines]), encoding="utf-8")
    data, notes = prepare(table, tmp_path, images=str(photos))
    assert len(data.samples) == 10 and any("'/gone/' are read below" in line for line in notes)


@pytest.mark.parametrize("test", [False, True])
def test_shares_that_do_not_apply_are_told(photos: Path, tmp_path: Path, test: bool) -> None:
    lines = [
        f"{label}/{number}.png,{label},{'val' if number == 3 else 'test' if test and number == 4 else 'train'}"
        for label in ("ant", "cow")
        for number in range(5)
    ]
    (photos / "t.csv").write_text("\n".join(["path,label,split", *lines]), encoding="utf-8")
    asked = changed(RECIPE, {"data.val_share": 0.3, "data.test_share": 0.25})
    data, notes = prepare(photos / "t.csv", tmp_path, recipe=asked)
    assert [len(data.indices(split)) for split in ("val", "test")] == [2, 2 * test]
    unused = [line for line in notes if "is not used" in line]
    assert len(unused) == 2 and unused[0].startswith("--test-share 0.25") and unused[1].startswith("--val-share 0.3")
    assert ("give them that split" in unused[0]) is not test
    assert not any("is not used" in line for line in prepare(photos / "t.csv", tmp_path)[1])


@pytest.fixture
def spotted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """24 pictures, the first without a class, the second without points, the others with a class and points that may be none."""
    site = tmp_path / "site"
    site.mkdir()
    install(site)
    monkeypatch.syspath_prepend(site)
    monkeypatch.setitem(SOURCES, "spots", SPOTS)
    folder = tmp_path / "spotted"
    known: dict[str, dict[str, Any]] = {}
    for number in range(24):
        draw(folder / f"{number}.png", 500 + number)
        name = None if number == 0 else ("ant", "bee")[number % 2]
        known[f"{number}.png"] = {"class": name, "points": None if number == 1 else [[5, 5]] * (number % 3)}
    write_spots(folder, known)
    return folder


def test_images_stay_that_have_the_truth_of_any_task_that_is_learned(spotted: Path, tmp_path: Path) -> None:
    data, notes = prepare(spotted, tmp_path)
    assert list(data.learned) == ["spots", "classification"] and len(data.samples) == 24
    assert not [note for note in notes if "Left out" in note or "Not learned" in note]
    objective = data.objective(RECIPE)
    assert list(objective.learners) == list(objective.truth) == ["spots", "classification"]


def test_one_task_of_several_is_learned_by_request(spotted: Path, tmp_path: Path) -> None:
    data, notes = prepare(spotted, tmp_path, task="classification")
    assert list(data.learned) == ["classification"] and len(data.samples) == 23
    assert "Left out: images without a class: 1 (such as 0.png)." in notes
    assert "Not learned: spots; the truth is kept with the images." in notes
    data, notes = prepare(spotted, tmp_path, task="spots")
    assert list(data.learned) == ["spots"] and "1.png" not in data.samples.paths
    assert "Left out: images without the truth of spots: 1 (such as 1.png)." in notes


def test_copies_and_weights_of_classes_pass_over_images_without_one(spotted: Path, tmp_path: Path) -> None:
    data, _ = prepare(spotted, tmp_path)
    found = data.entries("train", balance_to=15)
    labels = data.samples.labels[found.samples]
    assert np.bincount(labels[labels >= 0]).tolist() == [15, 15]
    assert (labels[found.replicas > 0] >= 0).all()
    weights = data.loss_weights("balanced")
    assert weights is not None and np.isfinite(weights).all()


def test_a_task_without_truth_in_a_split_is_named(spotted: Path, tmp_path: Path) -> None:
    file = spotted / "spots.json"
    known = json.loads(file.read_text())
    write_spots(spotted, {path: {**each, "points": None} for path, each in known.items() if each["class"]})
    with pytest.raises(UsageError, match=r"its train split has no images with the truth of spots"):
        prepare(spotted, tmp_path)


def test_a_kind_that_nothing_learns_is_kept_and_refused_where_it_is_alone(
    spotted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each != str(tmp_path / "site")])
    data, notes = prepare(spotted, tmp_path)
    assert list(data.learned) == ["classification"] and list(data.samples.truth) == ["spots", "classification"]
    assert "Not learned: spots; the truth is kept with the images." in notes
    with pytest.raises(UsageError, match="Unknown learner 'spots'"):
        prepare(spotted, tmp_path, task="spots")


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A table and its pictures: three people in each of two classes, two pictures each, and whose hands they are."""
    folder = tmp_path / "people"
    rows = ["path,label,hands"]
    for number in range(24):
        person, label = number % 6, ("ant", "bee")[number % 2]
        draw(folder / label / f"p{person}_{number:02d}.png", 700 + number)
        rows.append(f"{label}/p{person}_{number:02d}.png,{label},{'all' if label == 'bee' else person}")
    (folder / "hands.csv").write_text("\n".join(rows), encoding="utf-8")
    return folder


def parted(data: TrainingData) -> int:
    """How many people are in more than one split."""
    splits = data.samples.splits
    assert splits is not None
    persons = [Path(path).name.split("_")[0] for path in data.samples.paths]
    return len({*zip(persons, splits.tolist(), strict=True)}) - len({*persons})


def grouped_by(wanted: str, seed: int = 0) -> Recipe:
    return changed(RECIPE, {"data.group": wanted, "seed": seed})


def test_a_pattern_of_paths_names_groups_that_no_split_parts(people: Path, tmp_path: Path) -> None:
    assert parted(prepare(people, tmp_path, recipe=grouped_by("none"))[0])
    data, notes = prepare(people, tmp_path, recipe=grouped_by(r"/(p\d)_"))
    assert not parted(data)
    assert r"24 images in 6 groups by /(p\d)_, 0 by themselves." in notes


def test_a_column_is_named_and_none_leaves_it_aside(people: Path, tmp_path: Path) -> None:
    table = people / "hands.csv"
    table.write_text(table.read_text().replace("bee,all", "bee,").replace("label,hands", "label,group"))
    assert prepare(table, tmp_path)[0].samples.groups is not None
    assert prepare(table, tmp_path, recipe=grouped_by("none"))[0].samples.groups is None


def test_groups_that_leave_a_class_in_one_split_are_refused_with_its_name(people: Path, tmp_path: Path) -> None:
    message = r"Class 'bee' can not be split into training and validation: all its images \(12\) are .* of one group"
    with pytest.raises(UsageError, match=message):
        prepare(people / "hands.csv", tmp_path, recipe=grouped_by("hands"))


def test_an_unknown_group_says_what_there_is(people: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Unknown group 'noen'\. Did you mean none\?.*no such column in .*people"):
        prepare(people, tmp_path, recipe=grouped_by("noen"))
    with pytest.raises(
        UsageError, match=r"no column 'person' for the group\. Columns found: path, label, hands\..*--group "
    ):
        prepare(people / "hands.csv", tmp_path, recipe=grouped_by("person"))
    with pytest.raises(UsageError, match=r"Unknown group 'group'"):
        prepare(people / "hands.csv", tmp_path, recipe=grouped_by("group"))
