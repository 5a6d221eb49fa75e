"""The audit: every kind of finding, what hurts, the facts that training takes from it, and its JSON."""

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pocketvision.data.audit import Audit, audit
from pocketvision.data.demo_faces import faces_folder
from pocketvision.data.finding import KINDS, SEVERITIES
from pocketvision.data.sources.catalog import read_samples
from pocketvision.preprocessing import DecodedImage
from pocketvision.workflows.check import check


def drawn(seed: int, size: tuple[int, int] = (96, 96)) -> Image.Image:
    """A picture of its own."""
    dice = np.random.default_rng(seed)
    image = Image.fromarray(dice.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    for _ in range(8):
        left, top, width, height = dice.integers(0, 70, 4)
        ImageDraw.Draw(image).rectangle((left, top, left + width, top + height), fill=tuple(dice.integers(0, 256, 3)))
    return image


def save(root: Path, pictures: Mapping[str, Image.Image]) -> Path:
    for name, image in pictures.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(root / name)
    return root


def clean(prefixes: tuple[str, ...] = ("",), count: int = 4) -> dict[str, Image.Image]:
    """`count` different pictures in each of the classes cat and dog below every prefix."""
    names = [
        f"{prefix}{label}/{number}.png" for prefix in prefixes for label in ("cat", "dog") for number in range(count)
    ]
    return {name: drawn(seed) for seed, name in enumerate(names)}


def kinds(found: Audit) -> dict[str, list[set[str]]]:
    """Kind -> the files of each of its findings."""
    result: dict[str, list[set[str]]] = {}
    for finding in found.findings:
        assert finding.severity == KINDS[finding.kind] and finding.message.endswith((".", "?"))
        result.setdefault(finding.kind, []).append(set(finding.files))
    return result


def test_clean_data_has_no_findings(tmp_path: Path) -> None:
    save(tmp_path, clean())
    seen: list[tuple[int, int]] = []
    found = check(tmp_path, on_progress=lambda done, total: seen.append((done, total)))
    assert found.findings == () and not found.hurts and found.counts == {} and found.worst_files() == []
    assert seen == [(done, 8) for done in range(1, 9)]
    assert found.readable.all() and not found.unreadable and found.pairs.shape == (0, 2)
    assert found.content_hashes.shape == (8,) and found.content_hashes.dtype.itemsize == 16
    assert len(np.unique(found.content_hashes)) == 8


def test_the_demo_data_is_clean_enough_to_train_on() -> None:
    found = check(faces_folder())
    assert not found.hurts
    assert not any("near" in kind for kind in found.counts)


def test_exact_duplicates_by_pixels_not_by_bytes(tmp_path: Path) -> None:
    pictures = clean()
    save(tmp_path, pictures | {"cat/again.bmp": pictures["cat/1.png"], "cat/twice.png": pictures["cat/1.png"]})
    found = check(tmp_path)
    assert kinds(found) == {"duplicates": [{"cat/1.png", "cat/again.bmp", "cat/twice.png"}]}
    assert not found.hurts
    paths = list(found.samples.paths)
    joined = {(paths[one], paths[other]) for one, other in found.pairs.tolist()}
    assert joined == {("cat/1.png", "cat/again.bmp"), ("cat/1.png", "cat/twice.png")}


def test_near_duplicates_and_their_labels(tmp_path: Path) -> None:
    pictures = clean()
    pictures["cat/small.png"] = pictures["cat/0.png"].resize((72, 72), Image.Resampling.LANCZOS)
    pictures["dog/small.png"] = pictures["cat/2.png"].resize((80, 80), Image.Resampling.LANCZOS)
    save(tmp_path, pictures)
    pictures["dog/3.png"].save(tmp_path / "dog/3.jpg", quality=70)
    found = check(tmp_path)
    assert kinds(found) == {
        "near_duplicates": [{"cat/0.png", "cat/small.png"}, {"dog/3.png", "dog/3.jpg"}],
        "near_conflicting_labels": [{"cat/2.png", "dog/small.png"}],
    }
    assert not found.hurts and len(found.pairs) == 3
    assert "cat and dog" in next(finding for finding in found.findings if "conflict" in finding.kind).message


def test_duplicates_with_different_labels_hurt(tmp_path: Path) -> None:
    pictures = clean()
    save(tmp_path, pictures | {"dog/mistake.png": pictures["cat/3.png"]})
    found = check(tmp_path)
    assert kinds(found) == {"conflicting_labels": [{"cat/3.png", "dog/mistake.png"}]}
    assert found.hurts and "cat and dog" in found.findings[0].message


def test_leaks_between_given_splits(tmp_path: Path) -> None:
    pictures = clean(("train/", "val/", "test/"))
    pictures["val/cat/leak.png"] = pictures["train/cat/0.png"]
    pictures["test/dog/near.png"] = pictures["train/dog/1.png"].resize((80, 80), Image.Resampling.LANCZOS)
    found = check(save(tmp_path, pictures))
    assert kinds(found) == {
        "leak": [{"train/cat/0.png", "val/cat/leak.png"}],
        "near_leak": [{"train/dog/1.png", "test/dog/near.png"}],
        "duplicates": [{"train/cat/0.png", "val/cat/leak.png"}],
        "near_duplicates": [{"train/dog/1.png", "test/dog/near.png"}],
    }
    assert (
        found.hurts and "train and val" in found.findings[0].message and "train and test" in found.findings[1].message
    )
    assert found.worst_files(1)[0][0] == "train/cat/0.png" and len(found.worst_files()) == 4


def table(path: Path, rows: list[tuple[str, ...]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def test_leaks_of_a_group_and_column_names(tmp_path: Path) -> None:
    pictures = clean()
    save(tmp_path, pictures)
    rows = [("file", "kind", "part", "person")]
    for index, name in enumerate(pictures):
        rows.append((name, name[:3], "val" if index % 4 == 3 else "train", "" if index % 4 == 0 else f"p{index // 2}"))
    found = check(
        table(tmp_path / "data.csv", rows),
        path_column="file",
        label_column="kind",
        split_column="part",
        group_column="person",
    )
    assert kinds(found) == {"group_leak": [{"cat/2.png", "cat/3.png"}, {"dog/2.png", "dog/3.png"}]}
    assert found.hurts


def test_classes_empty_lonely_and_unbalanced(tmp_path: Path) -> None:
    pictures = clean(count=11)
    few = {
        name: image
        for name, image in pictures.items()
        if not name.startswith("dog") or name in ("dog/0.png", "dog/1.png")
    }
    save(tmp_path, few | {"one/a.png": drawn(900)})
    (tmp_path / "broken").mkdir()
    for name in "ab":
        (tmp_path / f"broken/{name}.png").write_text("no picture")
    found = check(tmp_path, labels=["cat", "dog", "one", "broken", "empty"])
    messages = {
        finding.kind: [f.message for f in found.findings if f.kind == finding.kind] for finding in found.findings
    }
    assert set(messages) == {"empty_class", "too_few_images", "imbalance", "unreadable"}
    assert "empty" in messages["empty_class"][0]
    assert "one has one readable image" in messages["too_few_images"][0]
    assert "broken has no readable image" in messages["too_few_images"][1]
    assert "cat has 11 images, one 1: 11.0 times fewer" in messages["imbalance"][0]
    assert found.hurts and found.to_dict()["classes"] == {"cat": 11, "dog": 2, "one": 1, "broken": 0, "empty": 0}


def test_one_class_alone_hurts(tmp_path: Path) -> None:
    save(tmp_path, {name: image for name, image in clean().items() if name.startswith("cat")})
    found = check(tmp_path)
    assert kinds(found) == {"too_few_images": [set()]} and found.hurts


def test_classes_that_a_split_lacks(tmp_path: Path) -> None:
    pictures = clean(("train/", "val/", "test/"), count=3)
    val_without_dog = {name: image for name, image in pictures.items() if not name.startswith("val/dog")}
    found = check(save(tmp_path / "a", val_without_dog))
    assert set(kinds(found)) == {"class_not_in_split"} and not found.hurts and "dog" in found.findings[0].message
    train_without_dog = {name: image for name, image in pictures.items() if not name.startswith("train/dog")}
    found = check(save(tmp_path / "b", train_without_dog), labels=["cat", "dog"])
    assert set(kinds(found)) == {"class_not_in_train"} and found.hurts


def test_suffixes_sizes_and_blanks(tmp_path: Path) -> None:
    pictures = clean()
    pictures["cat/banner.png"] = drawn(50, (400, 90))
    pictures["dog/tower.png"] = drawn(51, (60, 400))
    pictures["dog/icon.png"] = drawn(52, (31, 40))
    pictures["dog/speck.png"] = drawn(53, (20, 20))
    pictures["cat/white.png"] = Image.new("RGB", (96, 96), "white")
    pictures["cat/black.png"] = Image.new("RGB", (96, 96), "black")
    save(tmp_path, pictures)
    drawn(54).save(tmp_path / "cat/wrong.JPG", "PNG")
    drawn(55).save(tmp_path / "dog/right.JPEG", "JPEG")
    found = check(tmp_path)
    assert kinds(found) == {
        "wrong_suffix": [{"cat/wrong.JPG"}],
        "tiny": [{"dog/icon.png", "dog/speck.png"}],
        "odd_sized": [{"cat/banner.png", "dog/tower.png"}],
        "blank": [{"cat/black.png", "cat/white.png"}],
    }
    assert not found.hurts
    by_kind = {finding.kind: finding for finding in found.findings}
    assert "Holds PNG" in by_kind["wrong_suffix"].message and ".jpg" in by_kind["wrong_suffix"].message
    assert by_kind["tiny"].files == ("dog/speck.png", "dog/icon.png") and "20" in by_kind["tiny"].message
    assert by_kind["odd_sized"].files == ("dog/tower.png", "cat/banner.png")


def test_findings_come_worst_first_and_the_record_is_plain(tmp_path: Path) -> None:
    pictures = clean()
    save(tmp_path, pictures | {"dog/mistake.png": pictures["cat/3.png"], "dog/speck.png": drawn(53, (20, 20))})
    (tmp_path / "cat/text.png").write_text("not a picture")
    found = check(tmp_path)
    ranks = [SEVERITIES.index(finding.severity) for finding in found.findings]
    assert ranks == sorted(ranks) and set(found.counts) == {"conflicting_labels", "unreadable", "tiny"}
    record = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert record["schema_version"] == 1 and record["hurts"] is True
    assert record["images"] == 11 and record["readable"] == 10 and record["splits"] is None
    assert record["classes"] == {"cat": 4, "dog": 6} and record["counts"] == found.counts
    assert set(record["findings"][0]) == {"kind", "severity", "message", "files", "count"}


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_the_answer_is_the_same_for_any_number_of_workers(tmp_path: Path, workers: int) -> None:
    pictures = clean()
    save(tmp_path, pictures | {"cat/again.png": pictures["cat/1.png"].resize((80, 80))})
    (tmp_path / "cat/text.png").write_text("not a picture")
    found = audit(read_samples(tmp_path), workers=workers)
    assert found.to_dict() == check(tmp_path).to_dict()
    assert found.counts == {"unreadable": 1, "near_duplicates": 1}


def test_decoded_images_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many images there are, only the workers' own are decoded at a time."""
    import gc
    import weakref

    from pocketvision.data import fingerprints

    decoded: list[weakref.ref[Image.Image]] = []
    most = 0
    plain: Callable[..., DecodedImage] = fingerprints.read_image

    def counting(source: Path, *, max_pixels: int) -> DecodedImage:
        nonlocal most
        found = plain(source, max_pixels=max_pixels)
        decoded.append(weakref.ref(found.image))
        most = max(most, sum(one() is not None for one in decoded))
        return found

    monkeypatch.setattr(fingerprints, "read_image", counting)
    save(tmp_path, clean(count=40))
    found = check(tmp_path, workers=2)
    gc.collect()
    assert len(found.samples) == 80 and most <= 6 and not any(one() for one in decoded)
