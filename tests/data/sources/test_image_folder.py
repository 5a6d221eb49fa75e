"""Folders in all the shapes that users have them, and what is refused."""

import os
import subprocess
import sys
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from pocketvision.data import image_files
from pocketvision.data.natural_order import natural_sorted
from pocketvision.data.samples import SPLITS
from pocketvision.data.sources.catalog import read_samples
from pocketvision.errors import UsageError


def make(root: Path, *names: str) -> Path:
    """Empty files; a name that ends with "/" is an empty folder. The index never opens an image."""
    for name in names:
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return root


def labelled(root: Path, **options: object) -> list[tuple[str, str]]:
    samples = read_samples(root, **options)  # type: ignore[arg-type]
    return [(path, samples.class_name(index)) for index, path in enumerate(samples.paths)]


def test_natural_order_goes_by_the_value_of_numbers() -> None:
    assert natural_sorted(["10", "9", "1", "2"]) == ["1", "2", "9", "10"]
    assert natural_sorted(["b2", "a10", "B1", "a9"]) == ["a9", "a10", "B1", "b2"]
    assert natural_sorted(["x01", "x1", "x001"]) == natural_sorted(["x001", "x01", "x1"])
    assert natural_sorted(["9" * 5000, "1" + "0" * 5000])[0] == "9" * 5000


def test_classes_are_folders_and_images_lie_at_any_depth(tmp_path: Path) -> None:
    make(tmp_path, "10/a.jpg", "2/deep/er/b.PNG", "2/c.WebP", "1/d.jpeg", "1/notes.txt", "1/.d.jpg", "loose.png")
    make(tmp_path, ".cache/x.jpg", "__MACOSX/1/d.jpg", "1/.ipynb_checkpoints/d.jpg", "1/jpg", "1/e.jpg.part")
    samples = read_samples(tmp_path)
    assert samples.class_names == ("1", "2", "10")
    assert list(samples.paths) == ["1/d.jpeg", "2/c.WebP", "2/deep/er/b.PNG", "10/a.jpg"]
    assert samples.labels.tolist() == [0, 1, 1, 2] and samples.labels.dtype == np.int32
    assert samples.file(2) == tmp_path / "2/deep/er/b.PNG"
    assert samples.splits is None and samples.groups is None
    assert {each.reason: (each.count, each.example) for each in samples.left_out} == {
        "outside": (1, "loose.png"),
        "unfinished": (1, "1/e.jpg.part"),
        "not_an_image": (2, "1/jpg"),
        "hidden": (1, "1/.d.jpg"),
        "system_folder": (3, ".cache/"),
    }


def test_names_in_any_script(tmp_path: Path) -> None:
    make(tmp_path, "고양이/첫 번째 사진.jpg", "chien été/🐕.png", "猫/a b.webp")
    assert set(labelled(tmp_path)) == {
        ("고양이/첫 번째 사진.jpg", "고양이"),
        ("chien été/🐕.png", "chien été"),
        ("猫/a b.webp", "猫"),
    }


def test_decomposed_folder_names_are_the_same_class(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "고양이")
    make(tmp_path, f"{decomposed}/a.jpg", "개/b.jpg")
    assert read_samples(tmp_path, labels=["고양이", "개"]).class_counts().tolist() == [1, 1]
    assert (tmp_path / read_samples(tmp_path, labels=["고양이", "개"]).paths[0]).exists()


def test_an_empty_class_is_kept(tmp_path: Path) -> None:
    samples = read_samples(make(tmp_path, "a/1.jpg", "b/", "c/readme.md", "d/2.jpg"))
    assert samples.class_names == ("a", "b", "c", "d")
    assert samples.class_counts().tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "validation", "testing"), ("train", "valid")])
def test_splits_above_the_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        make(tmp_path, f"{name}/cat/1.jpg", f"{name}/dog/x/2.jpg")
    samples = read_samples(tmp_path)
    assert samples.class_names == ("cat", "dog")
    assert samples.splits is not None
    assert samples.splits.tolist() == [split for split in range(len(names)) for _ in range(2)]
    assert [samples.paths[index] for index in samples.split_indices("val")] == [
        f"{names[1]}/cat/1.jpg",
        f"{names[1]}/dog/x/2.jpg",
    ]


def test_a_split_that_lacks_a_class_does_not_shift_the_others(tmp_path: Path) -> None:
    make(tmp_path, "train/ant/1.jpg", "train/bee/1.jpg", "train/cow/1.jpg", "test/bee/1.jpg", "test/cow/2.jpg")
    assert [pair for pair in labelled(tmp_path) if pair[0].startswith("test")] == [
        ("test/bee/1.jpg", "bee"),
        ("test/cow/2.jpg", "cow"),
    ]


