"""diagnose on a run, and on what is none."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pocketvision.cli.main import main
from pocketvision.errors import UsageError
from pocketvision.workflows.diagnose import diagnose

if TYPE_CHECKING:
    from pocketvision.workflows.training_run import TrainResult


def test_every_question_is_answered_with_evidence(trained: "TrainResult", capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["diagnose", str(trained.run), "--json", "-"])
    assert not ended.value.code
    found = json.loads(capsys.readouterr().out)["findings"]
    assert {each["about"] for each in found} == {
        "too few epochs",
        "loss running away",
        "waiting for data",
        "over- and underfitting of classification",
        "confused classes of classification",
        "input size for classification",
        "dead channels",
        "vanishing or exploding gradients",
        "more pictures for classification",
    }
    for each in found:
        assert each["evidence"].endswith(".") and (each["level"] in ("fine", "unknown") or each["step"])


def test_the_bundle_of_a_run_stands_for_it(trained: "TrainResult") -> None:
    assert diagnose(trained.bundle.folder, pictures=10).run == trained.run


def test_what_is_no_finished_run_is_refused(trained: "TrainResult", tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is not a run: it has no run\.json"):
        diagnose(tmp_path / "nothing")
    with pytest.raises(UsageError, match="--pictures is 3; expected 10 or more"):
        diagnose(trained.run, pictures=3)
    run = tmp_path / "run"
    shutil.copytree(trained.run, run, ignore=shutil.ignore_patterns("bundle"))
    with pytest.raises(UsageError, match=r"is not finished .* --resume"):
        diagnose(run)
    settings = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**settings, "format_version": 99}))
    with pytest.raises(UsageError, match="is of format 99, and this PocketVision reads formats up to"):
        diagnose(run)


def test_a_run_whose_pictures_are_gone_is_refused(trained: "TrainResult", tmp_path: Path) -> None:
    run = shutil.copytree(trained.run, tmp_path / "elsewhere" / "run")
    lines = (run / "split.csv").read_text().splitlines()
    gone = [lines[0], *(f"gone/{number}.png,{line.split(',', 1)[1]}" for number, line in enumerate(lines[1:]))]
    (run / "split.csv").write_text("\n".join(gone))
    with pytest.raises(UsageError):
        diagnose(run)
