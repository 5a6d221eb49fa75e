"""Every row of the audit of boxes: counted, with an example and a way out; and what is done with bad input."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data.boxes.drawn_sets import DRAWN_SETS, SIZE, pictures, voc_file
from PIL import Image

from pocketvision.data.audit import Audit, audit
from pocketvision.data.boxes.problems import PROBLEMS
from pocketvision.data.finding import KINDS
from pocketvision.data.samples import Samples
from pocketvision.data.sources.catalog import read_samples
from pocketvision.errors import UsageError
from pocketvision.tasks.detection.truth import DETECTION, BoxLabels


def truth_of(samples: Samples) -> BoxLabels:
    truth = samples.truth[DETECTION]
    assert isinstance(truth, BoxLabels)
    return truth


def found(result: Samples | Audit, kind: str) -> str:
    """The finding's message; it has a count, files (unless it is of classes) and a way out."""
    findings = result.found if isinstance(result, Samples) else result.findings
    (finding,) = [each for each in findings if each.kind == kind]
    assert finding.count >= 1 and ". " in finding.message
    return f"{finding.count}: {finding.message} {finding.files}"


def coco(
    folder: Path,
    boxes: list[Any],
    *,
    size: tuple[int, int] = SIZE,
    categories: Any = None,
    names: Any = None,
    **more: Any,
) -> Path:
    """One picture a box, or boxes that say their image. boxes: bbox, or whole annotations."""
    names = [f"{n}.png" for n in range(len(boxes))] if names is None else names
    if not (folder / "images").exists():
        pictures(folder / "images", names)
    marks = [each if isinstance(each, dict) else {"image_id": n, "bbox": each} for n, each in enumerate(boxes)]
    document = {
        "images": [{"id": n, "file_name": name, "width": size[0], "height": size[1]} for n, name in enumerate(names)],
        "categories": categories or [{"id": 1, "name": "a"}],
        "annotations": [{"id": n, "category_id": 1, **mark} for n, mark in enumerate(marks)],
    }
    (folder / "boxes.json").write_text(json.dumps({**document, **more}))
    return folder


def corners(samples: Samples) -> list[list[float]]:
    return truth_of(samples).boxes.tolist()


def test_category_ids(tmp_path: Path) -> None:
    categories = [{"id": 1, "name": "a"}, {"id": 5, "name": "b"}, {"id": 5, "name": "c"}, {"id": 9, "name": "z"}]
    marks = [{"image_id": n, "bbox": [1, 1, 9, 9], "category_id": kind} for n, kind in enumerate((1, 5, 7, 5))]
    samples = read_samples(coco(tmp_path, marks, categories=categories))
    assert samples.class_names == ("a", "b") and truth_of(samples).box_counts().tolist() == [1, 2]
    assert found(samples, "category_gaps").startswith("2: 2 gaps in the numbers of classes (after 1)")
    assert "1 class listed more than once, by number or by name (5: c)" in found(samples, "repeated_category")
    assert "1 box of a class number that stands for no class (category_id 7)" in found(samples, "unknown_category")
    assert "1 class listed without any box ('z')" in found(samples, "unused_classes")
    assert len(samples) == 4 and truth_of(samples).rows.lengths.tolist() == [1, 1, 0, 1]


def test_boxes_that_are_none(tmp_path: Path) -> None:
    marks = [
        [60, 1, 5, 5],
        [1, 1, 0, 5],
        [30, 20, -20, -15],
        [40, 30, 20, 20],
        [1, 1, "x", 5],
        [-0.5, 0, 9, 9],
        [5, 5, 9],
    ]
    samples = read_samples(coco(tmp_path, marks))
    assert corners(samples) == [[10, 5, 30, 20], [40, 30, 48, 40], [0, 0, 8.5, 9]]
    assert "1: 1 box outside the picture as a whole (60, 1, 65, 6)" in found(samples, "box_outside")
    assert "1 box without area (1, 1, 1, 6)" in found(samples, "no_area")
    assert "1 box with right and left" in found(samples, "reversed_corners")
    assert "1 box reaching over the picture's border by more than a pixel" in found(samples, "beyond_border")
    assert "2 boxes that can not be read" in found(samples, "unreadable_box")


