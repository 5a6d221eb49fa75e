"""Data handed over from Python: trained on, gone on with, measured and compressed like a folder; pictures lie in the run."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_pictures import CLASSES, SMALL_RUN, write_pictures
from PIL import Image
from safetensors.numpy import load_file

import pocketvision
from pocketvision.bundle import read_bundle
from pocketvision.compression.bundle_images import calibration_images, measuring_images
from pocketvision.errors import UsageError
from pocketvision.progress import EpochEnded, Event
from pocketvision.workflows.training_run import TrainResult

SETTINGS = {**SMALL_RUN, "epochs2": 1, "batch": 8, "test_share": 0.2}


class Drawn(torch.utils.data.Dataset[Any]):
    """Pictures as arrays, read from a folder here, with numbers for classes."""

    def __init__(self, folder: Path) -> None:
        self.classes = list(CLASSES)
        self.files = sorted(folder.glob("*/*.png"))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        file = self.files[index]
        return np.asarray(Image.open(file)), CLASSES.index(file.parent.name)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("python") / "pictures"
    write_pictures(folder)
    return folder


@pytest.fixture(scope="module")
def from_folder(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return pocketvision.train(pictures, out=tmp_path_factory.mktemp("runs") / "folder", **SETTINGS)


@pytest.fixture(scope="module")
def from_data_set(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return pocketvision.train(Drawn(pictures), out=tmp_path_factory.mktemp("runs") / "set", **SETTINGS)


def weights(run: Path) -> Iterator[Any]:
    return iter(load_file(run / "bundle/model.safetensors").values())


def test_a_data_set_is_learned_as_the_folder_of_its_pictures(
    from_folder: TrainResult, from_data_set: TrainResult
) -> None:
    assert from_data_set.bundle.labels == CLASSES
    assert len(list((from_data_set.run / "data").rglob("*.png"))) == 30
    one, other = (json.loads((each.run / "run.json").read_text()) for each in (from_folder, from_data_set))
    assert one["data_fingerprint"] == other["data_fingerprint"] and other["data"] == "data/pictures.csv"
    assert all(
        (one == other).all() for one, other in zip(*map(weights, (from_folder.run, from_data_set.run)), strict=True)
    )


def test_lists_are_learned_exactly_as_the_folder(from_folder: TrainResult, pictures: Path, tmp_path: Path) -> None:
    files = sorted(pictures.glob("*/*.png"))
    result = pocketvision.train(
        paths=files, labels=[file.parent.name for file in files], out=tmp_path / "run", **SETTINGS
    )
    assert all((one == other).all() for one, other in zip(weights(from_folder.run), weights(result.run), strict=True))
    assert [path.name for path in (tmp_path / "run/data").iterdir()] == ["pictures.csv"]


@pytest.mark.slow
def test_a_run_that_was_broken_off_and_moved_goes_on(
    from_data_set: TrainResult, pictures: Path, tmp_path: Path
) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, EpochEnded) and event.record.stage == 1:
            raise KeyboardInterrupt

    pocketvision.train(Drawn(pictures), out=tmp_path / "run", on_event=interrupt, **SETTINGS)
    moved = (tmp_path / "run").rename(tmp_path / "moved")
    with pytest.raises(UsageError, match="keeps what it was given"):
        pocketvision.train(Drawn(pictures), resume=moved)
    result = pocketvision.train(resume=moved)
    assert not result.interrupted
    assert all((one == other).all() for one, other in zip(weights(from_data_set.run), weights(moved), strict=True))


def test_it_is_measured_and_compressed_by_its_own_pictures(from_data_set: TrainResult, tmp_path: Path) -> None:
    run = shutil.copytree(from_data_set.run, tmp_path / "run")
    shutil.rmtree(run / "plots", ignore_errors=True)
    bundle = read_bundle(run)
    for images in (measuring_images(bundle, None, lambda _: None), calibration_images(bundle, None, lambda _: None)):
        assert all(file.is_relative_to(run / "data") for file in images.files)
    test = from_data_set.evaluations[-1]
    assert pocketvision.evaluate(run, run / "split.csv", split="test").metrics.accuracy == test.metrics.accuracy


def test_a_bundle_is_measured_on_lists_and_data_sets(from_folder: TrainResult, pictures: Path) -> None:
    new = [np.ascontiguousarray(np.asarray(Image.open(file))[::-1]) for file in sorted(pictures.glob("disc/*.png"))]
    found = pocketvision.evaluate(from_folder.run, paths=new, labels=["disc"] * len(new))
    assert found.metrics.images == len(new) and found.class_names == CLASSES
    by_number = pocketvision.evaluate(from_folder.run, list(zip(new, [0] * len(new), strict=True)), labels=CLASSES)
    assert by_number.metrics.accuracy == found.metrics.accuracy
    with pytest.raises(UsageError, match=r"Unknown class .* 'disk'\. Did you mean disc"):
        pocketvision.evaluate(from_folder.run, paths=new, labels=["disk"] * len(new))


def test_what_can_not_be_learned_from_leaves_no_run(pictures: Path, tmp_path: Path) -> None:
    file = next(pictures.glob("disc/*.png"))
    for labels in (["disc", None], ["disc", "disc"]):
        with pytest.raises(UsageError):
            pocketvision.train(paths=[file, file], labels=labels, out=tmp_path / "run", **SETTINGS)
        assert not (tmp_path / "run").exists()
