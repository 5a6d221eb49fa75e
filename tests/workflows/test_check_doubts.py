"""check --label-problems --bundle, from the command to a table that is read again: boxes and masks."""

import csv
from pathlib import Path

import colour_segmenter
import numpy as np
import pytest
import square_detector
from PIL import Image

from pocketvision.cli.verbs import run_verb
from pocketvision.data.learned_from import NEAR, SAME, UNSEEN, Matches
from pocketvision.data.sources.catalog import read_samples
from pocketvision.errors import PocketVisionError, UsageError
from pocketvision.evaluation.doubts import shared_out
from pocketvision.runtime.predictor import Predictor
from pocketvision.workflows.check import check

HEADER = ("path", "label", "x1", "y1", "x2", "y2", "split")


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    """Nine pictures with two squares each, and wrong labels: of the first one lacks, of the second one is called otherwise, on
    the third is nothing where one is. The last one is empty."""
    truth = square_detector.write_pictures(tmp_path / "pictures", [[(0, 0, 1), (1, 2, 2)]] * 9 + [[]])
    rows: list[list[object]] = [[*HEADER]]
    for number in range(10):
        boxes, names = truth.rows.row(number)["boxes"].tolist(), ["red", "blue"]
        if number == 0:
            boxes = boxes[:1]
        if number == 1:
            names = ["blue", "blue"]
        if number == 2:
            boxes, names = [*boxes, [96, 0, 128, 32]], ["red", "blue", "red"]
        split = "val" if number == 3 else "train"
        rows += [[f"{number}.png", name, *box, split] for name, box in zip(names, boxes, strict=False)]
        rows += [] if boxes else [[f"{number}.png", *[""] * 5, split]]
    with (tmp_path / "boxes.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return tmp_path / "boxes.csv"


def test_a_mended_table_is_read_as_boxes(squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, out, pictures = (
        square_detector.detector(tmp_path / "bundle").folder,
        tmp_path / "out",
        tmp_path / "pictures",
    )
    asked = ["check", str(squares), "--images", str(pictures), "--label-problems", str(out), "--bundle", str(bundle)]
    assert run_verb(asked) == 1  # the pictures are all alike, in two splits
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "Of 18 boxes 2 may be wrong (0 loose, 1 wrongly named, 1 not an object), and 1 object may have no box" in said
    )
    assert "is not known" in said and str(out / "detection.csv") in said
    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.count("<img alt=") == 3 and "blue, rather red" in page and "http" not in page
    before, same = (read_samples(file, images=pictures) for file in (squares, out / "detection.csv"))
    assert sorted(map(before.said, range(10))) == sorted(map(same.said, range(10)))  # unmended it says what was said
    assert dict(zip(before.paths, before.splits, strict=True)) == dict(zip(same.paths, same.splits, strict=True))

    with (out / "detection.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = {row["problem"]: row for row in rows if row["problem"]}
    assert {kind: row["path"][-5:] for kind, row in found.items()} == {
        "missing": "0.png",
        "wrongly named": "1.png",
        "not an object": "2.png",
    }
    found["wrongly named"]["label"] = found["wrongly named"]["suggested"]
    for name in ("label", "x1", "y1", "x2", "y2"):
        found["missing"][name] = found["missing"]["suggested" if name == "label" else f"suggested_{name}"]
    rows.remove(found["not an object"])
    with (tmp_path / "mended.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    truth = read_samples(tmp_path / "mended.csv", images=pictures).truth["detection"]
    assert truth.box_counts().tolist() == [9, 9]
    with pytest.raises(UsageError, match="never overwritten"):
        run_verb(asked)


def test_masks_are_told_by_place(tmp_path: Path) -> None:
    bundle = colour_segmenter.segmenter(tmp_path / "bundle").folder
    (mask, *_) = colour_segmenter.write_pictures(tmp_path / "data")
    wrong = mask.copy()
    wrong[12:36, 16:48] = (mask[12:36, 16:48] + 1) % 3
    Image.fromarray(wrong).save(tmp_path / "data" / "masks" / "0.png")
    found = check(tmp_path / "data", label_problems=tmp_path / "out", bundle=str(bundle))
    assert "of 1 of 3 masks may be drawn wrong" in found.label_problems[0]
    with (tmp_path / "out" / "segmentation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows and {row["path"].rpartition("/")[2] for row in rows} == {"0.png"}
    left, top, right, bottom = (int(rows[0][name]) for name in ("x_from", "y_from", "x_to", "y_to"))
    assert 14 <= left < right <= 50 and 10 <= top < bottom <= 38
    assert colour_segmenter.LABELS.index(rows[0]["drawn"]) in wrong[top:bottom, left:right]
    assert (tmp_path / "out" / "index.html").read_text(encoding="utf-8").count("<img alt=") == len(rows)


def test_each_image_is_judged_by_one_that_has_not_seen_it() -> None:
    def learned(rows: list[int], kind: int = SAME, split: int = 0) -> Matches:
        kinds = np.full(4, UNSEEN, np.int8)
        kinds[rows] = kind
        return Matches(kinds, np.where(kinds == UNSEEN, -1, split).astype(np.int8))

    judge, known = shared_out([learned([0, 1, 3]), learned([2, 3], NEAR)], 4)
    assert (judge.tolist(), known.tolist()) == ([1, 1, 0, 0], [0, 0, 0, 1])
    judge, known = shared_out([None, learned([0])], 4)
    assert (judge.tolist(), known.tolist()) == ([0, 1, 1, 1], [-1, 0, 0, 0])
    _, known = shared_out([learned([0, 1], split=1)], 4)  # what only chose the epoch is new to the weights
    assert known.tolist() == [0] * 4


def test_what_can_not_be_judged_is_refused(squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, pictures, out = (
        square_detector.detector(tmp_path / "bundle").folder,
        tmp_path / "pictures",
        tmp_path / "out",
    )
    other = colour_segmenter.segmenter(tmp_path / "other").folder
    with pytest.raises(UsageError, match=r"add --bundle BUNDLE"):
        check(squares, images=pictures, label_problems=out)
    with pytest.raises(UsageError, match="Name that folder too"):
        check(squares, images=pictures, bundle=bundle)
    with pytest.raises(UsageError, match=r"it has detection, and the bundle answers segmentation"):
        check(squares, images=pictures, label_problems=out, bundle=other)
    with pytest.raises(UsageError, match="other classes for detection"):
        check(squares, images=pictures, label_problems=out, bundle=[bundle, other])
    broken = Predictor._together

    def answer(*given: object) -> object:
        rows = broken(*given)  # type: ignore[arg-type]
        rows[0].outputs["scores"][:] = np.nan
        return rows

    monkeypatch.setattr(Predictor, "_together", answer)
    with pytest.raises(PocketVisionError, match=r"0\.png: the model's answer is not finite"):
        check(squares, images=pictures, label_problems=out, bundle=bundle)
