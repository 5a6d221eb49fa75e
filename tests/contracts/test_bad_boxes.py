"""Pictures with boxes that went wrong, through the verbs: each is counted, or refused with what to do, and nothing breaks."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data.boxes.drawn_sets import DRAWN_SETS, SETS, SIZE, coco, pictures, voc, yolo
from PIL import Image
from square_detector import detector

import pocketvision
from pocketvision.bundle import Bundle, write_bundle
from pocketvision.cli.main import main
from pocketvision.data.augment import AUGMENTATIONS
from pocketvision.data.boxes.problems import PROBLEMS
from pocketvision.errors import PocketVisionError, UsageError
from pocketvision.preprocessing import Preprocessing
from pocketvision.progress import Event, Note
from pocketvision.tasks.detection.truth import DETECTION, BoxLabels
from pocketvision.training.inputs import ImageViews
from pocketvision.training.recipe import Recipe
from pocketvision.training.run_log import RunLog
from pocketvision.training.setting_values import changed
from pocketvision.training.training_data import TrainingData, prepare_data

FOUND_LATER = {
    "near_repeated_boxes",
    "conflicting_boxes",
    "one_class_in_nearly_all",
    "rare_classes",
    "crowds",
    "small_objects",
    "near_leak",
    "group_leak",
    "class_not_in_train",
}
"""Kinds of findings that are none of the files of boxes themselves."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Finds red and blue squares."""
    return detector(tmp_path_factory.mktemp("detector") / "bundle")


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, arguments)))
    return int(ended.value.code or 0)


def told_by_check(data: Path, *options: object) -> dict[str, dict[str, Any]]:
    """The findings by kind; each has a count, an example or a file, and a way out."""
    out = data.with_name(f"{data.name}.audit.json")
    assert run("check", data, "--json", out, *options) in (0, 1)
    findings = json.loads(out.read_text())["findings"]
    for each in findings:
        assert each["count"] >= 1 and len(each["message"]) < 1000, each
        assert ". " in each["message"] or each["kind"] not in {*PROBLEMS, *FOUND_LATER}, each
    return {each["kind"]: each for each in findings}


