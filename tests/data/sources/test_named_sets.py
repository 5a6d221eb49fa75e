"""Published sets by name, from tiny archives in the formats that they were published in."""

import gzip
import hashlib
import io
import json
import pickle
import tarfile
import urllib.error
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision.datasets
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat
from torchvision.datasets import utils

from pocketvision.data.sources.catalog import read_samples
from pocketvision.data.sources.named_sets import NAMED_SETS, named_set
from pocketvision.errors import UsageError

PIXELS: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8)
Files = Mapping[str, bytes]


def picture(number: int, form: str = "JPEG") -> bytes:
    written = io.BytesIO()
    Image.fromarray(PIXELS[number]).save(written, form)
    return written.getvalue()


def tarred(files: Files) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return written.getvalue()


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def cifar(patch: pytest.MonkeyPatch, dataset: Any, key: str, names: str, classes: tuple[str, ...]) -> Files:
    """Batches of rows of 3072 numbers, channel by channel, as pickles; torchvision compares the MD5 of each."""
    files = {}
    for number, name in enumerate(each for each, _ in (*dataset.train_list, *dataset.test_list)):
        rows = PIXELS[number : number + 1].transpose(0, 3, 1, 2).reshape(1, -1)
        files[name] = pickle.dumps({"data": rows, key: [number % len(classes)]})
    files[dataset.meta["filename"]] = pickle.dumps({names: list(classes)})
    for listed in ("train_list", "test_list"):
        patch.setattr(dataset, listed, [[name, md5(files[name])] for name, _ in getattr(dataset, listed)])
    patch.setattr(dataset, "meta", {**dataset.meta, "md5": md5(files[dataset.meta["filename"]])})
    archive = tarred({f"{dataset.base_folder}/{name}": content for name, content in files.items()})
    patch.setattr(dataset, "tgz_md5", md5(archive))
    return {dataset.filename: archive}


def mnist(patch: pytest.MonkeyPatch, dataset: Any) -> Files:
    """Big-endian headers, then bytes: images (N, 28, 28) and labels (N,)."""
    files = {}
    for name, _ in dataset.resources:
        rows = slice(0, 4) if name.startswith("train") else slice(4, 6)
        values = (PIXELS[:, :28, :28, 0] if "images" in name else np.arange(6, dtype=np.uint8) % 4)[rows]
        header = np.array([0x800 + values.ndim, *values.shape], ">i4").tobytes()
        files[name] = gzip.compress(header + values.tobytes())
    patch.setattr(dataset, "resources", [(name, md5(files[name])) for name, _ in dataset.resources])
    return files


def pets(patch: pytest.MonkeyPatch, dataset: Any) -> Files:
    names = ("Abyssinian_1", "great_pyrenees_2", "Abyssinian_3", "great_pyrenees_4")
    images = tarred({f"images/{name}.jpg": picture(number) for number, name in enumerate(names)})
    rows = [f"{name} {1 + number % 2} {1 + number % 2} 1\n" for number, name in enumerate(names)]
    listed = {"trainval.txt": "".join(rows[:2]), "test.txt": "".join(rows[2:])}
    annotations = tarred({f"annotations/{name}": text.encode() for name, text in listed.items()})
    found = {"images.tar.gz": images, "annotations.tar.gz": annotations}
    patch.setattr(
        dataset, "_RESOURCES", tuple((url, md5(found[url.rpartition("/")[2]])) for url, _ in dataset._RESOURCES)
    )
    return found


def flowers(patch: pytest.MonkeyPatch, dataset: Any) -> Files:
    found = {"102flowers.tgz": tarred({f"jpg/image_{number + 1:05d}.jpg": picture(number) for number in range(6)})}
    for name, content in (
        ("imagelabels.mat", {"labels": [[1, 2, 1, 2, 2, 1]]}),
        ("setid.mat", {"trnid": [[1, 2]], "valid": [[3, 5]], "tstid": [[4, 6]]}),
    ):
        written = io.BytesIO()
        savemat(written, content)
        found[name] = written.getvalue()
    files = {key: (name, md5(found[name])) for key, (name, _) in dataset._file_dict.items()}
    patch.setattr(dataset, "_file_dict", files)
    return found


def food(patch: pytest.MonkeyPatch, dataset: Any) -> Files:
    parts = {
        "train": {"apple_pie": ["apple_pie/1"], "waffles": ["waffles/2"]},
        "test": {"apple_pie": ["apple_pie/3"], "waffles": []},
    }
    files = {f"food-101/meta/{split}.json": json.dumps(listed).encode() for split, listed in parts.items()}
    for number, name in enumerate(("apple_pie/1", "waffles/2", "apple_pie/3")):
        files[f"food-101/images/{name}.jpg"] = picture(number)
    archive = tarred(files)
    patch.setattr(dataset, "_MD5", md5(archive))
    return {"food-101.tar.gz": archive}


