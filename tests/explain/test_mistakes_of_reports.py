"""What a report shows beside its mistakes."""

from pathlib import Path

import numpy as np
from seeing import LABELS

from pocketvision.bundle import Bundle
from pocketvision.evaluation.evaluation import Evaluation
from pocketvision.explain.embeddings import Embedded
from pocketvision.explain.mistake_pictures import MOST, MistakePictures
from pocketvision.explain.subject import Subject
from pocketvision.explain.training_pictures import looking_of
from pocketvision.workflows.evaluate import evaluate


def labelled(folder: Path, picture: Path) -> Path:
    """The one picture under every class's name: two of three answers are wrong."""
    for name in LABELS:
        (folder / name).mkdir(parents=True)
        (folder / name / f"{name}.png").write_bytes(picture.read_bytes())
    return folder


def test_a_report_has_the_map_beside_each_mistake(mapped: Bundle, picture: Path, tmp_path: Path) -> None:
    data = labelled(tmp_path / "data", picture)
    found: Evaluation = evaluate(mapped.folder, data, out=tmp_path / "out", lang="ko")
    page = (tmp_path / "out" / "report.html").read_text()
    assert len(found.mistakes) == 2
    assert page.count('<div class="looked">') == 2
    assert page.count("<figcaption>모델이 본 곳: ") == 2
    assert "지도 2개" in page


def test_neighbours_of_what_was_kept_and_no_more_than_enough(plain: Bundle, picture: Path) -> None:
    subject = Subject.of(plain)
    kept = Embedded((picture, Path("gone.png")), ("left", "right"), np.eye(2, 24, dtype=np.float32))
    looking = MistakePictures(subject, picture.parent, None, kept)
    found = looking(picture.name)
    assert found is not None and found.map == "" and len(found.near) == 2
    assert {each.name: bool(each.data) for each in found.near} == {"left": True, "right": False}
    assert looking(picture.name) is found
    assert looking("nowhere.png") is None and looking.believed() is None
    for place in range(MOST):
        looking(f"{place}.png")
    (picture.parent / "late.png").write_bytes(picture.read_bytes())
    assert looking("late.png") is None


def test_a_bundle_that_can_not_be_looked_into_has_a_report_all_the_same(shared_bundle: Bundle, picture: Path) -> None:
    """It has no weights for PyTorch, no map, and no run."""
    assert looking_of(shared_bundle, picture.parent)(picture.name) is None
