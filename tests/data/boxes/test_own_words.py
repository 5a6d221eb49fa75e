"""What single formats say in words of their own: turned boxes, crowds, difficult objects, coordinates from 1, splits."""

import json
import math
from pathlib import Path

import numpy as np
from data.boxes.drawn_sets import DRAWN_SETS, SIZE, pictures, voc_file

from pocketvision.data.samples import Samples
from pocketvision.data.sources.catalog import read_samples
from pocketvision.tasks.detection.truth import DETECTION, BoxLabels


def row_of(samples: Samples, name: str) -> dict[str, np.ndarray]:
    truth = samples.truth[DETECTION]
    assert isinstance(truth, BoxLabels)
    (index,) = [place for place, path in enumerate(samples.paths) if path.endswith(name)]
    return truth.rows.row(index)


def test_voc_counts_from_one_where_the_challenge_says_so(tmp_path: Path) -> None:
    place = DRAWN_SETS["voc"](tmp_path)
    text = voc_file(
        "7.png", [("a", (1, 1, 48, 40))], further="<source><database>The VOC2007 Database</database></source>"
    )
    (place / "Annotations/7.xml").write_text(text.replace("</name>", "</name><difficult>1</difficult>"))
    (place / "Annotations/0.xml").write_text(voc_file("0.png", [("a", (1, 1, 48, 40))]))
    row = row_of(read_samples(place), "7.png")
    assert row["boxes"].tolist() == [[0, 0, 48, 40]] and row["difficult"].tolist() == [True]
    assert row_of(read_samples(place), "0.png")["boxes"].tolist() == [[1, 1, 48, 40]]


def test_cvat_turns_boxes_and_tells_splits(tmp_path: Path) -> None:
    pictures(tmp_path / "cvat", ["0.png", "1.png"])
    shapes = (
        '<box label="a" xtl="10" ytl="10" xbr="30" ybr="20" rotation="90"/>'
        '<ellipse label="a" cx="24" cy="20" rx="10" ry="5" rotation="45"/>'
        '<polygon label="b" points="1.0,2.0;9.0,3.0;4.0,30.0"/><mask label="b" left="3" top="4" width="5" height="6" rle="1"/>'
        '<tag label="a"/><points label="a" points="1,1"/>'
    )
    train = f'<image name="0.png" width="48" height="40" subset="Train">{shapes}</image>'
    box = '<box label="a" xtl="0" ytl="0" xbr="9" ybr="9"/>'
    images = f'{train}<image name="1.png" width="48" height="40" subset="Validation">{box}</image>'
    (tmp_path / "cvat/annotations.xml").write_text(f"<annotations>{images}</annotations>")
    samples = read_samples(tmp_path / "cvat")
    reach = math.sqrt((10**2 + 5**2) / 2)
    expected = [[15, 5, 25, 25], [24 - reach, 20 - reach, 24 + reach, 20 + reach], [1, 2, 9, 30], [3, 4, 8, 10]]
    assert np.allclose(row_of(samples, "0.png")["boxes"], expected)
    assert samples.splits is not None and samples.splits.tolist() == [0, 1]
    assert [(each.kind, each.count) for each in samples.found] == [("other_shapes", 1)]
    text = (tmp_path / "cvat/annotations.xml").read_text()
    (tmp_path / "cvat/annotations.xml").write_text(text.replace(' subset="Train"', ""))
    samples = read_samples(tmp_path / "cvat")
    assert samples.splits is not None and samples.splits.tolist() == [0, 1]
    assert samples.reading[-1] == "1 image of no split, beside others that are of one: read as train."


def test_coco_without_boxes_has_polygons_and_areas(tmp_path: Path) -> None:
    place = DRAWN_SETS["coco"](tmp_path)
    document = json.loads((place / "boxes.json").read_text())
    marks = {"image_id": 7, "category_id": 3}
    document["annotations"] += [
        {**marks, "segmentation": [[1, 2, 9, 3, 4, 30]], "area": 77.5},
        {**marks, "bbox": [0, 0, 40, 30], "iscrowd": 1, "segmentation": {"counts": [1], "size": [40, 48]}},
        {**marks, "bbox": [0, 0, 9, 9], "ignore": 1, "area": 81},
    ]
    head = {"annotations": document.pop("annotations")}  # before what they speak of
    (place / "boxes.json").write_text(json.dumps({**head, **document}))
    row = row_of(read_samples(place), "7.png")
    assert row["boxes"].tolist() == [[1, 2, 9, 30], [0, 0, 40, 30], [0, 0, 9, 9]]
    assert row["crowd"].tolist() == [False, True, False] and row["difficult"].tolist() == [False, False, True]
    assert row["areas"].tolist() == [77.5, 1200, 81]


def test_open_images_has_groups_and_label_studio_a_short_form(tmp_path: Path) -> None:
    place = DRAWN_SETS["open-images"](tmp_path)
    with (place / "boxes.csv").open("a") as file:
        file.write("\n7,x,/m/0a,1,0.25,0.5,0.25,0.5,1")
    (place / "class-descriptions-boxable.csv").unlink()
    samples = read_samples(place)
    assert row_of(samples, "7.png")["crowd"].tolist() == [True] and samples.class_names == ("/m/0a", "/m/0b")
    pictures(tmp_path / "short", ["0.png"])
    mark = {"x": 25, "y": 50, "width": 50, "height": 25, "rectanglelabels": ["a"]}
    mark |= {"original_width": SIZE[0], "original_height": SIZE[1]}
    task = {"id": 1, "image": "/data/local-files/?d=sets%2Fshort%2F0.png", "label": [mark], "annotator": 1}
    (tmp_path / "short/min.json").write_text(json.dumps([task]))
    assert row_of(read_samples(tmp_path / "short"), "0.png")["boxes"].tolist() == [[12, 20, 36, 30]]


def test_a_picture_beside_a_split_is_left_out_or_learned_from(tmp_path: Path) -> None:
    place = DRAWN_SETS["box-table"](tmp_path)
    lines = place.read_text().splitlines()
    place.write_text(
        "\n".join([f"{lines[0]},split", *(f"{line},{'val' if line[0] == '1' else 'train'}" for line in lines[1:])])
    )
    pictures(place.parent / "images", ["loose.png"])
    samples = read_samples(place)
    assert [each.reason for each in samples.left_out] == ["no_split"] and len(samples) == 8
    assert samples.splits is not None and samples.splits.tolist() == [0, 1, 0, 0, 0, 0, 0, 0]