def test_shares_and_pixels(tmp_path: Path) -> None:
    samples = read_samples(coco(tmp_path / "coco", [[0.25, 0.5, 0.5, 0.25], [12, 20, 24, 10]]))
    assert corners(samples) == [[12, 20, 36, 30]] * 2
    assert "1 image whose boxes are all between 0 and 1" in found(samples, "shares_as_pixels")
    place = DRAWN_SETS["yolo"](tmp_path)
    (place / "labels/train/0.txt").write_text("0 24 20 24 10 0.9\n1 0.5 0.5 0.2 0.2")
    samples = read_samples(place)
    assert [12, 15, 36, 25] in corners(samples)
    assert "1 image whose boxes go far beyond 1" in found(samples, "pixels_as_shares")
    assert "1 box with a score" in found(samples, "confident_boxes")


def test_copies_of_boxes_and_images(tmp_path: Path) -> None:
    marks = [{"image_id": 0, "bbox": [1, 1, 30, 30]} for _ in range(3)]
    marks += [{"image_id": 0, "bbox": [1, 1, 31, 30]}, {"image_id": 0, "bbox": [1, 1, 30, 30], "category_id": 2}]
    marks += [{"image_id": 7, "bbox": [1, 1, 3, 3]}, {"image_id": 1, "bbox": [1, 1, 9, 9]}]
    categories = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    place = coco(tmp_path, marks, names=["0.png", "1.png", "0.png"], categories=categories)
    samples = read_samples(place)
    assert len(samples) == 2 and len(truth_of(samples).boxes) == 4
    assert "2 boxes there twice" in found(samples, "repeated_boxes")
    assert "1 image listed more than once in a split (0.png)" in found(samples, "repeated_images")
    assert "1 box of an image that is not listed (image_id 7)" in found(samples, "box_of_no_image")
    checked = audit(samples)
    assert "1: 1 box (such as 'a') nearly the same as another of its class" in found(checked, "near_repeated_boxes")
    assert "2: 2 boxes (such as 'a' and 'b') around the same object" in found(checked, "conflicting_boxes")


def test_images_that_are_not_there_and_not_listed(tmp_path: Path) -> None:
    place = coco(tmp_path, [[1, 1, 9, 9]] * 4)
    (place / "images/1.png").unlink()
    pictures(place / "images", ["x.png", "y.png"])
    pictures(place / "elsewhere", ["z.png"])
    samples = read_samples(place)
    assert "1: 1 image listed and not there (1.png). Left out." in found(samples, "missing_images")
    assert "2 images beside the listed ones" in found(samples, "unlisted_images")
    assert len(samples) == 5 and truth_of(samples).rows.lengths.tolist() == [1, 1, 1, 0, 0]
    assert audit(samples).hurts
    for file in (place / "images").glob("?.png"):
        file.unlink()
    with pytest.raises(UsageError, match=r"none of its 4 pictures is there. '0.png' is not there.*--images FOLDER"):
        read_samples(place)


def test_pictures_elsewhere(tmp_path: Path) -> None:
    """Paths of another machine, and one folder that they are in now."""
    for name in DRAWN_SETS:
        place = DRAWN_SETS[name](tmp_path)
        expected = truth_of(read_samples(place)).boxes
        moved = tmp_path / f"moved-{name}/deep"
        moved.mkdir(parents=True)
        base = place.parent if place.is_file() else place
        for file in base.rglob("*.png"):
            file.rename(moved / file.name)
        samples = read_samples(place, images=moved.parent)
        assert np.allclose(truth_of(samples).boxes, expected) and len(samples) == 8, name
        with pytest.raises(UsageError, match=r"--images|images|picture"):
            read_samples(place)
        with pytest.raises(UsageError, match="there is no such folder"):
            read_samples(place, images=tmp_path / "nowhere")


