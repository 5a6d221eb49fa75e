"""Boxes in, a detector out: trained on a cached pyramid, shipped, measured and asked, on drawn squares and discs."""

import json
from pathlib import Path

import numpy as np
import pytest
from drawn_objects import SIZE, Trained, trained_detector  # noqa: F401 (a fixture)
from PIL import Image, ImageDraw
from typer.testing import CliRunner

import pocketvision
from pocketvision.bundle import read_bundle
from pocketvision.cli.verbs import app
from pocketvision.tasks.detection.answer import Detections

pytestmark = pytest.mark.slow  # a training of some 20 seconds


@pytest.fixture
def trained(trained_detector: Trained) -> Trained:  # noqa: F811
    return trained_detector


def test_it_finds_objects_that_it_has_not_seen(trained: Trained) -> None:
    (evaluation,) = trained.result.evaluations
    figures = evaluation.to_dict()
    assert figures["ap50"] > 0.9 and figures["ap"] > 0.6
    first, last = trained.result.history[0], trained.result.best
    assert last.val_loss == pytest.approx(1 - figures["ap"], abs=0.05) and last.val_loss < first.val_loss
    assert last.val_accuracy == pytest.approx(figures["ap50"], abs=0.05)


def test_a_paper_s_head_finds_them_too(trained: Trained, tmp_path: Path) -> None:
    """SSDLite by SSD's loss, on the widened channels of the backbone; and what it had to beat is said."""
    settings = ["phases.1.epochs=20", "phases.2.epochs=1", "batch=16", f"data.size={SIZE}", "cache.views=3"]
    result = pocketvision.train(trained.data, out=tmp_path / "run", settings=[*settings, "model.head=ssd_lite"])
    assert result.evaluations[0].to_dict()["ap50"] > 0.9
    task = read_bundle(result.bundle.folder).tasks["detection"]
    assert (task.head, task.features) == ("ssd_lite", ("expansion5", "head_conv"))
    assert any(note.startswith("An answer that never looks") for note in result.notes)


@pytest.mark.parametrize("head", ["efficientdet_d0", "grid_one_to_one"])
def test_other_heads_find_them_too(trained: Trained, tmp_path: Path, head: str) -> None:
    settings = ["phases.1.epochs=20", "phases.2.epochs=0", "batch=16", f"data.size={SIZE}", "cache.views=3"]
    result = pocketvision.train(trained.data, out=tmp_path / "run", settings=[*settings, f"model.head={head}"])
    assert result.evaluations[0].to_dict()["ap50"] > 0.9
    kept = read_bundle(result.bundle.folder).tasks["detection"].postprocessing
    assert kept.get("nms", "class") == ("none" if head == "grid_one_to_one" else "class")


def test_detr_says_what_it_needs_and_begins_to_learn(trained: Trained, tmp_path: Path) -> None:
    """Far too short to find anything; what it says of the pictures that it learns from fits better all the same."""
    settings = ["phases.1.epochs=6", "phases.2.epochs=0", "batch=16", f"data.size={SIZE}", "cache.views=1"]
    settings += ["model.head=detr"]
    result = pocketvision.train(trained.data, out=tmp_path / "run", settings=settings)
    assert any("needs much data and long training" in note for note in result.notes)
    assert result.history[-1].train_loss < 0.8 * result.history[0].train_loss
    assert read_bundle(result.bundle.folder).tasks["detection"].postprocessing["nms"] == "none"


def test_the_bundle_says_what_it_is(trained: Trained) -> None:
    task = read_bundle(trained.result.bundle.folder).tasks["detection"]
    assert (task.kind, task.head, task.labels) == ("detection", "grid", ("square", "disc"))
    assert task.features == ("stride8", "stride16", "stride32")
    assert {*task.postprocessing["thresholds"]} == {*task.labels}
    preprocessing = trained.result.bundle.manifest.preprocessing
    assert (preprocessing.fit, preprocessing.crop_share, preprocessing.width) == ("pad", 1.0, SIZE)


def test_it_answers_in_the_pixels_of_the_picture(trained: Trained, tmp_path: Path) -> None:
    """A square where the network's input has padding and half the scale."""
    picture = Image.new("RGB", (320, 240), (125, 125, 125))
    ImageDraw.Draw(picture).rectangle((200, 100, 279, 179), fill=(220, 30, 30))
    picture.save(tmp_path / "one.png")
    found = pocketvision.load(trained.result.bundle.folder)(tmp_path / "one.png")
    assert isinstance(found, Detections)
    assert [found.labels[each] for each in found.classes] == ["square"]
    np.testing.assert_allclose(found.boxes[0], [200, 100, 280, 180], atol=16)


def test_it_is_evaluated_and_asked_from_the_shell(trained: Trained, tmp_path: Path) -> None:
    bundle = str(trained.result.bundle.folder)
    runner = CliRunner()
    figures, answers = tmp_path / "figures.json", tmp_path / "answers.csv"
    assert runner.invoke(app, ["evaluate", bundle, str(trained.data), "--json", str(figures)]).exit_code == 0
    said = json.loads(figures.read_text(encoding="utf-8"))
    assert said["ap50"] > 0.9 and {*said["per_class"]} == {"square", "disc"}
    assert runner.invoke(app, ["predict", bundle, str(trained.data / "images"), "--out", str(answers)]).exit_code == 0
    assert answers.read_text(encoding="utf-8").startswith("path,label,score,x1,y1,x2,y2")
