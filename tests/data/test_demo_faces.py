"""The embedded demo data: what is in it, what is written beside it, and that its partitions do not leak."""

import csv
import importlib.util
import os
from collections import Counter, defaultdict
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from pocketvision.data.demo_faces import (
    CHEERFUL,
    QUESTIONS,
    TEASING,
    UNSEEN_DESIGN,
    demo_partition,
    faces_folder,
    faces_table,
)
from pocketvision.data.sources.catalog import read_samples
from pocketvision.errors import UsageError

DESIGNS = ("fluent", "noto", "openmoji", "twemoji")
SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with faces_table().open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return _script("build_faces")


def test_118_faces_in_each_of_four_designs_a_fifth_of_them_teasing(rows: list[dict[str, str]]) -> None:
    assert Counter(row["design"] for row in rows) == dict.fromkeys(DESIGNS, 118)
    assert Counter(row["label"] for row in rows) == {"teasing": 96, "non_teasing": 376}


def test_faces_are_about_as_large_in_every_design(rows: list[dict[str, str]]) -> None:
    heights = defaultdict(list)
    for row in rows:
        alpha = Image.open(faces_folder() / row["path"]).convert("RGBA").getchannel("A")
        box = alpha.point([0] * 32 + [255] * 224).getbbox()
        assert box is not None
        heights[row["design"]].append(box[3] - box[1])
    assert all(55 <= np.median(of_design) <= 64 for of_design in heights.values()), heights


def test_every_face_has_one_label_and_every_design(rows: list[dict[str, str]]) -> None:
    faces = defaultdict(list)
    for row in rows:
        faces[row["group"]].append(row)
    for of_face in faces.values():
        assert len({row["label"] for row in of_face}) == 1
        assert sorted(row["design"] for row in of_face) == list(DESIGNS)


def test_file_names_say_label_face_and_design(rows: list[dict[str, str]]) -> None:
    for row in rows:
        assert row["path"] == f"{row['label']}/{row['group'].replace(' ', '_')}-{row['design']}.png"


def test_the_table_lists_every_picture_and_every_picture_decodes(rows: list[dict[str, str]]) -> None:
    files = {file.relative_to(faces_folder()).as_posix() for file in faces_folder().rglob("*.png")}
    assert files == {row["path"] for row in rows}
    for path in files:
        with Image.open(faces_folder() / path) as image:
            image.load()
            assert image.size == (64, 64)
            assert image.convert("RGBA").getextrema()[3][1] == 255, f"{path} is empty"


def test_no_two_pictures_are_the_same(rows: list[dict[str, str]]) -> None:
    contents = {(faces_folder() / row["path"]).read_bytes() for row in rows}
    assert len(contents) == len(rows)


def test_the_whole_folder_is_under_3_megabytes() -> None:
    assert sum(file.stat().st_size for file in faces_folder().rglob("*") if file.is_file()) < 3_000_000


def test_the_rule_gives_the_labels_from_names_and_subcategories(rows: list[dict[str, str]], script: ModuleType) -> None:
    for row in rows:
        assert script.label_of(row["group"], row["subcategory"]) == row["label"], row["group"]


def test_every_line_of_the_rule_is_used_and_written_in_the_readme(
    rows: list[dict[str, str]], script: ModuleType
) -> None:
    readme = (faces_folder() / "README.md").read_text(encoding="utf-8")
    for phrase, reason in script.TEASING_NAMES.items():
        assert any(phrase in row["group"] for row in rows), phrase
        assert f'| "{phrase}" | {reason} |' in readme
    for subcategory, reason in script.TEASING_SUBCATEGORIES.items():
        assert any(subcategory == row["subcategory"] for row in rows), subcategory
        assert f"| sub-category `{subcategory}` | {reason} |" in readme


def test_every_design_has_its_licence_and_attribution_beside_it() -> None:
    readme = (faces_folder() / "README.md").read_text(encoding="utf-8")
    expected = {
        "noto": ("noto-Apache-2.0.txt", "Version 2.0, January 2004"),
        "twemoji": ("twemoji-CC-BY-4.0.txt", "Attribution 4.0 International"),
        "fluent": ("fluent-MIT.txt", "Copyright (c) Microsoft Corporation"),
        "openmoji": ("openmoji-CC-BY-SA-4.0.txt", "Attribution-ShareAlike 4.0 International"),
    }
    assert set(expected) == set(DESIGNS)
    for design, (file, words) in expected.items():
        assert words in (faces_folder() / f"LICENSE-{file}").read_text(encoding="utf-8")
        assert f"| {design} |" in readme
        assert f"LICENSE-{file}" in readme