def data_of_training(data: Path, tmp_path: Path, **options: Any) -> tuple[TrainingData, list[str]]:
    """What `train` reads, audits and splits before anything learns, and its notes."""
    notes: list[str] = []

    def note(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(event.text)

    chosen = {"labels": None, "columns": {}, "images": None, "recorded": None, **options}
    recipe = changed(Recipe(seed=1), {"data.workers": 0})
    return prepare_data(data, recipe, log=RunLog(tmp_path / "log.jsonl", note), on_event=note, **chosen), notes


def noise(file: Path, size: tuple[int, int] = SIZE, seed: int | None = None, **save: Any) -> None:
    random = np.random.default_rng(abs(hash(file.name)) % 2**32 if seed is None else seed)
    small = Image.fromarray(random.integers(0, 256, (4, 4, 3), np.uint8))
    file.parent.mkdir(parents=True, exist_ok=True)
    small.resize(size, Image.Resampling.BICUBIC).save(file, **save)


def messy(folder: Path) -> Path:
    """A COCO set with nearly all that can be wrong in one; its classes are those of the detector."""
    names = [f"{number}.png" for number in range(30)]
    for number, name in enumerate(names):
        noise(folder / "images" / name, seed=number)
    exif = Image.Exif()
    exif[0x0112] = 6
    noise(folder / "images/turned.png", exif=exif)
    noise(folder / "images/large.png", (2000, 1500), compress_level=0)
    noise(folder / "images/loose.png", seed=77)
    (folder / "images/29.png").unlink()
    images = [{"id": number, "file_name": name, "width": 48, "height": 40} for number, name in enumerate(names)]
    images += [
        {"id": 40, "file_name": "turned.png"},
        {"id": 41, "file_name": "large.png"},
        {"id": 42, "file_name": "3.png"},
    ]
    images[5] |= {"width": 96, "height": 80}
    boxes: list[tuple[int, list[Any], dict[str, Any]]] = [(number, [2, 2, 20, 20], {}) for number in range(29)]
    boxes += [
        (1, [60, 1, 5, 5], {}),  # outside
        (2, [1, 1, 0, 5], {}),  # without area
        (3, [30, 20, -20, -15], {}),  # corners the wrong way round
        (4, [40, 30, 20, 20], {}),  # over the border
        (5, [10, 10, 80, 60], {}),  # of a picture of another size
        (6, [1, 1, "x", 5], {}),
        (7, [float("nan"), 1, 9, 9], {}),
        (8, [2, 2, 20, 20], {}),  # twice
        (9, [2, 2, 20.5, 20], {}),  # nearly
        (10, [2, 2, 20, 20], {"category_id": 9}),  # of another class
        (11, [1, 1, 30, 30], {"iscrowd": 1}),
        (12, [5, 5, 9, 9], {"category_id": 77}),
        (99, [5, 5, 9, 9], {}),
        (13, [5, 5, 9, 9], {"score": 0.25}),
        (40, [1, 1, 45, 5], {}),
        *((41, [10 + 15 * number, 10, 9, 9], {}) for number in range(5)),
    ]
    document = {
        "images": images,
        "categories": [
            {"id": 1, "name": "red"},
            {"id": 9, "name": "blue"},
            {"id": 9, "name": "twice"},
            {"id": 10, "name": "unused"},
        ],
        "annotations": [
            {"id": number, "image_id": image, "category_id": 1, "bbox": bbox, **more}
            for number, (image, bbox, more) in enumerate(boxes)
        ],
    }
    document["annotations"] += [{"image_id": 14, "category_id": 1, "bbox": [0.25, 0.25, 0.5, 0.5]}]
    document["annotations"] = [
        each for each in document["annotations"] if each["image_id"] != 14 or each["bbox"][0] < 1
    ]
    (folder / "boxes.json").write_text(json.dumps(document))
    return folder


MESSY = {
    "missing_images": 1,
    "unlisted_images": 1,
    "repeated_images": 1,
    "unknown_category": 1,
    "repeated_category": 1,
    "unused_classes": 1,
    "category_gaps": 1,
    "box_outside": 1,
    "no_area": 1,
    "reversed_corners": 1,
    "beyond_border": 1,
    "unreadable_box": 2,
    "size_differs": 1,
    "repeated_boxes": 1,
    "box_of_no_image": 1,
    "turned_images": 1,
    "shares_as_pixels": 1,
    "confident_boxes": 1,
    "near_repeated_boxes": 1,
    "conflicting_boxes": 1,
    "one_class_in_nearly_all": 1,
    "rare_classes": 1,
    "crowds": 1,
    "small_objects": 1,
}


def test_check_tells_of_all_that_is_wrong(tmp_path: Path) -> None:
    found = told_by_check(messy(tmp_path / "messy"))
    many = {"one_class_in_nearly_all", "small_objects"}
    assert {kind: 1 if kind in many else found[kind]["count"] for kind in MESSY if kind in found} == MESSY
    assert "29.png" in found["missing_images"]["message"] and found["missing_images"]["severity"] == "error"


def test_train_evaluate_and_convert_go_on_with_what_is_right(bundle: Bundle, tmp_path: Path) -> None:
    data, notes = data_of_training(messy(tmp_path / "messy"), tmp_path)
    truth = data.samples.truth[DETECTION]
    assert isinstance(truth, BoxLabels) and truth.class_names == ("red", "blue") and len(data.samples) == 32
    sides = truth.boxes[:, 2:] - truth.boxes[:, :2]
    assert (sides > 0).all() and np.isfinite(truth.boxes).all()
    assert any("listed and not there" in note for note in notes) and any(
        "outside the picture" in note for note in notes
    )
    assert run("evaluate", bundle.folder, tmp_path / "messy", "--json", tmp_path / "figures.json") == 0
    assert json.loads((tmp_path / "figures.json").read_text())["objects"] > 20
    written = pocketvision.convert(tmp_path / "messy", to="yolo", out=tmp_path / "clean")
    assert written.images == 32 and any("listed and not there" in line for line in written.lines)
    again = {*told_by_check(tmp_path / "clean")} & {*PROBLEMS}
    assert again <= {"unsure_turn"}, again  # a format that says no sizes


def test_the_other_rows_of_the_audit(tmp_path: Path) -> None:
    """Those that only some formats can have; together with MESSY they are all."""
    seen = {*MESSY}
    place = yolo(tmp_path)
    (place / "labels/train/0.txt").write_text("0 24 20 24 10")
    seen |= {*told_by_check(place)}
    place = DRAWN_SETS["labelme"](tmp_path)
    document = json.loads((place / "0.json").read_text())
    document["shapes"].append({"label": "a", "points": [[1, 2]], "shape_type": "point"})
    (place / "0.json").write_text(json.dumps(document))
    seen |= {*told_by_check(place)}
    place = DRAWN_SETS["label-studio"](tmp_path)
    tasks = json.loads((place / "export.json").read_text())
    tasks[1]["annotations"] *= 2
    (place / "export.json").write_text(json.dumps(tasks))
    seen |= {*told_by_check(place)}
    place = coco(tmp_path / "unsure")
    exif = Image.Exif()
    exif[0x0112] = 6
    noise(place / "images/0.png", (48, 48), exif=exif)
    seen |= {*told_by_check(place)}
    place = voc(tmp_path / "splits")
    noise(place / "JPEGImages/0.png")
    shutil.copy(place / "JPEGImages/0.png", place / "JPEGImages/near.png")
    with Image.open(place / "JPEGImages/0.png") as image:
        image.save(place / "JPEGImages/near.png", compress_level=1, dpi=(72, 72))
        image.resize((46, 38)).resize(SIZE).save(place / "JPEGImages/4.png")
    (place / "ImageSets/Main").mkdir(parents=True)
    names = [file.stem for file in sorted((place / "JPEGImages").iterdir())]
    for number, stem in enumerate(names[1:3]):  # augmented copies of one picture
        for folder, suffix in (("JPEGImages", "png"), ("Annotations", "xml")):
            (place / folder / f"{stem}.{suffix}").rename(place / folder / f"x_png.rf.{number:032x}.{suffix}")
    names[1:3] = [f"x_png.rf.{number:032x}" for number in range(2)]
    text = (place / "Annotations/7.xml").read_text()
    new = "<object><name>new</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>"
    (place / "Annotations/7.xml").write_text(text.replace("</annotation>", f"{new}</annotation>"))
    (place / "ImageSets/Main/train.txt").write_text("\n".join(names[:2]))
    (place / "ImageSets/Main/val.txt").write_text("\n".join(names[2:]))
    seen |= {*told_by_check(place)}
    assert {*PROBLEMS, *FOUND_LATER} - seen == set()


def test_no_box_at_all_is_refused_by_every_verb(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = coco(tmp_path)
    document = json.loads((place / "boxes.json").read_text())
    (place / "boxes.json").write_text(json.dumps({**document, "annotations": []}))
    for arguments in (
        ("check", place),
        ("train", place, "--out", tmp_path / "run"),
        ("convert", place, "--to", "yolo", "--out", tmp_path / "out"),
    ):
        assert run(*arguments) == 2
        assert "none of its 8 images has any box, so there is nothing to learn" in capsys.readouterr().err
    assert not (tmp_path / "run").exists() and not (tmp_path / "out").exists()
    assert run("evaluate", bundle.folder, place) == 1
    assert "None of the 8 images has any object, so there is nothing to measure." in capsys.readouterr().err


def test_a_class_that_training_never_saw(bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = voc(tmp_path)
    (place / "ImageSets/Main").mkdir(parents=True)
    text = (place / "Annotations/6.xml").read_text()
    (place / "Annotations/6.xml").write_text(text.replace("<name>b<", "<name>new<").replace("<name>a<", "<name>new<"))
    for name, images in (("train", "0\n1\n2\n3"), ("val", "4\n5"), ("test", "6\n7")):
        (place / f"ImageSets/Main/{name}.txt").write_text(images)
    found = told_by_check(place)["class_not_in_train"]
    assert found["severity"] == "error" and "new: no image in train" in found["message"]
    assert run("train", place, "--out", tmp_path / "run") == 2
    assert "its training split has no images of new" in (said := capsys.readouterr().err) and "Move images" in said
    assert run("evaluate", bundle.folder, place) == 2
    assert "Unknown class" in capsys.readouterr().err


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 3000), (12_000, 9), pytest.param((12_000, 12_000), marks=pytest.mark.slow)]
)
def test_pictures_of_any_size(size: tuple[int, int], bundle: Bundle, tmp_path: Path) -> None:
    """One pixel, one column, and more pixels than are decoded: answered, learned from, or told as too large."""
    place = coco(tmp_path)
    file = place / "images/0.png"
    if size[0] * size[1] > 50_000_000:
        Image.new("1", size).save(file)
    else:
        noise(file, size)
    document = json.loads((place / "boxes.json").read_text())
    document["images"][0] |= {"width": size[0], "height": size[1]}
    whole = {"image_id": 0, "category_id": 3, "bbox": [0, 0, *size]}
    document["annotations"] = [whole, *(each for each in document["annotations"] if each["image_id"])]
    document["categories"] = [{"id": 3, "name": "red"}, {"id": 4, "name": "blue"}]
    (place / "boxes.json").write_text(json.dumps(document))
    too_large = size == (12_000, 12_000)
    kinds = told_by_check(place)
    assert ("unreadable" in kinds) == too_large
    rows = tmp_path / "rows.jsonl"
    assert run("predict", bundle.folder, place / "images", "--out", rows) == int(too_large)
    errors = [json.loads(line)["error"] for line in rows.read_text().splitlines()]
    assert ("12000 x 12000 pixels are more" in (errors[0] or "")) == too_large and errors[1:] == [None] * 7
    assert run("evaluate", bundle.folder, place, "--json", tmp_path / "figures.json") == 0
    assert json.loads((tmp_path / "figures.json").read_text())["images"] == 8 - too_large
    assert pocketvision.convert(place, to="voc", out=tmp_path / "out").images == 8
    data, _ = data_of_training(place, tmp_path)
    assert len(data.samples) == 8 - too_large
    if not too_large:
        _require_views(data, data.samples.paths.index("images/0.png"))


