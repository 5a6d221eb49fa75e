"""A table of boxes by other names, with all sorts of pictures, from `train` to labels by a model and back to `train`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import pocketvision
from pocketvision.cli.verbs import app
from pocketvision.progress import silent
from pocketvision.training.recipe import Recipe
from pocketvision.training.run_folder import RunFolder, RunSettings
from pocketvision.training.run_log import RunLog
from pocketvision.training.training_data import prepare_data
from pocketvision.workflows import train as train_file
from pocketvision.workflows.training_run import TrainResult

COLUMNS = ("--path-column", "file", "--label-column", "what", "--box-columns", "l,t,r,b")


def table(folder: Path, thousands: int) -> Path:
    """Noise with a bright square or two in each of 40 pictures, five of a place; backgrounds, a picture of one pixel, one of one
    column, and one with thousands of boxes."""
    random = np.random.default_rng(0)
    lines = ["file,what,l,t,r,b"]
    for number in range(40):
        pixels = random.integers(0, 90, (48, 64, 3), np.uint8)
        name = f"place{number // 5}/{number}.png"
        for kind in range(number % 3):
            left, top = (int(random.integers(0, side)) for side in (40, 24))
            pixels[top : top + 20, left : left + 20, kind] = 250
            lines.append(f"{name},{'red' if kind == 0 else 'green'},{left},{top},{left + 20},{top + 20}")
        lines += [f"{name},,,,,"] if number % 3 == 0 else []
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name)
    for name, size in (("one.png", (1, 1)), ("column.png", (1, 3000)), ("many.png", (640, 480))):
        Image.fromarray(random.integers(0, 255, (*size[::-1], 3), np.uint8)).save(folder / name)
        count = thousands if name == "many.png" else 1
        corners = [(place % 100 * 6, place // 100 * 8) for place in range(count)]
        lines += [f"{name},red,{x},{y},{min(x + 7, size[0])},{min(y + 9, size[1])}" for x, y in corners]
    (folder / "boxes.csv").write_text("\n".join(lines))
    return folder / "boxes.csv"


def test_train_keeps_the_names_of_the_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for a run that goes on; without them nothing is said of boxes."""
    asked: list[RunSettings] = []

    def run(folder: RunFolder, settings: RunSettings, *_: Any) -> TrainResult:
        settings.write(folder)
        asked.append(RunSettings.read(folder))
        raise KeyboardInterrupt

    monkeypatch.setattr(train_file, "run_training", run)
    data = table(tmp_path, 10)
    for number, more in enumerate((COLUMNS, COLUMNS[:4])):
        CliRunner().invoke(app, ["train", str(data), "--out", str(tmp_path / f"run{number}"), *more])
    assert [each.columns.get("box_columns") for each in asked] == [["l", "t", "r", "b"], None]


@dataclass(frozen=True)
class Trained:
    data: Path
    result: TrainResult


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("boxes")
    data = table(folder / "data", 3000)
    settings = [
        "phases.1.epochs=3",
        "phases.2.epochs=1",
        "batch=8",
        "data.size=64",
        "cache.views=2",
        "data.test_share=0.2",
    ]
    result = pocketvision.train(
        data,
        path_column="file",
        label_column="what",
        box_columns=["l", "t", "r", "b"],
        group=r"place(\d+)/",
        out=folder / "run",
        settings=settings,
    )
    return Trained(data, result)


@pytest.mark.slow
def test_it_learns_from_all_of_them_and_says_how_they_were_split(trained: Trained) -> None:
    (note,) = [each for each in trained.result.notes if each.startswith("Split by image")]
    assert "Kept together: 8 sets of duplicates or of one group." in note
    page = trained.result.report.read_text(encoding="utf-8")
    assert "Split by image, by the classes" in page and "Kept together: 8 sets" in page
    losses = [row.val_loss for row in trained.result.history]
    assert np.isfinite(losses).all()


@pytest.mark.slow
def test_evaluate_reads_the_columns_too(trained: Trained, tmp_path: Path) -> None:
    bundle, figures = str(trained.result.bundle.folder), str(tmp_path / "figures.json")
    runner = CliRunner()

    def evaluated(*options: object) -> tuple[int, str]:
        ended = runner.invoke(app, ["evaluate", bundle, *map(str, options), "--json", figures])
        return ended.exit_code, f"{ended.output}{ended.exception!r}"

    assert evaluated(trained.data, *COLUMNS)[0] == 0, evaluated(trained.data, *COLUMNS)[1]
    assert evaluated(trained.data, *COLUMNS[:4])[0] != 0
    again = trained.result.run / "split.csv", "--split", "test"
    assert evaluated(*again)[0] == 0, evaluated(*again)[1]


@pytest.mark.slow
def test_what_the_model_labels_is_trained_on_again(trained: Trained, tmp_path: Path) -> None:
    """Labelled for LabelMe, compared with what a person had said, and learned from."""
    labels = tmp_path / "labels"
    summary = pocketvision.predict(trained.result.bundle.folder, [trained.data.parent], to="labelme", out=labels)
    assert summary.images == 43 and summary.failed == 0
    columns = {"path_column": "file", "label_column": "what", "box_columns": ["l", "t", "r", "b"]}
    person = pocketvision.convert(trained.data, to="coco", out=tmp_path / "person", **columns)
    assert person.images == 43
    found = pocketvision.changes(labels, tmp_path / "person")
    assert found.images == 43 and found.after == person.boxes
    assert found.kept + found.counts["moved"] + found.counts["renamed"] + found.counts["added"] == found.after
    log = RunLog(tmp_path / "log.jsonl", silent)
    for data in (labels, tmp_path / "person"):
        read = prepare_data(
            data, Recipe(), labels=None, columns={}, images=None, recorded=None, log=log, on_event=silent
        )
        assert {*read.samples.class_names} <= {"red", "green"} and len(read.samples) == 43
