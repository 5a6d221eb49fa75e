"""A model labels, a person corrects, a model learns: answers as data sets that tools read, and what became of them."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from square_detector import detector, write_pictures

import pocketvision
from pocketvision.bundle import Bundle
from pocketvision.cli.main import main
from pocketvision.data.box_writers.answers import Destination, answer_sink
from pocketvision.data.box_writers.catalog import WRITERS
from pocketvision.data.boxes import changes as changes_file
from pocketvision.data.boxes.changes import partners_of
from pocketvision.data.sources.catalog import read_samples
from pocketvision.errors import UsageError
from pocketvision.runtime.predictor import ImageResult
from pocketvision.tasks.detection.truth import BoxLabels
from pocketvision.tasks.task import Detail

RED, BLUE = range(2)
CELLS = [[(RED, 0, 1), (BLUE, 3, 2)], [(BLUE, 1, 1)], [], [(RED, 2, 2), (RED, 0, 2)]]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return detector(tmp_path_factory.mktemp("detector") / "bundle")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Four pictures, one of them turned by EXIF, and a file that is none."""
    folder = tmp_path / "pictures"
    write_pictures(folder, CELLS)
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(folder / "3.png") as image:
        image.rotate(90, expand=True).save(folder / "3.png", exif=exif)
    (folder / "broken.png").write_bytes(b"none")
    return folder


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, arguments)))
    return int(ended.value.code or 0)