def test_a_class_that_training_does_not_know_is_named(tmp_path: Path) -> None:
    make(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", "test/cats/1.jpg")
    with pytest.raises(UsageError, match=r"test.*'cats'.*Did you mean cat\?"):
        read_samples(tmp_path)


def test_explicit_labels_give_the_order_and_a_class_that_they_lack_is_named(tmp_path: Path) -> None:
    make(tmp_path, "dog/1.jpg", "cat/1.jpg")
    assert read_samples(tmp_path, labels=["owl", "dog", "cat"]).labels.tolist() == [2, 1]
    assert read_samples(make(tmp_path / "t", "test/dog/1.jpg"), labels=["owl", "dog"]).labels.tolist() == [1]
    with pytest.raises(UsageError, match="Unknown class 'cat'"):
        read_samples(tmp_path, labels=["dog", "owl"])
    with pytest.raises(UsageError, match="'dog' more than once"):
        read_samples(tmp_path, labels=["dog", "cat", "dog"])
    with pytest.raises(UsageError, match="list of labels is empty"):
        read_samples(tmp_path, labels=[])


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    samples = read_samples(make(tmp_path, "train/1.jpg", "car/1.jpg", "bus/1.jpg"))
    assert samples.class_names == ("bus", "car", "train") and samples.splits is None


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("train/a/1.jpg", "val/a/1.jpg", "extra/1.jpg"), "also extra"),
        (
            ("train/a/1.jpg", "val/a/1.jpg", "valid/a/1.jpg"),
            r"val and valid both mean the split 'val'|valid and val both",
        ),
        (("1.jpg", "2.jpg"), "2 images but no class folders"),
        (("train/1.jpg", "val/2.jpg"), "2 images but no class folders"),
        (("a/", "b/x.txt"), "2 class folders but no image in them"),
        (("train/a/", "val/a/"), "no image in them"),
        (("train/",), "neither class folders nor images"),
        ((), "neither class folders nor images"),
    ],
)
def test_what_is_refused(tmp_path: Path, names: Iterable[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_samples(make(tmp_path, *names))


def test_a_missing_path_and_a_wrong_kind_of_file_say_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"nowhere: no such file or folder. Expected a folder, a table.*formats: image-folder, "
    ):
        read_samples(tmp_path / "nowhere")
    for path in ("null\0character", "x" * 5000):
        with pytest.raises(UsageError, match="no such file or folder"):
            read_samples(path)
    make(tmp_path, "photo.jpg")
    with pytest.raises(UsageError, match=r"photo\.jpg: this kind of file"):
        read_samples(tmp_path / "photo.jpg")


def test_links_are_followed_once_and_never_in_a_circle(tmp_path: Path) -> None:
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    make(elsewhere, "1.jpg", "sub/2.jpg")
    make(data, "a/own.jpg", "b/c/d/own.jpg")
    (data / "a/link.JPG").symlink_to(elsewhere / "1.jpg")
    (data / "a/itself.jpg").symlink_to(data / "a/itself.jpg")
    (data / "a/itself").symlink_to(data / "a/itself")
    (data / "a/broken.jpg").symlink_to(elsewhere / "gone.jpg")
    (data / "linked").symlink_to(elsewhere)
    (data / "a/linked").symlink_to(elsewhere)
    (data / "a/linked again").symlink_to(elsewhere)
    (elsewhere / "sub/up").symlink_to(elsewhere)
    (data / "b/c/d/root").symlink_to(data)
    (data / "b/c/d/circle").symlink_to(data / "b/c")
    assert labelled(data) == [
        ("a/broken.jpg", "a"),  # for the audit to report
        ("a/itself.jpg", "a"),
        ("a/link.JPG", "a"),
        ("a/own.jpg", "a"),
        ("a/linked/1.jpg", "a"),
        ("a/linked/sub/2.jpg", "a"),
        ("b/c/d/own.jpg", "b"),
        ("linked/1.jpg", "linked"),
        ("linked/sub/2.jpg", "linked"),
    ]


def test_a_lone_link_that_leads_back_up_ends(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="no image"):
        read_samples(tmp_path)


def test_rows_do_not_depend_on_the_file_systems_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(
        tmp_path,
        *(
            f"{split}/{name}/{sub}/{i}.jpg"
            for split in ("train", "val")
            for name in "ba"
            for sub in "yx"
            for i in range(3)
        ),
    )
    expected = labelled(tmp_path)
    real = os.scandir

    class Reversed:
        def __init__(self, folder: Path) -> None:
            self.entries = sorted(real(folder), key=lambda entry: entry.name, reverse=True)

        def __enter__(self) -> Iterable[os.DirEntry[str]]:
            return self.entries

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(image_files.os, "scandir", Reversed)
    assert labelled(tmp_path) == expected


@pytest.mark.skipif(not hasattr(os, "setuid") or os.geteuid() != 0, reason="needs root, to give its rights up")
def test_a_folder_without_permission_is_named(reachable: Path) -> None:
    tmp_path = reachable
    make(tmp_path, "a/1.jpg", "b/secret/2.jpg")
    (tmp_path / "b/secret").chmod(0)
    script = (
        "import os, sys\n"
        "from pocketvision.data.sources.catalog import read_samples\n"
        "os.setuid(65534)\n"
        "try: read_samples(sys.argv[1])\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    answer = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    (tmp_path / "b/secret").chmod(0o755)
    assert answer.stdout.startswith("UsageError") and "secret" in answer.stdout and "ermission" in answer.stdout


def test_selection_keeps_the_classes(tmp_path: Path) -> None:
    make(tmp_path, "train/a/1.jpg", "train/b/2.jpg", "val/b/3.jpg", "train/c/4.jpg")
    samples = read_samples(tmp_path)
    chosen = samples.select([3, 0])
    assert list(chosen.paths) == ["val/b/3.jpg", "train/a/1.jpg"]
    assert chosen.class_names == ("a", "b", "c") and chosen.class_counts().tolist() == [1, 1, 0]
    assert chosen.splits is not None and chosen.splits.tolist() == [1, 0]
    assert list(samples.select(samples.labels == 1).paths) == ["train/b/2.jpg", "val/b/3.jpg"]
    assert len(samples.select(np.zeros(4, dtype=bool))) == len(samples.select([])) == 0


def splits_of(root: Path, **options: object) -> dict[str, str | None]:
    """Path -> split of every sample; None without splits."""
    samples = read_samples(root, **options)  # type: ignore[arg-type]
    return {
        path: None if samples.splits is None else SPLITS[samples.splits[place]]
        for place, path in enumerate(samples.paths)
    }


@pytest.mark.parametrize(
    "names",
    [
        ("training_set", "test_set"),
        ("seg_train", "seg_test"),
        ("Train_data", "Val_data"),
        ("01_train", "02_val", "03_test"),
        ("images_train", "images_dev"),
        ("cats_dogs_train", "cats_dogs_test"),
        ("train2017", "val2017"),
        ("TrainImages", "testing"),
        ("trainset", "valid_images"),
        ("1.Training", "2.Validation"),
        ("학습", "검증", "테스트"),
        ("TRAIN", "HOLDOUT"),
        ("trainval", "test set"),
        ("TrainVal", "testing_data"),
        ("x_train", "x_evaluation"),
        ("trainimages", "testimages"),
    ],
)
def test_folders_whose_names_mean_splits(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        make(tmp_path, f"{name}/cat/1.jpg", f"{name}/dog/2.jpg")
    samples = read_samples(tmp_path)
    assert samples.class_names == ("cat", "dog") and samples.splits is not None
    assert len(set(samples.splits.tolist())) == len(names)
    assert samples.reading and all(f"'{name}'" in samples.reading[0] for name in names)
    assert read_samples(tmp_path, labels=names).class_names == names, "whoever means classes can say so"


@pytest.mark.parametrize(
    "files",
    [
        (
            "seg_train/seg_train/a/1.jpg",
            "seg_train/seg_train/b/1.jpg",
            "seg_test/seg_test/a/2.jpg",
            "seg_test/seg_test/b/2.jpg",
        ),
        ("archive/data/train/a/1.jpg", "archive/data/train/b/1.jpg", "archive/data/test/a/2.jpg"),
        ("train/images/a/1.jpg", "train/images/b/1.jpg", "val/images/a/2.jpg"),
        ("dataset/a/train/1.jpg", "dataset/a/test/2.jpg", "dataset/b/train/3.jpg", "dataset/b/test/4.jpg"),
        ("train/a/1.jpg", "train/b/1.jpg", "test/a/2.jpg", "pred/3.jpg", "pred/4.jpg"),
    ],
)
def test_levels_of_unpacked_archives(tmp_path: Path, files: tuple[str, ...]) -> None:
    samples = read_samples(make(tmp_path, *files))
    assert samples.class_names == ("a", "b") and samples.splits is not None
    assert set(samples.paths) == {file for file in files if not file.startswith("pred")}
    assert {SPLITS[split] for split in samples.splits} in ({"train", "test"}, {"train", "val"})
    assert sum(each.count for each in samples.left_out if each.reason == "outside") == (2 if len(files) == 5 else 0)


def test_a_lone_folder_is_no_class_unless_it_is_said_to_be(tmp_path: Path) -> None:
    make(tmp_path, "photos of 2026/cat/1.jpg", "photos of 2026/dog/x/1.jpg")
    samples = read_samples(tmp_path)
    assert samples.class_names == ("cat", "dog") and "'photos of 2026/'" in samples.reading[0]
    assert read_samples(tmp_path, labels=["cat", "dog", "owl"]).class_counts().tolist() == [1, 1, 0]
    assert read_samples(tmp_path, labels=["photos of 2026", "owl"]).class_counts().tolist() == [2, 0]


@pytest.mark.parametrize(
    "names",
    [
        ("test_positive", "test_negative"),
        ("cat_train", "dog_train"),
        ("valid", "invalid"),
        ("test", "control"),
        ("test_tube", "train_toy", "ball"),
        ("with_mask", "without_mask"),
        ("mask", "no_mask"),
        ("photo", "drawing"),
        ("mask", "helmet"),
        ("mask", "nomask"),
        ("dev", "prod"),
        ("label", "no label", "unsure"),
    ],
)
def test_classes_whose_names_only_resemble_splits_or_masks(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        make(tmp_path, f"{name}/1.jpg")
    samples = read_samples(tmp_path)
    assert sorted(samples.class_names) == sorted(names) and samples.splits is None


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            ("CXR_png/1.png", "CXR_png/2.png", "ground truth/1.png", "ground truth/2.png"),
            "holds files of the same names as",
        ),
        (("images/1.jpg", "masks/1.png"), "'images', 'masks' look like pictures with their masks"),
        (("JPEGImages/1.jpg", "Annotations/1.xml", "SegmentationClass/1.png"), "look like pictures with their masks"),
        (("train_images/1.jpg", "train_masks/1.png", "test_images/1.jpg"), "look like pictures with their masks"),
        (("train/images/1.jpg", "train/labels/1.txt", "val/images/1.jpg", "val/labels/1.txt"), "look like pictures"),
        (("train_a/x/1.jpg", "test_b/y/2.jpg"), "'test_b' and 'train_a' look like splits.*--labels 'test_b,train_a'"),
        (
            ("trainA/1.jpg", "trainB/1.jpg", "testA/1.jpg", "testB/1.jpg"),
            "both mean the split 'train'.*say so: --labels",
        ),
        (("a/train/1.jpg", "a/test/1.jpg", "b/2.jpg"), "split folders inside a class, but 'b' has none"),
        (("train_images/1.jpg", "test_images/1.jpg"), "2 images but no class folders"),
        (("images/1.jpg", "images/2.jpg"), "2 images but no class folders"),
        (("a/1.heic", "b/2.HEIF"), "no image in them.*HEIC pictures, which are not read .2, such as 'a/1.heic'"),
        (
            ("fold_0/a/1.jpg", "fold_0/b/2.jpg", "fold_1/a/1.jpg", "fold_1/b/2.jpg"),
            "look like folds or batches.*--labels",
        ),
        (("cat/1.jpg", "dog/2.jpg", "test/cat/3.jpg"), "'test' stands beside class folders and holds 'cat' once more"),
        (("notes/x.md", "t.parquet"), "There is a table, 't.parquet'"),
    ],
)
def test_folders_that_look_like_something_else_are_refused(
    tmp_path: Path, files: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        read_samples(make(tmp_path, *files), task="classification")


def test_what_could_be_read_otherwise_is_reported(tmp_path: Path) -> None:
    make(tmp_path / "a", "apple/ripe/1.jpg", "apple/unripe/2.jpg", "pear/ripe/3.jpg", "pear/unripe/4.jpg")
    samples = read_samples(tmp_path / "a")
    assert samples.class_names == ("apple", "pear") and "'ripe', 'unripe'" in samples.reading[0]
    make(tmp_path / "b", "cat/1.jpg", "dog/2.jpg", "test/3.jpg")
    samples = read_samples(tmp_path / "b")
    assert samples.class_names == ("cat", "dog", "test") and "'test' is read as a class" in samples.reading[0]
    assert read_samples(tmp_path / "b", labels=["cat", "dog", "test"]).reading == ()
    assert read_samples(make(tmp_path / "c", "part 1/1.jpg", "part 2/2.jpg")).class_names == ("part 1", "part 2")