def test_absolute_paths_of_another_machine(tmp_path: Path) -> None:
    names = [f"C:\\Users\\me\\set\\{n}.png" for n in range(2)]
    pictures(tmp_path / "images", ["0.png", "1.png"])
    assert len(read_samples(coco(tmp_path, [[1, 1, 9, 9]] * 2, names=names))) == 2


def test_another_size_than_the_file_says(tmp_path: Path) -> None:
    samples = read_samples(coco(tmp_path, [[10, 10, 80, 60]], size=(96, 80)))
    assert corners(samples) == [[5, 5, 45, 35]]
    assert "1 image of another size than the file says (96 x 80, and it is 48 x 40)" in found(samples, "size_differs")


def test_pictures_that_exif_turns(tmp_path: Path) -> None:
    place = coco(tmp_path, [[1, 1, 45, 5], [1, 1, 5, 5]], size=(0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("0.png", "1.png"):
        Image.new("L", SIZE).save(place / "images" / name, exif=exif)
    samples = read_samples(place)
    assert corners(samples) == [[34, 1, 39, 46], [34, 1, 39, 6]]  # the second goes with the first
    assert "2 images turned by EXIF whose boxes were drawn on the unturned pixels" in found(samples, "turned_images")
    samples = read_samples(coco(tmp_path, [[1, 1, 5, 5], [1, 1, 5, 5]], size=(0, 0)))
    assert "2 images turned by EXIF where boxes fit both ways" in found(samples, "unsure_turn")


def test_classes_and_crowds(tmp_path: Path) -> None:
    marks = [{"image_id": n % 8, "bbox": [n, 1, 9, 9]} for n in range(20)]
    marks += [{"image_id": 0, "bbox": [30, 20, 9, 9], "category_id": 2}]
    marks += [{"image_id": 1, "bbox": [1, 1, 40, 30], "iscrowd": 1}]
    categories = [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    samples = read_samples(coco(tmp_path, marks, names=[f"{n}.png" for n in range(8)], categories=categories))
    checked = audit(samples)
    assert "20: The class 'a' has 20 of 21 boxes (95%)" in found(checked, "one_class_in_nearly_all")
    assert "1: 1 class with boxes in fewer than 2 readable images: 'b' (1)" in found(checked, "rare_classes")
    assert "1: 1 box around crowds" in found(checked, "crowds")


def test_small_objects(tmp_path: Path) -> None:
    Image.new("L", (2000, 1500)).save(tmp_path / "large.png")
    truth = BoxLabels.of([([[10, 10, 30, 30]] * 9 + [[0, 0, 900, 900]], [0] * 10)], ("a",))
    checked = audit(Samples(tmp_path, ["large.png"], {DETECTION: truth}))
    assert "9: 90% of the boxes are less than 8 pixels wide or high in an input of 320 pixels" in found(
        checked, "small_objects"
    )
    assert "Take --size 800, where 0% are." in found(checked, "small_objects")


def test_augmented_copies_are_a_group(tmp_path: Path) -> None:
    names = [f"IMG_{n // 2}_jpg.rf.{n:032x}.jpg" for n in range(6)]
    for split, own in (("train", names[:3]), ("valid", names[3:])):
        folder = pictures(tmp_path / split, own)
        document = {
            "images": [{"id": n, "file_name": name} for n, name in enumerate(own)],
            "categories": [{"id": 0, "name": "a"}],
            "annotations": [{"image_id": n, "category_id": 0, "bbox": [1, 1, 9, 9 + n]} for n in range(len(own))],
        }
        (folder / "_annotations.coco.json").write_text(json.dumps(document))
    samples = read_samples(tmp_path)
    assert samples.splits is not None and samples.splits.tolist() == [0, 0, 0, 1, 1, 1]
    assert samples.groups is not None and samples.groups.tolist() == [0, 0, 1, 1, 2, 2]
    (leak,) = [each for each in audit(samples).findings if each.kind == "group_leak"]
    assert leak.files == (f"train/{names[2]}", f"valid/{names[3]}") and "train and val" in leak.message


def test_shapes_and_opinions(tmp_path: Path) -> None:
    place = DRAWN_SETS["labelme"](tmp_path)
    shapes = [
        {"label": "a", "points": [[10, 10], [13, 14]], "shape_type": "circle"},
        {"label": "a", "points": [[1, 2], [30, 4], [9, 20]], "shape_type": "polygon"},
        {"label": "a", "points": [[1, 2]], "shape_type": "point"},
    ]
    (place / "7.json").write_text(json.dumps({"version": "5", "shapes": shapes, "imagePath": "..\\x\\7.png"}))
    samples = read_samples(place)
    assert corners(samples)[-2:] == [[5, 5, 15, 15], [1, 2, 30, 20]]
    assert "1 shape that is no area" in found(samples, "other_shapes")
    place = DRAWN_SETS["label-studio"](tmp_path)
    tasks = json.loads((place / "export.json").read_text())
    tasks[0]["annotations"] = [{"was_cancelled": True, "result": []}, *tasks[0]["annotations"], {"result": []}]
    value = {"x": 50, "y": 25, "width": 25, "height": 50, "rotation": 90, "rectanglelabels": ["a"]}
    tasks[7]["annotations"][0]["result"] = [{"original_width": 48, "original_height": 40, "value": value}]
    (place / "export.json").write_text(json.dumps(tasks))
    samples = read_samples(place)
    assert len(truth_of(samples).rows.row(0)["boxes"]) == 1
    assert np.allclose(truth_of(samples).rows.row(7)["boxes"], [[4, 10, 24, 22]])  # 12 x 20 turned about its corner
    assert "1 image annotated by several people" in found(samples, "other_opinions")


def test_no_box_at_all(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none of its 2 images has any box, so there is nothing to learn"):
        read_samples(coco(tmp_path / "none", [{"image_id": 0, "bbox": []}] * 2))
    with pytest.raises(UsageError, match=r"nothing to learn. 2 boxes without area"):
        read_samples(coco(tmp_path / "flat", [[1, 1, 0, 9]] * 2))


def test_a_class_in_the_test_that_training_never_saw(tmp_path: Path) -> None:
    place = tmp_path / "voc"
    pictures(place / "JPEGImages", [f"{n}.png" for n in range(4)])
    (place / "Annotations").mkdir()
    (place / "ImageSets/Main").mkdir(parents=True)
    for n in range(4):
        boxes = [("new" if n == 3 else "old", (1, 1, 20, 20 + n))]
        (place / f"Annotations/{n}.xml").write_text(voc_file(f"{n}.png", boxes))
    for name, images in (("train", "0\n1"), ("val", "2"), ("test", "3"), ("trainval", "0\n1\n2")):
        (place / f"ImageSets/Main/{name}.txt").write_text(images)
    samples = read_samples(place)
    assert samples.splits is not None and samples.splits.tolist() == [0, 0, 1, 2]
    checked = audit(samples)
    assert checked.hurts and "new: no image in train" in next(
        each.message for each in checked.findings if each.kind == "class_not_in_train"
    )
    with pytest.raises(UsageError, match="Unknown class 'new'"):
        read_samples(place, labels=["old"])
    assert "ImageSets/Main: train.txt, val.txt, test.txt, trainval.txt" in samples.reading[1]


def test_entities_are_refused(tmp_path: Path) -> None:
    for name, file in (("voc", "Annotations/0.xml"), ("cvat", "annotations.xml")):
        place = DRAWN_SETS[name](tmp_path)
        text = (place / file).read_text()
        (place / file).write_text('<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + text)
        with pytest.raises(UsageError, match="entities"):
            read_samples(place)


def test_two_formats_in_one_folder(tmp_path: Path) -> None:
    place = DRAWN_SETS["voc"](tmp_path)
    coco(place, [[1, 1, 9, 9]] * 2)
    samples = read_samples(place)
    assert samples.reading[0] == "Read as coco, not as image-folder, voc; --format says otherwise."
    assert read_samples(place, format="voc").class_names == ("a", "b")
    (place / "data.yaml").write_text("names: [a]\ntrain: images\n")
    with pytest.raises(UsageError, match=r"coco \(.*; or yolo \(.*Say which it is with --format\."):
        read_samples(place)


def test_a_table_of_boxes_by_other_names(tmp_path: Path) -> None:
    place = DRAWN_SETS["box-table"](tmp_path)
    expected = truth_of(read_samples(place)).boxes
    text = place.read_text()
    place.write_text(text.replace("path,label,x1,y1,x2,y2", "filename,class,xmin,ymin,xmax,ymax"))
    assert truth_of(read_samples(place)).boxes.tolist() == expected.tolist()
    place.write_text(text.replace("path,label,x1,y1,x2,y2", "file,what,l,t,r,b"))
    with pytest.raises(UsageError, match=r"no four columns for boxes.*--box-columns"):
        read_samples(place, format="box-table")
    given = {"label_column": "what", "box_columns": ["l", "t", "r", "b"], "format": "box-table"}
    samples = read_samples(place, path_column="file", **given)
    assert truth_of(samples).boxes.tolist() == expected.tolist()
    samples = read_samples(place, path_column="file", **{**given, "format": None})  # columns of boxes say what it is
    assert truth_of(samples).boxes.tolist() == expected.tolist()
    with pytest.raises(UsageError, match="--box-columns names columns of the format box-table"):
        read_samples(place, path_column="file", **{**given, "format": "image-table"})
    with pytest.raises(UsageError, match="no column 'left' for a side of boxes"):
        read_samples(place, format="box-table", box_columns=["left", "t", "r", "b"])
    for row, message in (("0.png,a,,,,", "the label 'a' without a box"), ("0.png,,1,2,3,4", "a box without a label")):
        place.write_text("path,label,x1,y1,x2,y2\n" + row)
        with pytest.raises(UsageError, match=f"line 2: {message}"):
            read_samples(place)


def test_a_line_of_yolo_that_is_none(tmp_path: Path) -> None:
    place = DRAWN_SETS["yolo"](tmp_path)
    (place / "labels/train/0.txt").write_text("0 0.5 0.5 0.1 0.1\ncat 0.5 0.5 0.1 0.1")
    with pytest.raises(UsageError, match=r"0.txt, line 2: 'cat 0.5 0.5 0.1 0.1' is no box"):
        read_samples(place)
    (place / "labels/train/0.txt").write_text(
        "0 0.1 0.2 0.5 0.2 0.3 0.8\n1 nan 0.5 0.1 0.1"
    )  # a polygon, and no number
    samples = read_samples(place)
    assert np.allclose(truth_of(samples).rows.row(0)["boxes"], [[4.8, 8, 24, 32]])
    found(samples, "unreadable_box")


def test_layouts_of_yolo(tmp_path: Path) -> None:
    place = DRAWN_SETS["yolo"](tmp_path)
    (place / "data.yaml").write_text("train: ../images/train\nval: ../images/val\nnames: {0: a, 1: b}\n")
    pictures(tmp_path / "images/train", ["other.png"])  # of the folder above, which the entries lead to
    samples = read_samples(place)
    assert len(samples) == 8 and samples.reading[-1].startswith("Not read: ../images/val; it is not there")
    (place / "data.yaml").unlink()
    pictures(place / "images/test", ["new.png"])
    samples = read_samples(place)
    assert len(samples) == 8 and samples.class_names == ("0", "1")
    assert samples.reading[1:] == (
        "No file names the classes: they are called by their numbers.",
        "Not read: images/test; it is not there, or has no text files of boxes.",
    )
    (place / "classes.txt").write_text("cat\ndog\n")
    assert read_samples(place).class_names == ("cat", "dog")


def test_every_row_of_the_table_is_shown_here() -> None:
    shown = set(re.findall(r'found\(\w+, "(\w+)"\)', Path(__file__).read_text(encoding="utf-8")))
    assert set(PROBLEMS) <= set(KINDS) and set(PROBLEMS) - shown == set()