def by_name(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    samples = read_samples(folder)
    truth = samples.truth["detection"]
    assert isinstance(truth, BoxLabels)
    rows = map(truth.rows.row, range(len(samples)))
    return {
        Path(path).name: sorted(
            zip([truth.class_names[each] for each in row["classes"]], map(tuple, row["boxes"].tolist()), strict=True)
        )
        for path, row in zip(samples.paths, rows, strict=True)
    }


@pytest.mark.parametrize("target", WRITERS)
def test_answers_come_back_as_boxes(
    bundle: Bundle, pictures: Path, tmp_path: Path, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "labels"
    assert run("predict", bundle.folder, pictures, "--to", target, "--out", out) == 1  # one can not be read
    said = capsys.readouterr().err
    assert f"4 images with 5 boxes, as {target}" in said and "1 picture that nobody looked at" in said
    assert ("Not said: scores" in said) != WRITERS[target].scores
    answers = tmp_path / "answers.jsonl"
    pocketvision.predict(bundle.folder, [pictures], out=answers)
    wanted = {}
    for line in map(json.loads, answers.read_text(encoding="utf-8").splitlines()):
        if line["error"] is None:
            objects = line["answers"]["detection"]["objects"]
            wanted[Path(line["path"]).name] = sorted((each["label"], tuple(each["box"])) for each in objects)
    found = by_name(out)
    assert found.keys() == wanted.keys()
    for name, boxes in wanted.items():
        assert [label for label, _ in found[name]] == [label for label, _ in boxes]
        for (_, one), (_, other) in zip(found[name], boxes, strict=True):
            np.testing.assert_allclose(one, other, atol=0.01)
    assert run("check", out) in (0, 1)
    told = capsys.readouterr().out
    assert "4 images in 2 classes, 4 readable" in told and ("confident boxes" in told) == WRITERS[target].scores


def test_scores_are_kept_where_they_can_be(bundle: Bundle, pictures: Path, tmp_path: Path) -> None:
    """A folder called like a format says which it is."""
    pocketvision.predict(bundle.folder, [pictures], out=tmp_path / "coco")
    document = json.loads((tmp_path / "coco/annotations/instances.json").read_text())
    assert [each["score"] for each in document["annotations"]] == pytest.approx([1.0] * 5, abs=0.03)
    pocketvision.predict(bundle.folder, [pictures], out=tmp_path / "labelme")
    shapes = json.loads((tmp_path / "labelme/images/0.json").read_text())["shapes"]
    assert [each["score"] for each in shapes] == pytest.approx([1.0, 1.0], abs=0.03)


def test_what_a_person_changed_is_told(
    bundle: Bundle, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Corrected in another tool, which keeps whole numbers: one is new, one gone, one moved, one renamed."""
    pocketvision.predict(bundle.folder, [pictures], out=tmp_path / "labels", to="coco")
    pocketvision.predict(bundle.folder, [pictures], out=tmp_path / "corrected", to="labelme")
    folder = tmp_path / "corrected/images"

    def corrected(name: str) -> Any:
        return json.loads((folder / name).read_text())

    first, last, background = corrected("0.json"), corrected("3.json"), corrected("2.json")
    red, blue = first["shapes"]
    red["points"] = [[x + 5, y + 0.6] for x, y in red["points"]]
    blue["label"] = "green"
    background["shapes"] = [{**red, "points": [[4, 4], [30, 31]]}]
    del last["shapes"][0]
    for name, document in (("0.json", first), ("2.json", background), ("3.json", last)):
        (folder / name).write_text(json.dumps(document))
    Image.new("L", (9, 9)).save(folder / "new.png")

    assert run("check", tmp_path / "labels", tmp_path / "corrected", "--json", tmp_path / "changes.json") == 0
    said = capsys.readouterr().out
    assert "4 images in both; 5 boxes became 5, 2 (40%) as they were." in said
    assert "1 image only in the second, such as images/new.png: not compared." in said
    assert "images/0.png: 'blue' is 'green' at 96, 32, 128, 64" in said
    told = json.loads((tmp_path / "changes.json").read_text())
    assert {kind: each["count"] for kind, each in told["changes"].items()} == dict.fromkeys(
        ("added", "removed", "moved", "renamed"), 1
    )
    assert told["changes"]["added"]["example"] == {
        "image": "images/2.png",
        "was": None,
        "now": "red",
        "before": None,
        "after": [4, 4, 30, 31],
    }
    moved = told["changes"]["moved"]["example"]
    assert np.subtract(moved["after"], moved["before"]) == pytest.approx([5, 0.6, 5, 0.6], abs=0.01)
    assert told["per_class"]["red"] == {"kept": 1, "added": 1, "removed": 1, "moved": 1, "renamed": 0}
    assert told["per_class"]["blue"]["renamed"] == 1 and told["kept"] == 2
    same = pocketvision.changes(tmp_path / "labels", tmp_path / "labels")
    assert same.kept == same.before == same.after == 5 and not any(same.counts.values())


@pytest.mark.parametrize("target", WRITERS)
def test_a_model_that_found_nothing_is_compared_too(
    bundle: Bundle, pictures: Path, tmp_path: Path, target: str
) -> None:
    for name, picture in (("nothing", "2.png"), ("something", "0.png")):
        shutil.copytree(pictures, tmp_path / name, ignore=lambda _, names, kept=picture: {*names} - {kept})
    (tmp_path / "something/0.png").rename(tmp_path / "something/2.png")
    summary = pocketvision.predict(bundle.folder, [tmp_path / "nothing"], out=tmp_path / "before", to=target)
    assert "Nothing was found" in summary.notes[-1]
    pocketvision.predict(bundle.folder, [tmp_path / "something"], out=tmp_path / "after", to=target)
    found = pocketvision.changes(tmp_path / "before", tmp_path / "after")
    assert (found.before, found.after, found.counts["added"]) == (0, 2, 2)
    assert pocketvision.changes(tmp_path / "after", tmp_path / "before").counts["removed"] == 2
    with pytest.raises(UsageError, match="none of its 1 images has any box, so there is nothing to learn"):
        pocketvision.check(tmp_path / "before")


def test_only_pictures_of_one_name_are_compared(bundle: Bundle, pictures: Path, tmp_path: Path) -> None:
    (pictures / "deep").mkdir()
    shutil.copy(pictures / "0.png", pictures / "deep/0.png")
    pocketvision.predict(bundle.folder, [pictures], out=tmp_path / "coco")
    assert (tmp_path / "coco/images/0_2.png").is_file()
    write_pictures(tmp_path / "others", [CELLS[0]])
    (tmp_path / "others/0.png").rename(tmp_path / "others/9.png")
    pocketvision.predict(bundle.folder, [tmp_path / "others"], out=tmp_path / "yolo")
    with pytest.raises(UsageError, match=r"no image of the same name.*images/0.png and images/9.png are their first"):
        pocketvision.changes(tmp_path / "coco", tmp_path / "yolo")
    with pytest.raises(UsageError, match=r"classification|detection"):
        pocketvision.changes(tmp_path / "coco", pictures)


def test_boxes_around_one_object_are_partners(monkeypatch: pytest.MonkeyPatch) -> None:
    """The box that overlaps most, and of those alike the one of its class; thousands of boxes in parts."""
    monkeypatch.setattr(changes_file, "_PAIRS", 100_000)
    boxes = np.array([[0.0, 0, 10, 10], [0, 0, 10, 10], [3, 0, 13, 10]])
    found = partners_of(boxes, ["a", "b", "b"], np.array([[0.0, 0, 10, 10], [0, 0, 10, 10]]), ["b", "a"])
    assert found.tolist() == [1, 0, -1]
    corner = np.random.default_rng(0).random((2000, 2)) * 1500
    many = np.concatenate([corner, corner + 4], axis=1)
    order = np.random.default_rng(1).permutation(len(many))
    assert (order[partners_of(many, ["a"] * 2000, many[order], ["a"] * 2000)] == np.arange(2000)).all()
    none = np.zeros((0, 4))
    assert (
        partners_of(none, [], many, ["a"] * 2000).tolist() == []
        and (partners_of(many[:3], ["a"] * 3, none, []) < 0).all()
    )


def test_results_have_the_numbers_of_a_coco_file(
    bundle: Bundle, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = {
        "images": [{"id": 70 + n, "file_name": f"photos\\{n}.png"} for n in (0, 3)],
        "categories": [{"id": 5, "name": "blue"}, {"id": 2, "name": "green"}],
        "annotations": [],
    }
    (tmp_path / "instances.json").write_text(json.dumps(document))
    out = tmp_path / "results.json"
    assert run("predict", bundle.folder, pictures, "--out", out, "--ids", tmp_path / "instances.json") == 1
    (only,) = json.loads(out.read_text())
    assert only == {"image_id": 70, "category_id": 5, "bbox": [96, 32, 32, 32], "score": pytest.approx(1, abs=0.03)}
    said = capsys.readouterr().err
    assert "Left out: 3 images that the file of --ids does not name." in said
    assert "Left out: objects of 1 class that the file of --ids does not name (red)." in said
    assert run("predict", bundle.folder, pictures, "--out", out) == 1
    assert "Images are numbered from 1" in capsys.readouterr().err
    counts = Counter(each["image_id"] for each in json.loads(out.read_text()))
    assert counts == {1: 2, 2: 1, 4: 2}
    (tmp_path / "instances.json").write_text('{"images": [], "categories": []}')
    assert run("predict", bundle.folder, pictures, "--out", out, "--ids", tmp_path / "instances.json") == 2
    assert run("predict", bundle.folder, pictures / "2.png", "--out", out) == 0 and json.loads(out.read_text()) == []


def test_what_can_not_be_written_is_refused_before_the_work(
    tiny_bundle: Bundle, pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    for options, message in (
        ({"out": tmp_path / "full", "to": "yolo"}, "nothing is ever overwritten"),
        ({"out": tmp_path / "new", "to": "yollo"}, "Did you mean yolo"),
        ({"to": "voc"}, "need a folder: --out FOLDER"),
        ({"out": tmp_path / "labels.txt"}, "with --to coco, yolo, voc, labelme"),
        ({"out": tmp_path / "a.csv", "ids": tmp_path / "x.json"}, "give --out FILE.json"),
    ):
        with pytest.raises(UsageError, match=message):
            pocketvision.predict(tmp_path / "no bundle", [pictures], **options)
    with pytest.raises(UsageError, match="a folder takes masks, and this bundle answers classification"):
        pocketvision.predict(tiny_bundle.folder, [pictures], out=tmp_path / "labels")
    for out in ("new", "new.json"):
        with pytest.raises(UsageError, match="this model answers classification"):
            pocketvision.predict(tiny_bundle.folder, [pictures], out=tmp_path / out, to=None if "." in out else "coco")
    assert not (tmp_path / "new").exists() and not (tmp_path / "new.json").exists()


def test_an_end_before_the_end_leaves_what_was_answered(bundle: Bundle, pictures: Path, tmp_path: Path) -> None:
    def stopped(row: ImageResult) -> None:
        if row.path.endswith("1.png"):
            raise KeyboardInterrupt

    for name in ("voc", "results.json"):
        with pytest.raises(KeyboardInterrupt) as ended:
            pocketvision.predict(bundle.folder, [pictures], out=tmp_path / name, on_row=stopped)
        assert ended.value.__notes__
    assert {name: len(boxes) for name, boxes in by_name(tmp_path / "voc").items()} == {"0.png": 2, "1.png": 1}
    assert len(json.loads((tmp_path / "results.json").read_text())) == 3


def test_pictures_without_a_file_and_names_that_xml_can_not_hold(bundle: Bundle, tmp_path: Path) -> None:
    with answer_sink(Destination(tmp_path / "out", "coco"), bundle.tasks, Detail()) as sink, pytest.raises(UsageError):
        sink.write(ImageResult("-"))
    write_pictures(tmp_path / "odd", CELLS[:2])
    (tmp_path / "odd/1.png").rename(tmp_path / "odd/1\x01.png")
    with pytest.raises(UsageError, match="XML can not hold"):
        pocketvision.predict(bundle.folder, [tmp_path / "odd"], out=tmp_path / "voc")
    assert [*by_name(tmp_path / "voc")] == ["0.png"]
