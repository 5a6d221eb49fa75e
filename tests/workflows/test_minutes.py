"""train --minutes: what it plans stands in the recipe, repeats, resumes, and is kept to; what is too little is refused."""

from pathlib import Path
from typing import Any

import pytest
from golden_pictures import SMALL_RUN, write_pictures
from safetensors.numpy import load_file

import pocketvision
from pocketvision.cli.main import main
from pocketvision.errors import UsageError
from pocketvision.progress import EpochEnded, Event, OnEvent, Planned
from pocketvision.training.deadline import Deadline
from pocketvision.training.pace import Pace
from pocketvision.training.recipe_file import read_recipe
from pocketvision.training.run_folder import RunFolder, RunSettings
from pocketvision.workflows.training_run import TrainResult

SETTINGS = {**SMALL_RUN, "batch": 8, "test_share": 0.2}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "pictures"
    write_pictures(folder)
    return folder


SECONDS = 150.0


@pytest.fixture(scope="module")
def slowed(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """Of a training that was given 20 minutes, and each of whose last epochs then seemed to take 150 s."""
    deadline = Deadline(20)

    def slow(event: Event) -> None:
        if isinstance(event, EpochEnded) and event.record.stage == 2:
            object.__setattr__(deadline, "began", deadline.began - SECONDS)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pace, "epoch", lambda _, __, ended=None: None if ended is None else SECONDS)
        out = tmp_path_factory.mktemp("runs") / "slowed"
        return pocketvision.train(pictures, out=out, minutes=deadline, on_event=slow, **SETTINGS)


def same_weights(one: Path, other: Path) -> bool:
    a, b = load_file(one / "bundle" / "model.safetensors"), load_file(other / "bundle" / "model.safetensors")
    return a.keys() == b.keys() and all((a[name] == b[name]).all() for name in a)


@pytest.mark.slow
def test_a_plan_that_takes_longer_is_shortened_and_both_are_said(slowed: TrainResult) -> None:
    phase = read_recipe(slowed.run).phases[1]
    assert phase.replanned and phase.replanned[:2] == (1, 60) and 3 <= phase.epochs <= 9 and phase.patience == 60
    assert [record.epoch for record in slowed.history if record.stage == 2] == [*range(1, phase.epochs + 1)]
    said = " ".join(slowed.notes)
    assert (
        "Planned for 20 minutes" in said and "It ends early" in said and "Planned anew after 1 epoch of phase 2" in said
    )
    rates = [record.lr for record in slowed.history if record.stage == 2]
    assert rates == sorted(rates, reverse=True) and rates[-1] < 0.3 * rates[0]


@pytest.mark.slow
def test_it_repeats_by_its_recipe_without_measuring(slowed: TrainResult, pictures: Path, tmp_path: Path) -> None:
    planned: list[Event] = []
    again = pocketvision.train(
        pictures,
        out=tmp_path / "again",
        recipe=slowed.run,
        on_event=lambda event: planned.append(event) if isinstance(event, Planned) else None,
    )
    assert len(planned) == 1 and same_weights(slowed.run, again.run)
    assert read_recipe(again.run).phases == read_recipe(slowed.run).phases


@pytest.mark.slow
def test_a_run_that_was_broken_off_goes_on_with_its_plan(pictures: Path, tmp_path: Path) -> None:
    """Before the plan was made it is made; afterwards it stands, and the end is that of an unbroken run."""

    def interrupt_at(kind: type) -> OnEvent:
        def interrupt(event: Event) -> None:
            if isinstance(event, kind) and (kind is not EpochEnded or event.record.stage == 2):  # type: ignore[attr-defined]
                raise KeyboardInterrupt

        return interrupt

    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        pocketvision.train(pictures, out=run, minutes=20, on_event=interrupt_at(Planned), **SETTINGS)
    assert RunSettings.read(RunFolder(run)).minutes == 20
    broken = pocketvision.train(resume=run, on_event=interrupt_at(EpochEnded))
    assert broken.interrupted and RunSettings.read(RunFolder(run)).minutes is None
    plan = read_recipe(run).phases
    assert plan[1].epochs == 60
    ended = pocketvision.train(resume=run)
    assert read_recipe(run).phases == plan and len(ended.history) == 61
    unbroken = pocketvision.train(pictures, out=tmp_path / "unbroken", recipe=run)
    assert same_weights(run, unbroken.run)


@pytest.mark.slow
def test_too_few_minutes_say_the_least_and_leave_no_run(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"--minutes 0\.02 is too few .* least that would do is about 0\.\d+ .*reading"
    ):
        pocketvision.train(pictures, out=tmp_path / "run", minutes=0.02, **SETTINGS)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"epochs2": 3}, r"--epochs2 and --minutes contradict each other"),
        ({"settings": {"phases.2.epochs": 3}}, r"--set phases\.2\.epochs and --minutes contradict each other"),
        ({"minutes": 0}, r"--minutes is 0; expected a number above 0"),
    ],
)
def test_what_contradicts_a_plan_is_refused(pictures: Path, tmp_path: Path, more: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        pocketvision.train(pictures, out=tmp_path / "run", **{"minutes": 5, **SETTINGS, **more})
    assert not (tmp_path / "run").exists()


def test_a_run_that_goes_on_takes_no_minutes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["train", "--resume", str(tmp_path), "--minutes", "5"])
    assert ended.value.code == 2
    assert "leave --minutes out" in capsys.readouterr().err
