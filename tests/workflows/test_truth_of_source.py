"""A run whose source says more than classes keeps all of it: the split, what is made of it, and going on."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bright_spots.source import SPOTS, write_spots
from bright_spots.truth import Points
from golden_pictures import SMALL_RUN, write_pictures
from safetensors.numpy import load_file

import pocketvision
from pocketvision.bundle import read_bundle
from pocketvision.compression.bundle_images import calibration_images, measuring_images, write_splits
from pocketvision.data.samples import Samples
from pocketvision.data.sources.catalog import SOURCES, read_samples
from pocketvision.errors import UsageError
from pocketvision.progress import EpochEnded, Event, Note
from pocketvision.workflows.training_run import TrainResult

SETTINGS = {**SMALL_RUN, "epochs2": 1, "batch": 8, "test_share": 0.2}


@pytest.fixture(scope="module", autouse=True)
def spots() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SOURCES, "spots", SPOTS)
        yield


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 pictures with a class and points each, but the first, which has no class, and the second, which nobody looked at."""
    folder = tmp_path_factory.mktemp("spotted") / "pictures"
    write_pictures(folder)
    known: dict[str, dict[str, Any]] = {}
    for number, file in enumerate(sorted(folder.glob("*/*.png"))):
        points = None if number == 1 else [[number, place] for place in range(number % 4)]
        name = None if number == 0 else file.parent.name
        known[file.relative_to(folder).as_posix()] = {"class": name, "points": points}
    write_spots(folder, known)
    return folder


@pytest.fixture(scope="module")
def trained(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return pocketvision.train(pictures, out=tmp_path_factory.mktemp("runs") / "run", **SETTINGS)


def points_by_path(samples: Samples) -> dict[str, list[list[float]] | None]:
    truth = samples.truth["spots"]
    assert isinstance(truth, Points)
    return {
        path: truth.rows.row(index)["xy"].tolist() if truth.present[index] else None
        for index, path in enumerate(samples.paths)
    }


def test_the_split_has_all_the_truth_of_the_source(trained: TrainResult, pictures: Path) -> None:
    samples = read_samples(trained.run / "split.csv")
    source = points_by_path(read_samples(pictures))
    assert len(samples) == 29 and samples.splits is not None and set(samples.splits.tolist()) == {0, 1, 2}
    found = points_by_path(samples)
    assert found == {path: source[path] for path in found} and list(found.values()).count(None) == 1
    assert any("images without a class: 1 (such as disc/0.png)" in note for note in trained.notes)


def test_it_is_measured_and_compressed_on_its_own_split(trained: TrainResult, tmp_path: Path) -> None:
    bundle, table = read_bundle(trained.run), tmp_path / "images.csv"
    assert pocketvision.evaluate(trained.run, trained.run / "split.csv", split="test").metrics.accuracy == (
        trained.evaluations[-1].metrics.accuracy
    )
    judging, calibrating = (each(bundle, None, lambda _: None) for each in (measuring_images, calibration_images))
    assert not set(judging.files) & set(calibrating.files) and len(judging) + len(calibrating) == 23
    write_splits(bundle, None, table, lambda _: None)
    one, other = read_samples(trained.run / "split.csv"), read_samples(table)
    assert points_by_path(one) == points_by_path(other) and (one.splits == other.splits).all()  # type: ignore[union-attr]
    again = pocketvision.train(table, out=tmp_path / "again", **{**SETTINGS, "test_share": 0.0})
    kept = read_samples(again.run / "split.csv")
    assert points_by_path(kept) == points_by_path(one)


def weights(run: Path) -> dict[str, Any]:
    return load_file(run / "bundle/model.safetensors")


@pytest.mark.slow
def test_a_run_goes_on_where_its_source_was_moved_to(trained: TrainResult, pictures: Path, tmp_path: Path) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, EpochEnded) and event.record.stage == 1:
            raise KeyboardInterrupt

    data, run = Path(shutil.copytree(pictures, tmp_path / "data")), tmp_path / "run"
    pocketvision.train(data, out=run, on_event=interrupt, **SETTINGS)
    data = data.rename(tmp_path / "moved")
    mended = json.loads((data / "spots.json").read_text())
    mended["disc/5.png"]["points"] = [[9, 9]]
    write_spots(data, mended)
    with pytest.raises(UsageError, match=r"is not what .* was started on"):
        pocketvision.train(data, resume=run)
    shutil.copy(pictures / "spots.json", data)
    assert not pocketvision.train(data, resume=run).interrupted
    assert all(
        (one == other).all() for one, other in zip(weights(trained.run).values(), weights(run).values(), strict=True)
    )
    assert json.loads((run / "split.source.json").read_text())["source"] == str(data)


def test_labels_of_another_bundle_are_refused(trained: TrainResult, pictures: Path, tmp_path: Path) -> None:
    """Images of two bundles in one table: what one of them does not know is named, and nothing is measured."""
    table = tmp_path / "both.csv"
    rows = [
        f"{pictures}/{name}/3.png,{label}" for name, label in (("disc", "disc"), ("ring", "screw"), ("ring", "nut"))
    ]
    table.write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    told: list[Event] = []
    with pytest.raises(UsageError, match=r"Unknown class 'nut'\. Known: disc, ring, stripes\. \(and 1 more unknown\)"):
        pocketvision.evaluate(trained.run, table, on_event=told.append)
    assert not [each for each in told if not isinstance(each, Note)]
    with pytest.raises(UsageError, match="Unknown class"):
        measuring_images(read_bundle(trained.run), table, told.append)
