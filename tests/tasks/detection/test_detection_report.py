"""The report of a detector, written and read in both languages, with pictures of what went wrong."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from coco_cases import NAMES, TASK, Case, drawn
from PIL import Image

from pocketvision.evaluation.evaluate import evaluate_records
from pocketvision.evaluation.report.record import RunRecord
from pocketvision.evaluation.report.render import render_report
from pocketvision.tasks.detection.answer import Detections
from pocketvision.tasks.detection.error_kinds import KINDS
from pocketvision.tasks.detection.mistakes import DetectionError, mistakes
from pocketvision.tasks.detection.report.pictures import SHOWN, THERE, WRONG, picture, worst_of_each_kind
from pocketvision.tasks.detection.truth import BoxLabels

CASE = drawn(2, images=14)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for place in range(len(CASE.truth) - 1):  # the last one is gone by now
        Image.new("RGB", (480, 480), (20, 20, 120)).save(folder / f"{place}.png")
    return folder


@pytest.mark.parametrize("lang", ["en", pytest.param("ko", marks=pytest.mark.slow)])
def test_the_page_holds_figures_curves_kinds_and_pictures(pictures: Path, lang: str) -> None:
    paths = [f"{place}.png" for place in range(len(CASE.truth))]
    found = evaluate_records({"detection": TASK}, {"detection": CASE.records}, root=pictures, paths=paths)
    page = render_report(RunRecord("cells", "today", (found,)), lang)
    for each in ("objects", "errors", "scores"):
        assert f'id="{each}"' in page
    for name in NAMES:
        assert f">{name}</th>" in page
    assert "border-style:dashed" in page  # the legend of the boxes
    assert page.count("<figure") >= 3 and page.count("data:image/webp") >= len(KINDS)

    figures = found.tasks["detection"].metrics.to_dict()
    assert f"{figures['ap50'] * 100:.1f}%" in page


def test_the_worst_of_each_kind_come_first_and_from_different_images(pictures: Path) -> None:
    paths = [f"{place}.png" for place in range(len(CASE.truth))]
    shown = worst_of_each_kind(mistakes(CASE.records, paths, TASK), pictures)
    assert list(shown) == list(KINDS)
    assert all(1 <= len(each) <= SHOWN and each[0].error.kind == kind for kind, each in shown.items())
    scores = [each.error.score or 0 for each in shown["background"]]
    assert scores == sorted(scores, reverse=True) and scores[0] > 0.3
    assert len({each.path for each in shown["background"]}) == SHOWN
    assert [each.data is None for each in shown["missed"]] == [each.path == "13.png" for each in shown["missed"]]


def test_a_picture_shows_the_box_in_its_middle(pictures: Path) -> None:
    error = DetectionError("background", "ant", (100, 200, 140, 240), 0.9)
    data = picture(pictures / "0.png", error)
    assert data is not None
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))).convert("RGB")).astype(int)
    # 2.5 times as large as the box, which is so 72 to 168 of 240 pixels.
    red = np.abs(image - WRONG).sum(axis=2) < 120
    rows, columns = np.nonzero(red)
    assert abs(rows.min() - 72) <= 2 and abs(rows.max() - 167) <= 2
    assert abs(columns.min() - 72) <= 2 and abs(columns.max() - 167) <= 2
    assert picture(pictures / "gone.png", error) is None


def test_what_is_there_is_dashed_and_the_window_stays_within_the_image(pictures: Path) -> None:
    """An object in the image's corner, and an answer beside it: both are whole in the picture, and all of it shows the image."""
    error = DetectionError("place", "ant", (0, 0, 40, 40), 0.9, "ant", (20, 30, 60, 70))
    data = picture(pictures / "0.png", error)
    assert data is not None
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))).convert("RGB")).astype(int)
    assert (np.abs(image[[-1, -1, 120], [-1, 0, -1]] - (20, 20, 120)).max(axis=1) < 12).all()
    red, green = (np.abs(image - colour).sum(axis=2) < 120 for colour in (WRONG, THERE))
    # 100 pixels of the image are 240: the answer goes from 0 to 96, the object from 48 to 144 and from 72 to 168.
    assert red[1, 10:60].mean() > 0.9  # its upper side is whole
    assert 0.3 < green[166, 49:143].mean() < 0.7  # of the object's lower one about a half
    assert abs(int(np.nonzero(green)[0].max()) - 167) <= 2 and abs(int(np.nonzero(green)[1].max()) - 143) <= 2


def test_a_perfect_detector_has_nothing_to_show(tmp_path: Path) -> None:
    truth = BoxLabels.of([([[0, 0, 50, 50]], [0]), ([[9, 9, 60, 60]], [1])], NAMES)
    answers = [
        Detections(NAMES, truth.boxes[[place]], np.array([0.9]), truth.classes[[place]].astype(np.int64))
        for place in range(2)
    ]
    records = Case(truth, answers).records
    found = evaluate_records({"detection": TASK}, {"detection": records}, root=tmp_path, paths=["a.png", "b.png"])
    metrics = found.tasks["detection"].metrics
    assert metrics.headline.value == 1 and metrics.headline.interval is None
    page = render_report(RunRecord("cells", "today", (found,)), "en")
    assert "data:image/webp" not in page and "100.0%" in page
