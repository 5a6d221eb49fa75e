"""What single formats say in words of their own: turned boxes, crowds, difficult objects, coordinates from 1, splits."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from data.boxes.drawn_sets import DRAWN_SETS, SIZE, pictures, voc_file
from PIL import Image

from pocketvision.data.samples import Samples
from pocketvision.data.sources.catalog import read_samples
from pocketvision.errors import UsageError
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


def tracked(folder: Path, first: int = 0, count: int = 30) -> Path:
    """A video's frames and two tracks: one with a box at each end alone, one that leaves and comes back, as CVAT has them."""
    pictures(folder / "frames", [f"frame_{number:06}.png" for number in range(first, first + count)])
    box = '<box frame="{}" keyframe="1" outside="{}" xtl="{}" ytl="2" xbr="{}" ybr="12"/>'
    moving = box.format(0, 0, 0, 10) + box.format(20, 0, 20, 30) + box.format(24, 1, 24, 34)
    back = box.format(2, 0, 5, 15) + box.format(4, 1, 5, 15) + box.format(29, 0, 7, 17)
    tracks = f'<track id="0" label="a">{moving}</track><track id="1" label="b">{back}<points frame="2" points="1,1"/></track>'
    meta = "<meta><task><size>30</size><labels><label><name>b</name></label><label><name>a</name></label></labels></task></meta>"
    (folder / "annotations.xml").write_text(f"<annotations>{meta}{tracks}</annotations>")
    return folder


def test_cvat_tracks_are_read_on_the_pictures_of_their_frames(tmp_path: Path) -> None:
    samples = read_samples(tracked(tmp_path))
    truth = samples.truth[DETECTION]
    assert isinstance(truth, BoxLabels) and samples.class_names == ("b", "a") and len(samples) == 30
    assert row_of(samples, "frame_000010.png")["boxes"].tolist() == [[10, 2, 20, 12]]  # half of the way
    assert row_of(samples, "frame_000022.png")["boxes"].tolist() == [[20, 2, 30, 12]]  # where it was last seen
    assert sorted(row_of(samples, "frame_000003.png")["boxes"][:, 0].tolist()) == [3, 5]
    assert truth.rows.lengths.tolist() == [1, 1, 2, 2, *[1] * 20, 0, 0, 0, 0, 0, 1]
    assert (
        samples.groups is not None and len(set(samples.groups.tolist())) == 20 and (np.diff(samples.groups) >= 0).all()
    )
    assert "2 tracks on 30 pictures of a video's 30 frames: a split keeps each of 20 stretches" in samples.reading[-1]
    assert {each.kind: each.count for each in samples.found} == {"other_shapes": 1}


def test_masks_of_cvat_tracks(tmp_path: Path) -> None:
    """Polygons of as many corners move evenly, pixels stay where they were, and nothing is left of what is outside."""
    for frame in range(5):
        Image.new("RGB", (12, 8)).save(tmp_path / f"frame_{frame:06d}.png")
    square = "<polygon frame='{}' outside='{}' points='{},1;{},1;{},3;{},3'/>"
    moving = square.format(0, 0, 1, 3, 3, 1) + square.format(2, 0, 5, 7, 7, 5) + square.format(4, 1, 5, 7, 7, 5)
    patch = "<mask frame='{}' outside='{}' left='2' top='5' width='3' height='2' rle='0, 2, 2, 1, 1'/>"
    staying = patch.format(1, 0) + patch.format(3, 1)
    tracks = f"<track label='a'>{moving}</track><track label='b'>{staying}</track>"
    (tmp_path / "annotations.xml").write_text(
        f"<annotations><meta><task><size>5</size></task></meta>{tracks}</annotations>"
    )
    truth = read_samples(tmp_path, task="segmentation").truth["segmentation"]
    assert truth.class_names == ("background", "a", "b")
    masks = [truth.mask(frame) for frame in range(5)]
    lefts = [np.flatnonzero((mask == 1).any(axis=0)).tolist() for mask in masks]
    assert lefts == [[1, 2], [3, 4], [5, 6], [5, 6], []]
    marks = [[0, 0, 2, 2, 0, 0], [0, 0, 0, 2, 0, 0]]
    assert [mask[5:7, :6].tolist() == marks for mask in masks] == [False, True, True, False, False]
    assert all((mask[1:3] == 1).sum() == 4 for mask in masks[:4])


def test_cvat_tracks_without_their_frames_are_refused(tmp_path: Path) -> None:
    place = tracked(tmp_path / "from one", first=1)
    with pytest.raises(
        UsageError, match=r"frames of its video from 0 to 29, and the pictures .* from 1 to 30.*-start_number 0"
    ):
        read_samples(place)
    place = tracked(tmp_path / "some", count=22)
    samples = read_samples(place)
    assert len(samples) == 22 and {each.kind: each.count for each in samples.found}["missing_images"] == 3
    pictures(place / "again", ["view_3.png"])
    with pytest.raises(UsageError, match="frame 3 of its video is there several times"):
        read_samples(place)
    assert len(read_samples(place, images=place / "frames")) == 22
    for file in [*place.glob("*/*.png")]:
        file.rename(file.with_name("photo.png"))
    with pytest.raises(UsageError, match=r"tracks of a video of 30 frames, and no picture .* is one of them"):
        read_samples(place)
