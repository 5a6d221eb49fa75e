"""predict and stream with a second model that looks at what was found, and with tasks on and off."""

import csv
import json
from pathlib import Path

import pytest
from square_detector import detector, write_pictures

from pocketvision.bundle import Bundle
from pocketvision.cli.main import main
from pocketvision.errors import UsageError
from pocketvision.streaming.lines import StreamAnswer
from pocketvision.streaming.task_switch import TaskSwitch
from pocketvision.tasks.detection.answer import Detections
from pocketvision.workflows.predict import predict
from pocketvision.workflows.stream import Smoothing, stream


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return detector(tmp_path_factory.mktemp("found") / "bundle")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "pictures", [[(0, 0, 1), (1, 2, 2)], [(0, 3, 1)], [(1, 1, 1)]])
    return tmp_path / "pictures"


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def lines(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def said(file: Path) -> list[list[str | None]]:
    return [
        [each.get("then", {}).get("classification", {}).get("label") for each in row["answers"]["detection"]["objects"]]  # type: ignore[index]
        for row in lines(file)
    ]


def test_the_command_cuts_out_and_goes_on(
    found: Bundle, tiny_bundle: Bundle, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    look = ("--then", tiny_bundle.folder, "--of", "red", "--margin", "0.1")
    assert run("predict", found.folder, pictures, *look, "--out", tmp_path / "rows.jsonl") == 0
    assert said(tmp_path / "rows.jsonl") == [["red", None], ["red"], [None]]
    assert (
        run("predict", found.folder, pictures, *look, "--out", tmp_path / "rows.csv", "--draw", tmp_path / "drawn") == 0
    )
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["then"].split()[0] if row["then"] else "" for row in rows] == ["red", "", "red", ""]
    assert len(list((tmp_path / "drawn").iterdir())) == 3
    assert run("stream", found.folder, "--source", pictures, *look, "--jsonl", tmp_path / "frames.jsonl") == 0
    assert said(tmp_path / "frames.jsonl") == said(tmp_path / "rows.jsonl")
    capsys.readouterr()
    assert run("predict", found.folder, pictures / "0.png", *look) == 0
    assert "1 red, 1 blue\tred 9" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--then", "CLASSIFIER", "--of", "rod"), "Did you mean red?"),
        (("--then", "CLASSIFIER", "--margin", "1.5"), "less than or equal to 1"),
        (("--margin", "0.1"), "give --then BUNDLE as well"),
        (("--of", "red"), "give --then BUNDLE as well"),
        (("--then", "CLASSIFIER", "--then", "OTHER"), "--then is given 2 times"),
        (("--tasks", "boxes"), "Unknown task 'boxes'. Known: detection."),
        (("--detail", "detection.min_scor=0.4"), "Did you mean min_score?"),
        (("--detail", "detection.min_score=2"), "expected a number from 0 to 1"),
        (("--detail", "min_score=2"), "expected TASK.NAME=VALUE"),
        (("--detail", "boxes.min_score=1"), "Unknown task 'boxes'"),
    ],
)
def test_what_can_not_be_asked(
    found: Bundle,
    shared_bundle: Bundle,
    pictures: Path,
    options: tuple[str, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [str(shared_bundle.folder) if each == "CLASSIFIER" else each for each in options]
    for verb in (("predict", found.folder, pictures), ("stream", found.folder, "--source", pictures)):
        assert run(*verb, *given) == 2
        assert message in " ".join(capsys.readouterr().err.split())


def test_a_classifier_finds_nothing_that_could_be_cut_out(shared_bundle: Bundle, pictures: Path) -> None:
    with pytest.raises(UsageError, match="Only what finds objects can be followed"):
        predict(shared_bundle.folder, [pictures], then=shared_bundle.folder)


def test_details_go_by_task(found: Bundle, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    predict(found.folder, [pictures], out=out, details={"detection": {"min_score": 1.0}}, tasks=["detection"])
    assert said(out) == [[], [], []]


def test_followed_objects_keep_what_was_said(found: Bundle, tiny_bundle: Bundle, pictures: Path) -> None:
    shown: list[StreamAnswer] = []
    stream(
        found.folder,
        pictures / "0.png",
        then=tiny_bundle.folder,
        smoothing=Smoothing("majority"),
        on_answer=shown.append,
    )
    (answer,) = (each.shown["detection"] for each in shown)
    assert answer.tracks.tolist() == [1, 2] and [word.split()[0] for word in answer.said] == ["red", "파랑"]


def test_a_stream_is_switched_while_it_runs(found: Bundle, tiny_bundle: Bundle, pictures: Path) -> None:
    switch, counts = TaskSwitch(), list[int]()

    def show(shown: StreamAnswer) -> None:
        answer = shown.answer.answers["detection"]
        assert isinstance(answer, Detections)
        counts.append(len(answer))
        switch.take({"tasks": ["nothing"]})  # told in the log
        switch.take({"tasks": "detection"})
        with pytest.raises(UsageError, match="Unknown task 'boxes'"):
            switch.set(["boxes"])
        switch.set(["detection"], {"detection": {"min_score": 1.0}})

    summary = stream(
        found.folder,
        "test-pattern",
        fps=50,
        seconds=1,
        then=tiny_bundle.folder,
        switch=switch,
        on_answer=show,
        details={"detection": {"min_score": 0.0, "most": 3}},
    )
    assert summary.answered > 1 and counts[0] == 3 and counts[-1] == 0
    early = TaskSwitch()
    early.set(["boxes"])
    with pytest.raises(UsageError, match="Unknown task 'boxes'"):
        stream(found.folder, pictures, switch=early)
