"""Boxes in, a detector out: trained on a cached pyramid, shipped, measured and asked, on drawn squares and discs."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from typer.testing import CliRunner

import pocketvision
from pocketvision.bundle import read_bundle
from pocketvision.cli.verbs import app
from pocketvision.tasks.detection.answer import Detections
from pocketvision.workflows.training_run import TrainResult

SIZE = 128

pytestmark = pytest.mark.slow  # a training of some 20 seconds


def drawn(folder: Path, count: int) -> Path:
    """Pictures of 160 x 120 with one to three red squares and blue discs of 24 to 48 pixels, as COCO says them."""
    random = np.random.default_rng(0)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    (folder / "images").mkdir(parents=True)
    for index in range(count):
        picture = Image.fromarray(random.integers(90, 160, (120, 160, 3), np.uint8))
        canvas, taken = ImageDraw.Draw(picture), list[tuple[int, int, int]]()
        for _ in range(int(random.integers(1, 4))):
            side = int(random.integers(24, 49))
            x, y = int(random.integers(0, 160 - side)), int(random.integers(0, 120 - side))
            if any(abs(x - a) < max(side, s) and abs(y - b) < max(side, s) for a, b, s in taken):
                continue
            taken.append((x, y, side))
            kind = int(random.integers(2))
            paint = (canvas.rectangle, canvas.ellipse)[kind]
            paint((x, y, x + side - 1, y + side - 1), fill=((220, 30, 30), (30, 30, 220))[kind])
            annotations.append({"image_id": index, "category_id": kind + 1, "bbox": [x, y, side, side]})
        picture.save(folder / "images" / f"{index}.png")
        images.append({"id": index, "file_name": f"{index}.png", "width": 160, "height": 120})
    for number, each in enumerate(annotations):
        each.update(id=number, area=each["bbox"][2] ** 2, iscrowd=0)
    categories = [{"id": 1, "name": "square"}, {"id": 2, "name": "disc"}]
    said = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(said), encoding="utf-8")
    return folder


@dataclass(frozen=True)
class Trained:
    data: Path
    result: TrainResult


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """80 steps of a head, and a few of the last stages too."""
    root = tmp_path_factory.mktemp("shapes")
    data = drawn(root / "shapes", 80)
    settings = ["phases.1.epochs=20", "phases.2.epochs=1", "batch=16", f"data.size={SIZE}", "cache.views=3"]
    return Trained(data, pocketvision.train(data, out=root / "run", settings=settings))


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
    settings += ["model.head=detr", "phases.1.lr=0.0002"]
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
