"""A run that goes on: with its data moved or renamed, with more epochs, after a report that could not be written."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from golden_pictures import SMALL_RUN, write_pictures
from safetensors.numpy import load_file

import pocketvision
from pocketvision.cli.main import main
from pocketvision.errors import UsageError
from pocketvision.progress import EpochEnded, Event
from pocketvision.workflows import training_run
from pocketvision.workflows.training_run import TrainResult

SETTINGS = {**SMALL_RUN, "epochs2": 2, "batch": 8, "test_share": 0.2}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "pictures"
    write_pictures(folder)
    return folder


@pytest.fixture(scope="module")
def unbroken(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return pocketvision.train(pictures, out=tmp_path_factory.mktemp("runs") / "unbroken", **SETTINGS)


@pytest.fixture
def finished(unbroken: TrainResult, tmp_path: Path) -> Path:
    """A copy of a finished run, to write into."""
    return Path(shutil.copytree(unbroken.run, tmp_path / "finished"))


def interrupted_run(data: Path, run: Path, tracker: str = "") -> TrainResult:
    def interrupt(event: Event) -> None:
        if isinstance(event, EpochEnded) and event.record.stage == 2:
            raise KeyboardInterrupt

    return pocketvision.train(data, out=run, on_event=interrupt, tracker=tracker, **SETTINGS)


def renamed(pictures: Path, folder: Path) -> Path:
    """The same pictures in another folder under names that sort the other way round."""
    for file in sorted(pictures.glob("*/*.png")):
        target = folder / file.parent.name / f"{99 - int(file.stem)}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    return folder


@pytest.mark.parametrize(
    "move",
    [lambda data, new: Path(shutil.copytree(data, new)), pytest.param(renamed, marks=pytest.mark.slow)],
    ids=["moved", "renamed"],
)
def test_a_run_goes_on_with_the_same_images_elsewhere_and_ends_as_an_unbroken_one(
    unbroken: TrainResult, pictures: Path, tmp_path: Path, move: Callable[[Path, Path], Path]
) -> None:
    data, run = Path(shutil.copytree(pictures, tmp_path / "data")), tmp_path / "run"
    interrupted_run(data, run)
    moved = move(data, tmp_path / "elsewhere")
    shutil.rmtree(data)
    with pytest.raises(UsageError, match=r"is not there\. If it was moved, say where to"):
        pocketvision.train(resume=run)
    result = pocketvision.train(moved, resume=run)
    expected, found = (load_file(folder / "bundle/model.safetensors") for folder in (unbroken.run, run))
    assert all((expected[name] == found[name]).all() for name in expected)
    assert {figure.text for figure in result.bundle.figures} == {figure.text for figure in unbroken.bundle.figures}
    assert json.loads((run / "run.json").read_text())["data"] == str(moved)


def test_other_images_are_refused_by_name(pictures: Path, tmp_path: Path) -> None:
    data, run = Path(shutil.copytree(pictures, tmp_path / "data")), tmp_path / "run"
    interrupted_run(data, run)
    (data / "disc/3.png").unlink()
    shutil.copy(data / "ring/1.png", data / "ring/second.png")
    with pytest.raises(UsageError, match=r"1 image gone or changed \(.*3\.png\); 1 image new or changed \(.*\.png\)"):
        pocketvision.train(resume=run)


def test_a_finished_run_has_nothing_to_do_and_keeps_everything(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (finished / "bundle/model.xml").write_text("an export")
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit) as ended:
        main(["train", "--resume", str(finished)])
    assert not ended.value.code
    printed = capsys.readouterr()
    assert "Nothing to do" in printed.err and ", test, 6 images" in printed.out
    assert f"Next: pocketvision predict {finished}" in printed.out
    assert before == {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    assert pocketvision.train(resume=finished, epochs2=1).to_dict()["unchanged"] is True


def test_a_finished_run_is_of_its_own_data_wherever_that_lies(pictures: Path, finished: Path, tmp_path: Path) -> None:
    moved = renamed(pictures, tmp_path / "moved")
    assert pocketvision.train(moved, resume=finished).unchanged
    next(moved.glob("*/*.png")).unlink()
    other = f"The data in {re.escape(str(moved))} is not what {re.escape(str(finished))} was started on: .*1 image gone"
    with pytest.raises(UsageError, match=other):
        pocketvision.train(moved, resume=finished)
    with pytest.raises(UsageError, match="no such file or folder"):
        pocketvision.train(tmp_path / "nowhere", resume=finished)


@pytest.mark.slow
def test_more_epochs_that_could_not_begin_or_end_are_not_taken_for_done(finished: Path) -> None:
    before = (finished / "run.json").read_bytes()
    with pytest.raises(UsageError, match="is not there"):
        pocketvision.train(finished.parent / "gone", resume=finished, epochs2=3)
    (finished.parent / "other/ring").mkdir(parents=True)
    with pytest.raises(UsageError):
        pocketvision.train(finished.parent / "other", resume=finished, epochs2=3)
    assert (finished / "run.json").read_bytes() == before

    class Killed(BaseException):
        pass

    def kill(event: Event) -> None:
        if isinstance(event, EpochEnded):
            raise Killed

    with pytest.raises(Killed):
        pocketvision.train(resume=finished, epochs2=3, on_event=kill)
    result = pocketvision.train(resume=finished)
    assert not result.unchanged and len(result.history) == 4


@pytest.mark.slow
def test_a_run_that_was_moved_itself_goes_on(pictures: Path, tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    interrupted_run(pictures, tmp_path / "run", "tensorboard")
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    result = pocketvision.train(resume=tmp_path / "elsewhere")
    assert result.run == tmp_path / "elsewhere" and not result.interrupted and len(result.history) == 3
    read = events.EventAccumulator(str(result.run / "tensorboard"))  # the run has kept its tracker
    read.Reload()
    told = [
        (f"phase{stage}", each.step, each.value) for stage in (1, 2) for each in read.Scalars(f"phase{stage}/val_loss")
    ]
    assert told == [(f"phase{each.stage}", each.epoch, pytest.approx(each.val_loss)) for each in result.history]


def test_more_epochs_keep_the_bundle_that_was_exported(finished: Path) -> None:
    from pocketvision.bundle import read_bundle, rewrite_bundle

    bundle = read_bundle(finished)
    rewrite_bundle(bundle, bundle.manifest, {"model.other": b"an export"})
    result = pocketvision.train(resume=finished, epochs2=3)
    assert not result.unchanged and len(result.history) == 4
    assert (finished / "bundle-1/model.other").read_bytes() == b"an export"
    assert any("model.other, is kept as" in note for note in result.notes)
    assert pocketvision.verify(finished / "bundle-1").images == 4


def test_a_report_that_can_not_be_written_takes_nothing_away(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no font")

    with monkeypatch.context() as patch:
        patch.setattr(training_run, "write_run_report", broken)
        options = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items()]
        with pytest.raises(SystemExit) as ended:
            main(["train", str(pictures), "--out", str(tmp_path / "run"), *options])
    printed = capsys.readouterr()
    assert ended.value.code == 1
    assert "The report can not be written: RuntimeError: no font. The bundle is whole" in " ".join(printed.err.split())
    assert "Test: accuracy" in printed.out and "Report:" not in printed.out
    assert pocketvision.verify(tmp_path / "run").images == 4
    assert not pocketvision.train(resume=tmp_path / "run").unchanged  # the report is made up for
    assert (tmp_path / "run/report.html").is_file()


@pytest.mark.slow
def test_a_run_of_one_process_goes_on_with_two(pictures: Path, tmp_path: Path, unbroken: TrainResult) -> None:
    """As torchrun starts them: losses are those of one process, and the first one alone writes and speaks."""
    run = tmp_path / "run"
    interrupted_run(pictures, run)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        "--standalone",
        "-m",
        "pocketvision",
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [*command, "train", "--resume", str(run)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("Bundle: ") == 1 and ended.stderr.count("Stage 2, epoch  2/2") == 1
    found, expected = (folder / "history.csv" for folder in (run, unbroken.run))
    losses = [
        [float(row[name]) for row in csv.DictReader(file.open()) for name in ("train_loss", "val_loss")]
        for file in (found, expected)
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert pocketvision.verify(run).images == 4
    events = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(each["stage"], each["epoch"]) for each in events if each["event"] == "epoch"] == [(1, 1), (2, 1), (2, 2)]
