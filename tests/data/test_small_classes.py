"""Classes that are too small, or nearly of one name: found, named, and left out by request."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.data.class_names import similar_names
from pocketvision.data.samples import Samples
from pocketvision.data.small_classes import without_small_classes
from pocketvision.data.sources.catalog import read_samples
from pocketvision.errors import UsageError
from pocketvision.tasks.classification.truth import class_truth
from pocketvision.tasks.number.truth import NumberLabels
from pocketvision.tasks.tags.truth import TagLabels
from pocketvision.workflows.check import check


def samples_of(**counts: int) -> Samples:
    labels = np.repeat(np.arange(len(counts)), list(counts.values())).astype(np.int32)
    return Samples(Path("data"), [f"{n}.jpg" for n in range(len(labels))], class_truth(labels, tuple(counts)))


def test_small_classes_are_left_out_and_reported() -> None:
    samples = samples_of(ant=3, bee=1, cow=4, dog=2, eel=0)
    kept = without_small_classes(samples, 3)
    assert kept.class_names == ("ant", "cow") and kept.class_counts().tolist() == [3, 4]
    assert list(kept.paths) == ["0.jpg", "1.jpg", "2.jpg", "4.jpg", "5.jpg", "6.jpg", "7.jpg"]
    (left,) = kept.left_out
    assert (left.reason, left.count) == ("small_class", 3) and "bee (1), dog (2), eel (0)" in left.line
    assert without_small_classes(samples, 1) is samples
    with pytest.raises(
        UsageError, match=r"leaves 1 of 5 classes.*Too small: ant \(3\), bee \(1\), dog \(2\), eel \(0\)"
    ):
        without_small_classes(samples, 4)
    with pytest.raises(UsageError, match="--min-per-class is 0"):
        without_small_classes(samples, 0)


def test_tags_and_numbers_have_no_small_classes_and_it_is_said_why() -> None:
    tags = Samples(Path("data"), ["a", "b"], {"tags": TagLabels.of([[0], [0, 1]], ("cat", "sofa"))})
    with pytest.raises(
        UsageError, match=r"these have tags \(a picture without one of its tags would be told to lack it"
    ):
        without_small_classes(tags, 2)
    assert without_small_classes(tags, 1) is tags
    numbers = Samples(Path("data"), ["a", "b"], {"number": NumberLabels(np.array([1.0, 2.0]))})
    with pytest.raises(UsageError, match=r"these have number\. Leave it out"):
        without_small_classes(numbers, 2)


def test_what_can_not_be_parted_counts_once() -> None:
    samples = samples_of(ant=3, bee=3, cow=2)
    clusters = np.array([0, 0, 0, 3, 3, 5, 6, 7])
    assert without_small_classes(samples, 2, clusters).class_names == ("bee", "cow")


def draw(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    dice = np.random.default_rng(seed)
    Image.fromarray(dice.integers(0, 256, (6, 6, 3), np.uint8)).resize((64, 64), Image.Resampling.BICUBIC).save(path)


def test_check_names_classes_without_enough_pictures_and_the_way_out(tmp_path: Path) -> None:
    seed = iter(range(100))
    for label, count in (("ant", 4), ("bee", 1), ("cow", 4)):
        for number in range(count):
            draw(tmp_path / label / f"{number}.png", next(seed))
    for number in range(3):
        draw(tmp_path / "dog" / f"{number}.png", 77)
    found = [finding.message for finding in check(tmp_path).findings if finding.kind == "too_few_images"]
    assert any("bee has one readable image" in each and "--min-per-class 2" in each for each in found)
    assert any("dog has 3 images that are duplicates of one another" in each for each in found)
    assert read_samples(tmp_path, min_per_class=2).class_names == ("ant", "cow", "dog")
    again = check(tmp_path, min_per_class=4)
    assert not again.hurts and again.to_dict()["left_out"][0]["count"] == 4


@pytest.mark.parametrize(
    ("names", "alike"),
    [
        (("Cat", "cat", "dog"), [("Cat", "cat")]),
        (("new york", "new_york", "New-York", "newyork"), [("new york", "new_york", "New-York")]),
        (("ﬁsh", "fish"), [("ﬁsh", "fish")]),
        (("cat_", "cat\u200b", "cat"), [("cat_", "cat\u200b", "cat")]),
        (("STRASSE", "straße"), [("STRASSE", "straße")]),
        (("+1", "-1", "1", "1.0", "10", "a-b", "ab", "c", "c++"), []),
    ],
)
def test_names_that_are_nearly_one(names: tuple[str, ...], alike: list[tuple[str, ...]]) -> None:
    assert similar_names(names) == alike


def test_check_finds_classes_of_nearly_one_name(tmp_path: Path) -> None:
    for place, name in enumerate(("Cat", "cat", "dog")):
        for number in range(3):
            draw(tmp_path / name / f"{number}.png", 10 * place + number)
    found = check(tmp_path)
    assert found.counts == {"similar_classes": 1} and "'Cat' and 'cat'" in found.findings[0].message