def eurosat(patch: pytest.MonkeyPatch, _: Any) -> Files:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for number, name in enumerate(("Forest", "River", "Forest")):
            archive.writestr(f"2750/{name}/{name}_{number}.jpg", picture(number))
    content = written.getvalue()
    row = NAMED_SETS["eurosat"]
    patch.setitem(NAMED_SETS, "eurosat", replace(row, archives=lambda _: (("eurosat/EuroSAT.zip", md5(content)),)))
    fetch = torchvision.datasets.eurosat.download_and_extract_archive  # its MD5 stands in the middle of a function
    patch.setattr(
        torchvision.datasets.eurosat,
        "download_and_extract_archive",
        lambda url, download_root, **_: fetch(url, download_root, md5=md5(content)),
    )
    return {"EuroSAT.zip": content}


Make = Callable[[pytest.MonkeyPatch, Any], Files]
# What makes the archives; how many images each split has; the classes of the first and of the last image.
SETS: dict[str, tuple[Make, tuple[int, int, int] | None, tuple[str, str]]] = {
    "cifar10": (partial(cifar, key="labels", names="label_names", classes=("cat", "dog")), (5, 0, 1), ("cat", "dog")),
    "cifar100": (
        partial(cifar, key="fine_labels", names="fine_label_names", classes=("apple",)),
        (1, 0, 1),
        ("apple", "apple"),
    ),
    "fashion_mnist": (mnist, (4, 0, 2), ("T-shirt/top", "Trouser")),
    "mnist": (mnist, (4, 0, 2), ("0 - zero", "1 - one")),
    "oxford_pets": (pets, (2, 0, 2), ("Abyssinian", "Great Pyrenees")),
    "flowers102": (flowers, (2, 2, 2), ("pink primrose", "pink primrose")),
    "food101": (food, (2, 0, 1), ("apple_pie", "apple_pie")),
    "eurosat": (eurosat, None, ("Forest", "River")),
}


def placed(name: str, root: Path, patch: pytest.MonkeyPatch) -> Files:
    """The archives of the set, in the root itself, where there is no network."""
    files = SETS[name][0](patch, getattr(torchvision.datasets, NAMED_SETS[name].dataset))
    root.mkdir()
    for file, content in files.items():
        (root / file).write_bytes(content)
    return files


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(utils.urllib.request, "urlopen", unreachable)


def test_every_set_is_tested_and_of_torchvision() -> None:
    assert set(SETS) == set(NAMED_SETS)
    for row in NAMED_SETS.values():
        archives = row.archives(getattr(torchvision.datasets, row.dataset))
        assert archives and all(len(md5) == 32 and not path.startswith("/") for path, md5 in archives)


@pytest.mark.parametrize("name", SETS)
def test_it_is_read_from_archives_in_the_root(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, counts, (first, last) = SETS[name]
    placed(name, tmp_path / "sets", monkeypatch)
    table = named_set(name, tmp_path / "sets", download=False)
    samples = read_samples(table)
    assert table == tmp_path / f"sets/{name}.csv" and all(samples.file(row).is_file() for row in range(len(samples)))
    if counts is None:
        assert samples.splits is None and len(samples) == 3
    else:
        assert samples.splits is not None and np.bincount(samples.splits, minlength=3).tolist() == list(counts)
    assert (samples.class_name(0), samples.class_name(len(samples) - 1)) == (first, last)
    with Image.open(samples.file(0)) as image:
        pixels = np.asarray(image)
    if NAMED_SETS[name].files is None:
        assert np.array_equal(pixels, PIXELS[0, :28, :28, 0] if "mnist" in name else PIXELS[0])
    else:
        assert samples.file(0).read_bytes() == picture(0)
    monkeypatch.setattr(torchvision.datasets, NAMED_SETS[name].dataset, None)
    assert named_set(name, tmp_path / "sets", download=False) == table  # written once


@pytest.mark.parametrize("download", [False, True])
def test_without_archives_and_network_the_file_is_named(download: bool, tmp_path: Path) -> None:
    place = tmp_path / "cifar-10-python.tar.gz"
    with pytest.raises(UsageError) as error:
        named_set("cifar10", tmp_path, download=download)
    assert str(place) in str(error.value)
    assert ("can not be fetched" if download else "--download") in str(error.value)
    assert not (tmp_path / "cifar10.csv").exists()


def test_a_file_that_is_cut_short_is_told_by_its_md5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = placed("mnist", tmp_path / "sets", monkeypatch)
    name = next(iter(files))
    (tmp_path / "sets" / name).write_bytes(files[name][:-1])
    with pytest.raises(
        UsageError, match=rf"{name} is not the file that mnist was published as \(MD5 {md5(files[name][:-1])}"
    ):
        named_set("mnist", tmp_path / "sets", download=True)
    raw = tmp_path / "sets/MNIST/raw"  # what the message advises for a file that was packed anew
    raw.mkdir(parents=True)
    for name, content in files.items():
        (raw / name.removesuffix(".gz")).write_bytes(gzip.decompress(content))
    assert len(read_samples(named_set("mnist", tmp_path / "sets", download=False))) == 6


def test_what_is_a_path_or_no_name_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mnist").mkdir()
    assert named_set("mnist", None, download=False) == "mnist"
    assert named_set(None, None, download=False) is None
    with pytest.raises(
        UsageError, match=r"--root and --download are for a published data set by name .*not for photos"
    ):
        named_set(Path("photos"), tmp_path, download=False)
