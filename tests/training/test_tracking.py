"""Trackers: TensorBoard's event files and MLflow's store on disk hold what a run's epochs came to, a resumed run's too."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from pocketvision.errors import MissingExtraError, UsageError
from pocketvision.progress import EpochRecord
from pocketvision.training import trackers
from pocketvision.training.trackers import TRACKERS, TrackerRow, tracker_names
from pocketvision.training.tracking import Tracking, figures

SETTINGS = {"optimizer.name": "adamw", "phases.1.epochs": "2"}


def record(stage: int, epoch: int) -> EpochRecord:
    """Of a run with boxes."""
    tasks = {"detection.loss": 0.3, "detection.AP50": epoch / 8}
    return EpochRecord(stage, epoch, 1 / epoch, 0.5, 2 / epoch, 0.6, 1e-3, 1.5, 20.0, tasks=tasks)


def tracked(folder: Path, names: Iterable[str], records: Iterable[EpochRecord]) -> list[str]:
    """What was said on the way of a run whose epochs were tracked."""
    notes: list[str] = []
    with Tracking(folder, list(names)) as tracking:
        tracking.start(SETTINGS, notes.append)
        for each in records:
            tracking.epoch(each)
    return notes


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "leaves"
    folder.mkdir(parents=True)
    return folder


def test_tensorboard_shows_the_epochs_of_a_run_and_of_its_resumption_as_one_series(run: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert tracked(run, ["tensorboard"], [record(1, 1), record(2, 1)]) == []
    assert tracked(run, ["tensorboard"], [record(2, 2), record(2, 3)]) == []
    read = events.EventAccumulator(str(run / "tensorboard"))
    read.Reload()
    series = [(each.step, each.value) for each in read.Scalars("phase2/val_loss")]
    assert series == [(1, 2.0), (2, 1.0), (3, pytest.approx(2 / 3))]
    assert [each.value for each in read.Scalars("phase2/detection.AP50")] == [0.125, 0.25, 0.375]
    assert [each.step for each in read.Scalars("phase1/lr")] == [1]
    (settings,) = run.glob("tensorboard/*/hparams.yml")  # once, though it was started twice
    assert "optimizer.name: adamw" in settings.read_text(encoding="utf-8")


@pytest.mark.slow
def test_mlflow_goes_on_in_the_same_run_of_a_store_beside_the_runs(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracked(run, ["mlflow"], [record(1, 1), record(2, 1)]) == []
    assert tracked(run, ["mlflow"], [record(2, 2)]) == []
    client = mlflow.MlflowClient((run.parent / "mlruns").as_uri())
    (experiment,) = client.search_experiments(filter_string="name = 'pocketvision'")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.run_name == "leaves" and found.info.status == "FINISHED"
    assert found.data.params == SETTINGS
    history = client.get_metric_history(found.info.run_id, "phase2/val_loss")
    assert [(each.step, each.value) for each in history] == [(1, 2.0), (2, 1.0)]
    assert found.data.metrics["phase2/detection.AP50"] == 0.25


class Recorded:
    """A tracker that keeps what it is told, or fails after some of it."""

    def __init__(self, most: int = 100) -> None:
        self.told: list[tuple[int | None, dict[str, float]]] = []
        self.most = most
        self.configured = self.finished = 0

    tracker = "its own run"

    def start(self) -> None:
        pass

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        assert values == SETTINGS
        self.configured += 1

    def log(self, values: dict[str, float], step: int | None = None) -> None:
        if len(self.told) == self.most:
            raise ConnectionError("no server")
        self.told.append((step, values))

    def finish(self) -> None:
        self.finished += 1


def test_a_run_goes_on_under_the_identity_that_the_tracker_gave_it(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str | None, Recorded]] = []

    def make(folder: Path, identity: str | None) -> Recorded:
        assert folder == run
        made.append((identity, Recorded()))
        return made[-1][1]

    monkeypatch.setitem(trackers.TRACKERS, "other", TrackerRow("other", (), make, lambda each: f"{each.tracker} 7"))  # type: ignore[arg-type]
    for epoch in (1, 2):
        assert tracked(run, ["other"], [record(1, epoch)]) == []
    assert [identity for identity, _ in made] == [None, "its own run 7"]
    assert [each.configured for _, each in made] == [1, 0]  # settings are told once
    assert [each.told for _, each in made] == [[(epoch, figures(record(1, epoch)))] for epoch in (1, 2)]
    assert all(each.finished == 1 for _, each in made)


def test_a_tracker_that_fails_is_told_of_once_and_the_run_goes_on(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing, whole = Recorded(most=1), Recorded()
    monkeypatch.setitem(trackers.TRACKERS, "failing", TrackerRow("x", (), lambda *_: failing))
    monkeypatch.setitem(trackers.TRACKERS, "whole", TrackerRow("x", (), lambda *_: whole))
    (note,) = tracked(run, ["failing", "whole"], [record(1, epoch) for epoch in (1, 2, 3)])
    assert "failing is not told any more: ConnectionError: no server" in note
    assert len(failing.told) == 1 and len(whole.told) == 3


def test_names_of_trackers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TRACKERS:
        monkeypatch.setitem(trackers.TRACKERS, name, TrackerRow(name, (), TRACKERS[name].make))
    assert tracker_names("wandb, tensorboard,wandb") == ["wandb", "tensorboard"]
    assert tracker_names(None) == tracker_names(()) == tracker_names("") == []
    with pytest.raises(UsageError, match=r"Unknown tracker 'tensorbord'\. Did you mean tensorboard\?"):
        tracker_names("tensorbord")
    monkeypatch.setitem(trackers.TRACKERS, "wandb", TrackerRow("wandb", ("no_such_package",), TRACKERS["wandb"].make))
    with pytest.raises(MissingExtraError, match=r'The tracker wandb needs the "wandb" extra\. .*pocketvision\[wandb\]'):
        tracker_names("wandb")


def test_weights_and_biases_stays_offline_in_the_runs_folder(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against accelerate's documented interface; its own package is not among those that the tests install."""
    pytest.importorskip("accelerate")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    made = TRACKERS["wandb"].make(run, "abc")
    assert made.run_name == "pocketvision"  # type: ignore[attr-defined]
    asked = made.init_kwargs  # type: ignore[attr-defined]
    assert asked == {"dir": str(run), "id": "abc", "name": "leaves", "resume": "allow", "mode": "offline"}
