"""train, end to end on real pictures: what a run holds, that it repeats, breaks off well, resumes, and takes what it is given."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

import pocketvision
from pocketvision.data.demo_faces import TEASING, demo_partition
from pocketvision.data.splits import write_split_csv
from pocketvision.errors import TrainingError, UsageError
from pocketvision.models.catalog import ARCHITECTURES
from pocketvision.progress import Counted, EpochEnded, Event
from pocketvision.workflows.training_run import TrainResult


def same_weights(one: Path, other: Path) -> bool:
    a, b = load_file(one / "bundle" / "model.safetensors"), load_file(other / "bundle" / "model.safetensors")
    return a.keys() == b.keys() and all((a[name] == b[name]).all() for name in a)


def test_a_run_holds_everything(trained: TrainResult) -> None:
    names = {path.relative_to(trained.run).as_posix() for path in trained.run.rglob("*")}
    assert {
        "report.html",
        "metrics.json",
        "history.csv",
        "log.jsonl",
        "split.csv",
        "audit.json",
        "run.json",
        "plots/learning_curves.png",
        "plots/confusion_matrix.png",
        "plots/probability_distribution.png",
        "stage1/best.safetensors",
        "stage2/best.safetensors",
        "bundle/manifest.json",
        "bundle/model.onnx",
    } <= names
    assert "cache" not in names  # gone with the training that needed it
    events = [json.loads(line) for line in (trained.run / "log.jsonl").read_text().splitlines()]
    assert [event["epoch"] for event in events if event["event"] == "epoch"] == [1, 2, 3, 1, 2]
    assert json.loads((trained.run / "run.json").read_text())["status"] == "finished"


def test_the_split_keeps_the_shares_and_both_classes(trained: TrainResult) -> None:
    with (trained.run / "split.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 48
    for split, low, high in (("train", 24, 33), ("val", 7, 12), ("test", 7, 12)):
        labels = [row["label"] for row in rows if row["split"] == split]
        assert low <= len(labels) <= high
        assert set(labels) == {"teasing", "non_teasing"}


def test_the_bundle_answers_as_it_was_measured(trained: TrainResult) -> None:
    validation, test = trained.evaluations
    assert (validation.name, validation.selection) == ("validation", True)
    assert (test.name, test.selection) == ("test", False)
    again = pocketvision.evaluate(trained.bundle.folder, trained.run / "split.csv", split="test")
    assert again.metrics.accuracy == test.metrics.accuracy
    assert (again.metrics.confusion_matrix == test.metrics.confusion_matrix).all()
    predictor = pocketvision.load(trained.bundle.folder)
    for path, probabilities in zip(test.paths, test.probabilities, strict=True):
        answer = predictor(test.root / path)
        assert answer.probabilities == pytest.approx(probabilities, abs=1e-5)
    assert pocketvision.verify(trained.bundle.folder).max_probability_difference < 1e-3
    agreement = trained.bundle.manifest.agreement["model.onnx"]
    assert agreement["images"] == len(validation.labels)
    assert agreement["max_probability_difference"] <= 1e-3
    assert agreement["top1_agreement"] == 1.0
    measured = trained.bundle.task.metrics
    assert measured["selection"]["accuracy"] == validation.metrics.accuracy
    assert measured["test"]["accuracy"] == test.metrics.accuracy == trained.bundle.figures[0].value
    baselines = trained.bundle.manifest.baseline
    assert {name: each.split for name, each in baselines.items()} == {"confidence": "val", "brightness": "val"}
    sure = (validation.probabilities.max(axis=1) > 0.9).sum()
    assert sum(baselines["confidence"].counts[9:]) == sure and baselines["brightness"].images == len(validation.labels)


def test_no_file_names_of_the_training_ship_in_the_bundle(trained: TrainResult, photos: Path) -> None:
    manifest = (trained.bundle.folder / "manifest.json").read_text()
    assert str(photos) not in manifest
    assert "-noto.png" not in manifest


def test_the_same_seed_repeats_bit_by_bit_and_an_interrupted_run_ends_there_too(
    trained: TrainResult, photos: Path, tiny_training: dict[str, Any], tmp_path: Path
) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, EpochEnded) and (event.record.stage, event.record.epoch) == (2, 1):
            raise KeyboardInterrupt

    run = tmp_path / "run"
    broken = pocketvision.train(photos, out=run, test_share=0.2, on_event=interrupt, **tiny_training)
    assert broken.interrupted
    assert len(broken.history) == 4
    assert pocketvision.verify(broken.bundle.folder).images > 0
    assert any("--resume" in note for note in broken.notes)
    resumed = pocketvision.train(resume=run)
    assert not resumed.interrupted
    assert len(resumed.history) == 5
    assert same_weights(resumed.run, trained.run)


def test_resume_refuses_other_settings_and_other_data(trained: TrainResult, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"epochs and lr of its phases, .* can change, not --seed"):
        pocketvision.train(resume=trained.run, seed=5)
    with pytest.raises(UsageError, match="is not a run"):
        pocketvision.train(resume=tmp_path)


def test_resume_notices_that_the_data_changed(photos: Path, tiny_training: dict[str, Any], tmp_path: Path) -> None:
    import shutil

    data, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(photos, data)

    def stop_early(event: Event) -> None:
        if isinstance(event, Counted) and event.step == "cache":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pocketvision.train(data, out=run, on_event=stop_early, **tiny_training)
    next((data / "teasing").glob("*.png")).unlink()
    with pytest.raises(UsageError, match=r"is not what .* was started on"):
        pocketvision.train(resume=run)


@pytest.mark.slow
def test_the_cached_and_the_plain_way_agree_on_the_demo_data(tmp_path: Path) -> None:
    table = tmp_path / "faces.csv"
    write_split_csv(table, demo_partition(TEASING, 0).training_samples())
    accuracy = {}
    for cache in (True, False):
        result = pocketvision.train(
            table, out=tmp_path / f"cache-{cache}", cache=cache, size=64, epochs1=4, epochs2=1, views=3
        )
        accuracy[cache] = result.evaluations[0].metrics.accuracy
    # 57 validation pictures: within their sampling error (two standard errors of a share of 0.8).
    assert abs(accuracy[True] - accuracy[False]) <= 0.11
    assert min(accuracy.values()) > 0.6


def test_broken_files_are_skipped_with_a_line_each(photos: Path, tiny_training: dict[str, Any], tmp_path: Path) -> None:
    import shutil

    data = tmp_path / "data"
    shutil.copytree(photos, data)
    (data / "teasing" / "notes.jpg").write_text("not a picture")
    whole = next((data / "teasing").glob("*.png")).read_bytes()
    (data / "teasing" / "half.png").write_bytes(whole[: len(whole) // 2])
    (data / "non_teasing" / "empty.png").write_bytes(b"")
    once = tiny_training | {"epochs1": 1, "epochs2": 0, "views": 1}
    result = pocketvision.train(data, out=tmp_path / "run", balance_to=25, class_weights="balanced", **once)
    skipped = [note for note in result.notes if note.startswith("Skipped")]
    assert len(skipped) == 3
    assert any("notes.jpg" in note for note in skipped)
    assert any("half.png" in note and "truncated" in note for note in skipped)
    assert any("3 of 51 files can not be read" in note for note in result.notes)
    page = (result.run / "report.html").read_text(encoding="utf-8")
    assert "half.png" in page
    assert [record.stage for record in result.history] == [1]


@pytest.mark.slow
def test_views_beyond_the_cache_limit_are_given_up_aloud(
    photos: Path, tiny_training: dict[str, Any], tmp_path: Path
) -> None:
    many = tiny_training | {"epochs1": 1, "epochs2": 0, "views": 60, "unfreeze": 4, "cache_limit": 0.003}
    result = pocketvision.train(photos, out=tmp_path / "run", **many)
    assert any("holds" in note and "views an image, not 60" in note for note in result.notes)


def test_a_full_disk_while_caching_is_a_clear_error(
    photos: Path, tiny_training: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from pocketvision.training import trunk_cache

    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(trunk_cache, "replacing", full)
    with pytest.raises(TrainingError, match=r"No space left on device.*Free some space"):
        pocketvision.train(photos, out=tmp_path / "run", **tiny_training)


@pytest.mark.slow
def test_training_works_under_the_spawn_start_method(
    photos: Path, small_network: dict[str, str], tmp_path: Path
) -> None:
    script = tmp_path / "spawned.py"
    script.write_text(
        "import json, multiprocessing, sys\n"
        "import pocketvision\n"
        "if __name__ == '__main__':\n"
        "    multiprocessing.set_start_method('spawn')\n"
        "    network = json.loads(sys.argv[3])\n"
        "    pocketvision.train(\n"
        "        sys.argv[1], out=sys.argv[2], size=64, epochs1=1, epochs2=0, views=1, cache=False, **network\n"
        "    )\n"
    )
    finished = subprocess.run(
        [sys.executable, str(script), str(photos), str(tmp_path / "run"), json.dumps(small_network)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "run" / "bundle" / "manifest.json").is_file()


@pytest.mark.slow
def test_a_run_keeps_the_rows_it_was_given_as_a_file(photos: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps(ARCHITECTURES["small_cnn"].to_dict()))
    options = {"model": str(rows), "weights": "none", "size": 32, "unfreeze": 1, "batch": 8, "views": 2}
    first = pocketvision.train(photos, out=tmp_path / "run", epochs1=1, epochs2=1, **options)
    assert first.bundle.preprocessing.height == 32
    rows.write_text("{}")  # whatever becomes of the file
    resumed = pocketvision.train(resume=tmp_path / "run", epochs2=2)
    assert [record.epoch for record in resumed.history] == [1, 1, 2]
    assert json.loads((tmp_path / "run/architecture.json").read_text())["name"] == "small_cnn"