def test_the_folder_and_the_table_are_the_same_data() -> None:
    table, folder = read_samples(faces_table()), read_samples(faces_folder())
    assert table.class_names == folder.class_names == ("non_teasing", "teasing")
    assert sorted(zip(table.paths, table.labels, strict=True)) == sorted(zip(folder.paths, folder.labels, strict=True))


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("unseen_design", DESIGNS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_group_and_no_design_leaks_between_the_parts(seed: int, unseen_design: str, question: str) -> None:
    partition = demo_partition(question, seed, unseen_design=unseen_design)
    samples = partition.samples
    assert samples.groups is not None

    def faces(indices: np.ndarray) -> set[int]:
        return set(samples.groups[indices].tolist())

    def designs(indices: np.ndarray) -> set[str]:
        return {partition.designs[index] for index in indices}

    held_out = faces(partition.unseen_faces)
    assert not faces(partition.train) & faces(partition.val)
    assert not held_out & (faces(partition.train) | faces(partition.val))
    assert faces(partition.both_unseen) == held_out
    assert faces(partition.unseen_design) == faces(partition.train)
    seen = set(DESIGNS) - {unseen_design}
    assert designs(partition.train) == designs(partition.val) == designs(partition.unseen_faces) == seen
    assert designs(partition.unseen_design) == designs(partition.both_unseen) == {unseen_design}


@pytest.fixture(scope="module")
def cheerful() -> list[dict[str, str]]:
    with faces_table(CHEERFUL).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_56_faces_in_four_designs_are_cheerful_or_upset(
    cheerful: list[dict[str, str]], rows: list[dict[str, str]]
) -> None:
    assert Counter(row["design"] for row in cheerful) == dict.fromkeys(DESIGNS, 56)
    assert Counter(row["label"] for row in cheerful) == {"cheerful": 104, "upset": 120}
    known = {(row["path"], row["group"], row["design"]) for row in rows}
    assert {(row["path"], row["face"], row["design"]) for row in cheerful} <= known
    assert not any("cat" in row["face"].split() for row in cheerful)


def test_look_alikes_are_in_one_group_and_no_group_is_of_two_labels(cheerful: list[dict[str, str]]) -> None:
    group_of = {row["face"]: row["group"] for row in cheerful}
    for pair in (("slightly frowning face", "frowning face"), ("weary face", "tired face")):
        assert group_of[pair[0]] == group_of[pair[1]]
    assert group_of["nerd face"] != group_of["zany face"]
    assert len({(row["group"], row["label"]) for row in cheerful}) == len(set(group_of.values())) == 39


def test_large_groups_have_their_turn_among_the_unseen() -> None:
    held_out = set()
    for seed in range(20):
        partition = demo_partition(CHEERFUL, seed)
        assert partition.samples.groups is not None
        held_out |= set(partition.samples.groups[partition.unseen_faces].tolist())
        for label in (0, 1):
            faces = np.count_nonzero(partition.samples.labels[partition.both_unseen] == label)
            assert 5 <= faces <= 12
    sizes = np.bincount(partition.samples.groups) // len(DESIGNS)
    assert set(np.flatnonzero(sizes >= 6).tolist()) <= held_out and sizes.max() == 7


def test_an_unknown_question_is_an_error_that_lists_near_ones() -> None:
    with pytest.raises(UsageError, match="Did you mean cheerful"):
        demo_partition("cheerfull", 0)


@pytest.mark.slow
def test_the_script_finds_the_same_look_alikes_again(tmp_path: Path) -> None:
    script = _script("build_cheerful")
    assert script.build(faces_folder(), tmp_path / "again.csv") == 39
    assert (tmp_path / "again.csv").read_bytes() == faces_table(CHEERFUL).read_bytes()


def test_every_part_holds_a_fifth_of_teasing_faces() -> None:
    partition = demo_partition(TEASING, 0)
    parts = (partition.train, partition.val, partition.unseen_faces, partition.unseen_design, partition.both_unseen)
    assert [len(part) for part in parts] == [225, 57, 72, 75, 24]
    for part in parts:
        assert 0.2 <= partition.samples.labels[part].mean() <= 0.22


def test_the_same_seed_gives_the_same_partition_and_another_seed_another() -> None:
    first, again, other = (demo_partition(TEASING, seed) for seed in (3, 3, 4))
    assert np.array_equal(first.train, again.train)
    assert np.array_equal(first.val, again.val)
    assert not np.array_equal(first.train, other.train)


def test_training_samples_carry_train_and_val_splits_only() -> None:
    partition = demo_partition(TEASING, 0)
    training = partition.training_samples()
    assert training.splits is not None
    assert np.bincount(training.splits).tolist() == [225, 57]
    assert [training.paths[0], training.paths[-1]] == [
        partition.samples.paths[partition.train[0]],
        partition.samples.paths[partition.val[-1]],
    ]
    assert not any(path.endswith(f"-{UNSEEN_DESIGN}.png") for path in training.paths)


def test_an_unknown_design_is_an_error_that_lists_near_ones() -> None:
    with pytest.raises(UsageError, match="Did you mean twemoji"):
        demo_partition(TEASING, 0, unseen_design="twemojis")


def test_the_script_builds_the_same_data_again(tmp_path: Path, rows: list[dict[str, str]], script: ModuleType) -> None:
    packages = os.environ.get("POCKETVISION_EMOJI_PACKAGES")
    if not packages:
        pytest.skip("set POCKETVISION_EMOJI_PACKAGES to a folder prepared as the head of scripts/build_faces.py says")
    pytest.importorskip("resvg_py")
    modules = Path(packages) / "node_modules"
    assert script.build(modules, tmp_path / "once") == script.build(modules, tmp_path / "twice") == len(rows)
    assert (tmp_path / "once/faces.csv").read_bytes() == faces_table().read_bytes()
    for row in rows:
        once = tmp_path / "once" / row["path"]
        assert once.read_bytes() == (tmp_path / "twice" / row["path"]).read_bytes()
        # Another version of Pillow may compress otherwise, so against the repository the pixels count.
        with Image.open(once) as built, Image.open(faces_folder() / row["path"]) as kept:
            assert np.array_equal(np.asarray(built.convert("RGBA")), np.asarray(kept.convert("RGBA"))), row["path"]