def _require_views(data: TrainingData, place: int) -> None:
    """Every view of an image has its pixels, and boxes within them."""
    truth = data.samples.truth[DETECTION]
    preprocessing = Preprocessing(64, 64, 1.0, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), fit="pad")
    for augmentation in AUGMENTATIONS:
        images = ImageViews(data.samples, data.content_hashes, preprocessing, augmentation, seed=0, workers=0)
        for number in range(6):
            pixels = images.load([(place, number)])
            assert pixels.shape == (1, 3, 64, 64) and np.isfinite(pixels).all()
            seen = truth.through(place, images.placement((place, number)))
            assert isinstance(seen, BoxLabels) and ((seen.boxes >= 0) & (seen.boxes <= 64)).all()


def test_thousands_of_objects_in_one_picture(bundle: Bundle, tmp_path: Path) -> None:
    place = coco(tmp_path)
    document = json.loads((place / "boxes.json").read_text())
    document["categories"] = [{"id": 3, "name": "red"}, {"id": 4, "name": "blue"}]
    document["annotations"] += [
        {"image_id": 7, "category_id": 3 + number % 2, "bbox": [number % 97 * 0.4, number // 97, 6, 5]}
        for number in range(2500)
    ]
    (place / "boxes.json").write_text(json.dumps(document))
    told_by_check(place)
    assert run("evaluate", bundle.folder, place, "--json", tmp_path / "figures.json") == 0
    assert json.loads((tmp_path / "figures.json").read_text())["objects"] > 2500
    assert pocketvision.convert(place, to="coco", out=tmp_path / "out").boxes > 2500
    assert data_of_training(place, tmp_path)[0].samples.truth[DETECTION].class_counts().tolist() == [6, 5]
    same = pocketvision.changes(place, tmp_path / "out")
    assert same.kept == same.before > 2500


def test_numbers_that_are_none_are_no_objects_and_not_measured(bundle: Bundle, tmp_path: Path) -> None:
    """A graph that puts out not-a-number, in boxes and in scores."""
    import onnx
    from onnx import numpy_helper

    for name, constant in (("boxes", "nothing"), ("scores", "one")):
        model = onnx.load(bundle.folder / "model.onnx")
        for each in model.graph.initializer:
            if each.name == constant:
                each.CopyFrom(numpy_helper.from_array(np.float32(np.nan), constant))
        if name == "scores":  # after the clip, which takes no notice
            (clip,) = [node for node in model.graph.node if node.op_type == "Clip"]
            clip.CopyFrom(onnx.helper.make_node("Add", ["coloured", "one"], ["shares"]))
        outputs = {"boxes": np.zeros((2, 16, 4), np.float32), "scores": np.zeros((2, 16, 2), np.float32)}
        wrong = write_bundle(
            tmp_path / name,
            bundle.manifest,
            {"model.onnx": model.SerializeToString()},
            np.zeros((2, 3, 64, 64), np.float32),
            outputs,
        )
        noise(tmp_path / "one/0.png", (64, 64))
        pocketvision.predict(wrong.folder, [tmp_path / "one"], out=tmp_path / "rows.csv")
        assert (tmp_path / "rows.csv").read_text().splitlines()[1].endswith("0.png,,,,,,,")
        pocketvision.predict(wrong.folder, [tmp_path / "one"], out=tmp_path / f"{name}.json")
        assert json.loads((tmp_path / f"{name}.json").read_text()) == []
        place = coco(tmp_path / f"data of {name}")
        text = (place / "boxes.json").read_text()
        (place / "boxes.json").write_text(text.replace('"a"', '"red"').replace('"b"', '"blue"'))
        with pytest.raises(
            PocketVisionError, match="the model's answer is not finite, so that nothing can be measured"
        ):
            pocketvision.evaluate(wrong.folder, place)


@pytest.mark.parametrize("name", ["coco", "voc"])
def test_pictures_that_lie_elsewhere(
    name: str, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every verb has --images, and says so where it is needed."""
    place = DRAWN_SETS[name](tmp_path)
    for file in [*place.rglob("*.json"), *place.rglob("*.xml")]:
        text = file.read_text().replace('"a"', '"red"').replace('"b"', '"blue"')
        file.write_text(text.replace("<name>a<", "<name>red<").replace("<name>b<", "<name>blue<"))
    elsewhere = tmp_path / "elsewhere/deep"
    elsewhere.mkdir(parents=True)
    for file in place.rglob("*.png"):
        file.rename(elsewhere / file.name)
    images = ("--images", elsewhere.parent)
    out = ("--to", "coco", "--out", tmp_path / "out")
    for arguments in (("check", place), ("convert", place, *out), ("evaluate", bundle.folder, place)):
        assert run(*arguments) == 2
        assert "--images FOLDER" in capsys.readouterr().err
        assert run(*arguments, *images) in (0, 1)
    assert run("train", place, "--out", tmp_path / "run") == 2 and "--images FOLDER" in capsys.readouterr().err
    data, _ = data_of_training(place, tmp_path, images=str(elsewhere.parent))
    assert len(data.samples) == 8 and data.samples.file(0).is_file()


def test_entities_are_refused_by_every_verb(bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]>'
    place = voc(tmp_path)
    text = (place / "Annotations/3.xml").read_text()
    (place / "Annotations/3.xml").write_text(bomb + text.replace("<name>a", "<name>&c;"))
    for arguments in (
        ("check", place),
        ("train", place, "--out", tmp_path / "run"),
        ("evaluate", bundle.folder, place),
        ("convert", place, "--to", "coco", "--out", tmp_path / "out"),
    ):
        assert run(*arguments) == 2
        assert "it declares or uses entities" in capsys.readouterr().err


def test_which_of_two_formats_was_taken_is_said(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = voc(tmp_path)
    other = coco(tmp_path / "other")
    text = (other / "boxes.json").read_text().replace('"a"', '"red"').replace('"b"', '"blue"')
    (place / "boxes.json").write_text(text)
    said = "Read as coco, not as voc; --format says otherwise."  # asked for objects: classes are no question
    assert run("check", place) in (0, 1)
    assert "Read as coco, not as image-folder, voc; --format says otherwise." in capsys.readouterr().out
    assert run("convert", place, "--to", "voc", "--out", tmp_path / "out") == 0 and said in capsys.readouterr().out
    assert run("evaluate", bundle.folder, place) == 0 and said in "".join(capsys.readouterr())
    assert said in data_of_training(place, tmp_path, task=DETECTION)[1]
    (place / "data.yaml").write_text("names: [a]\ntrain: JPEGImages\n")
    assert (
        run("train", place, "--out", tmp_path / "run") == 2
        and "Say which it is with --format" in capsys.readouterr().err
    )


BROKEN_TABLES = {
    "unquoted comma": ("0.png,Pepper, bell,1,2,9,9", "line 2: 7 cells, but 6 columns"),
    "open quote": ('0.png,"a,1,2,9,9\n1.png,a,1,2,9,9', "a quote .* never closed"),
    "longer row": ("0.png,a,1,2,9,9,x", "7 cells"),
    "shorter row": ("0.png,a,1,2,9", "5 cells"),
    "several labels": (
        "0.png,a|b,1,2,9,9\n1.png,a,1,2,9,9",
        "several labels in one cell in 1 of 2 rows.*a row for each",
    ),
    "a list of labels": ("0.png,\"['a', 'b']\",1,2,9,9", "several labels in one cell"),
    "no number": ("0.png,a,one,2,9,9", "1 box that can not be read"),
}


@pytest.mark.parametrize("name", BROKEN_TABLES)
def test_rows_of_tables_are_never_cut_or_swallowed(name: str, tmp_path: Path) -> None:
    rows, message = BROKEN_TABLES[name]
    pictures(tmp_path / "images", ["0.png", "1.png"])
    (tmp_path / "boxes.csv").write_text(f"path,label,x1,y1,x2,y2\n{rows}\n")
    with pytest.raises(UsageError, match=message):
        pocketvision.check(tmp_path / "boxes.csv")


@pytest.mark.parametrize("name", ["coco", "box-table"])
def test_paths_of_another_machine(name: str, tmp_path: Path) -> None:
    for number, path in enumerate(
        ("images\\{}", "file:///elsewhere/images/{}", "~/images/{}", "/mnt/photos/{}", "C:\\x\\{}")
    ):
        place = DRAWN_SETS[name](tmp_path / str(number))
        file = place / "boxes.json" if place.is_dir() else place
        text = file.read_text()
        for picture in SETS:
            there = path.format(picture)
            text = text.replace(picture, json.dumps(there)[1:-1] if name == "coco" else there)
        file.write_text(text)
        assert len(pocketvision.check(place).samples) == 8, path
