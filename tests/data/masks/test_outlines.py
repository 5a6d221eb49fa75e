"""Masks from outlines, in every format that has some, and turned and scaled as their pictures are."""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.data.masks.filling import fill
from pocketvision.data.masks.runs import brush, coco_runs, filled
from pocketvision.data.samples import Samples
from pocketvision.data.sources.catalog import read_samples
from pocketvision.errors import UsageError
from pocketvision.tasks.segmentation.truth import SEGMENTATION, MaskLabels

SIZE = (40, 30)
RINGS = {"a": [5, 4, 25, 4, 25, 20, 5, 20], "b": [10.0, 8.0, 20.0, 8.0, 15.0, 18.0]}


def expected() -> np.ndarray:
    """A rectangle of class 1, and a triangle of class 2 on it."""
    down, across = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    mask[4:20, 5:25] = 1
    half = (18 - down) / 2
    mask[(down > 8) & (down < 18) & (np.abs(across - 15) < half)] = 2
    return mask


def picture(file: Path, size: tuple[int, int] = SIZE, orientation: int = 1) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation > 1:
        exif[0x0112] = orientation
    Image.new("RGB", size, (90, 30, 60)).save(file, exif=exif.tobytes())


def coco(place: Path) -> None:
    annotations = [
        {"id": n, "image_id": 1, "category_id": n, "bbox": [ring[0], ring[1], 1, 1], "segmentation": [ring]}
        for n, ring in enumerate(RINGS.values(), 1)
    ]
    write_coco(place, annotations)


def write_coco(place: Path, annotations: list[dict[str, object]]) -> None:
    document = {
        "images": [{"id": 1, "file_name": "0.png", "width": SIZE[0], "height": SIZE[1]}],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    }
    (place / "instances.json").write_text(json.dumps(document))


def yolo(place: Path) -> None:
    sides = np.tile(SIZE, 4)
    rows = [
        f"{n} " + " ".join(f"{x / side:.9f}" for x, side in zip(ring, sides, strict=False))
        for n, ring in enumerate(RINGS.values())
    ]
    (place / "images").mkdir()
    (place / "0.png").rename(place / "images/0.png")
    (place / "labels").mkdir()
    (place / "labels/0.txt").write_text("\n".join(rows))
    (place / "data.yaml").write_text("train: images\nnames: [a, b]\n")


def labelme(place: Path) -> None:
    shapes = [
        {"label": name, "points": np.reshape(ring, (-1, 2)).tolist(), "shape_type": "polygon"}
        for name, ring in RINGS.items()
    ]
    written = {"version": "5", "shapes": shapes, "imagePath": "0.png", "imageWidth": SIZE[0], "imageHeight": SIZE[1]}
    (place / "0.json").write_text(json.dumps(written))


def cvat(place: Path) -> None:
    shapes = "".join(
        f'<polygon label="{name}" points="{";".join(f"{x},{y}" for x, y in np.reshape(ring, (-1, 2)))}"/>'
        for name, ring in RINGS.items()
    )
    (place / "annotations.xml").write_text(
        f'<annotations><image id="0" name="0.png" width="{SIZE[0]}" height="{SIZE[1]}">{shapes}</image></annotations>'
    )


def label_studio(place: Path) -> None:
    results = [
        {
            "original_width": SIZE[0],
            "original_height": SIZE[1],
            "type": "polygonlabels",
            "value": {"points": (100 * np.reshape(ring, (-1, 2)) / SIZE).tolist(), "polygonlabels": [name]},
        }
        for name, ring in RINGS.items()
    ]
    task = {"data": {"image": "0.png"}, "annotations": [{"result": results}]}
    (place / "export.json").write_text(json.dumps([task]))


FORMATS: dict[str, Callable[[Path], None]] = {
    "coco-masks": coco,
    "yolo-masks": yolo,
    "labelme-masks": labelme,
    "cvat-masks": cvat,
    "label-studio-masks": label_studio,
}


def read(place: Path) -> Samples:
    return read_samples(place, task="segmentation")


def mask(samples: Samples, index: int = 0) -> np.ndarray:
    truth = samples.truth[SEGMENTATION]
    assert isinstance(truth, MaskLabels)
    return truth.mask(index)


@pytest.mark.parametrize("name", FORMATS)
def test_outlines_are_masks_where_segmentation_is_asked_for(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "0.png")
    FORMATS[name](tmp_path)
    samples = read(tmp_path)
    assert samples.origin is not None and samples.origin.format == name
    assert samples.truth[SEGMENTATION].class_names == ("background", "a", "b") and samples.found == ()
    assert (mask(samples) == expected()).all()
    assert list(read_samples(tmp_path).truth) == ["detection"]


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_outlines_on_stored_pixels_are_turned_with_the_picture(tmp_path: Path, orientation: int) -> None:
    picture(tmp_path / "0.png", orientation=orientation)
    coco(tmp_path)
    from pocketvision.preprocessing.values import turned

    assert (mask(read(tmp_path)) == turned(expected(), orientation if orientation in (6, 8) else 1)).all()


def test_outlines_of_a_smaller_copy_are_scaled(tmp_path: Path) -> None:
    picture(tmp_path / "0.png", (80, 60))
    coco(tmp_path)
    samples = read(tmp_path)
    found = mask(samples)
    assert found.shape == (60, 80) and (found[::2, ::2] != expected()).mean() < 0.02
    assert [each.kind for each in samples.found] == ["size_differs"]


def packed(marks: np.ndarray) -> str:
    """COCO's text of runs, written from its description."""
    flat = marks.T.ravel().astype(int)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [1 - flat[-1]]])))
    counts = np.diff(np.concatenate([[0], edges])).tolist()
    text = ""
    for place, count in enumerate(counts):
        number = count - counts[place - 2] if place > 2 else count
        while True:
            five = number & 0x1F
            number >>= 5
            more = number != (-1 if five & 0x10 else 0)
            text += chr(48 + (five | (0x20 if more else 0)))
            if not more:
                break
    return text


@pytest.mark.parametrize("form", ["numbers", "text"])
def test_coco_s_runs_of_pixels(tmp_path: Path, form: str) -> None:
    picture(tmp_path / "0.png")
    annotations = []
    for number in (1, 2):
        marks = expected() >= number if number == 1 else expected() == 2
        flat = marks.T.ravel().astype(int)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], flat])))
        counts = np.diff(np.concatenate([[0], edges, [len(flat)]])).tolist()
        across, down = np.nonzero(marks.T)
        box = [int(across.min()), int(down.min()), int(np.ptp(across)) + 1, int(np.ptp(down)) + 1]
        runs = {"size": [SIZE[1], SIZE[0]], "counts": counts if form == "numbers" else packed(marks)}
        annotations.append(
            {"id": number, "image_id": 1, "category_id": number, "iscrowd": 1, "bbox": box, "segmentation": runs}
        )
    write_coco(tmp_path, annotations)
    assert (mask(read(tmp_path)) == expected()).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": [2, 3], "counts": [1, 2]},
        {"size": [2, 3], "counts": "~"},
        {"size": [2, 3], "counts": [-1, 7]},
        {"size": [10**6, 10**6], "counts": [10**12]},
        {"counts": [6]},
        {"size": "ab", "counts": [6]},
        [1],
    ],
)
def test_runs_that_are_none(wrong: object) -> None:
    assert coco_runs(wrong) is None


def test_runs_row_by_row() -> None:
    found = filled([1, 2, 3], (3, 2))
    assert found is not None and found.tolist() == [[False, True, True], [False, False, False]]


def test_a_labelme_mask_circle_and_rectangle(tmp_path: Path) -> None:
    picture(tmp_path / "0.png")
    written = io.BytesIO()
    Image.fromarray(np.eye(4, dtype=np.uint8) * 255).save(written, "PNG")
    shapes = [
        {
            "label": "m",
            "shape_type": "mask",
            "points": [[2, 3], [5, 6]],
            "mask": base64.b64encode(written.getvalue()).decode(),
        },
        {"label": "c", "shape_type": "circle", "points": [[30, 15], [34, 15]]},
        {"label": "r", "shape_type": "rectangle", "points": [[12, 20], [9, 25]]},
        {"label": "p", "shape_type": "point", "points": [[1, 1]]},
    ]
    (tmp_path / "0.json").write_text(json.dumps({"version": "5", "shapes": shapes, "imagePath": "0.png"}))
    samples = read(tmp_path)
    names = samples.truth[SEGMENTATION].class_names
    found = mask(samples)
    assert (found[3:7, 2:6] == np.eye(4) * names.index("m")).all()
    assert (found[20:25, 9:12] == names.index("r")).all() and (found == names.index("r")).sum() == 15
    assert abs((found == names.index("c")).sum() - np.pi * 16) < 4 and found[15, 30] == names.index("c")
    assert [each.kind for each in samples.found] == ["other_shapes"]


def packed_brush(marks: np.ndarray) -> list[int]:
    """As Label Studio packs one: runs of up to 8, repeated or not, by turns of the four lengths."""
    values = np.zeros((*marks.shape, 4), np.uint8)
    values[marks] = (255, 0, 0, 255)
    flat, lengths = values.ravel().tolist(), (3, 4, 5, 6)
    bits = f"{len(flat):032b}" + f"{7:05b}" + "".join(f"{each - 1:04b}" for each in lengths)
    for turn, start in enumerate(range(0, len(flat), 8)):
        run, place = flat[start : start + 8], turn % 4
        same = len(set(run)) == 1
        bits += f"{int(same)}{place:02b}" + f"{len(run) - 1:0{lengths[place]}b}"
        bits += "".join(f"{each:08b}" for each in (run[:1] if same else run))
    bits += "0" * (-len(bits) % 8)
    return [int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)]


def test_label_studio_s_brushes(tmp_path: Path) -> None:
    picture(tmp_path / "0.png")
    marks = np.random.default_rng(0).random((SIZE[1], SIZE[0])) < 0.3
    found = brush(packed_brush(marks), SIZE)
    assert found is not None and (found == marks).all()
    assert brush(packed_brush(marks)[:50], SIZE) is None and brush(packed_brush(marks), (3, 3)) is None
    assert brush(None, SIZE) is None and brush([], SIZE) is None and brush([1, 900], SIZE) is None
    results = [
        {
            "original_width": SIZE[0],
            "original_height": SIZE[1],
            "type": "brushlabels",
            "value": {"format": "rle", "rle": rle, "brushlabels": ["cell"]},
        }
        for rle in (packed_brush(marks), [0, 1])
    ]
    (tmp_path / "export.json").write_text(
        json.dumps([{"data": {"image": "0.png"}, "annotations": [{"result": results}]}])
    )
    samples = read(tmp_path)
    assert samples.truth[SEGMENTATION].class_names == ("background", "cell")
    assert ((mask(samples) == 1) == marks).all() and {each.kind for each in samples.found} == {"no_outline"}


def test_a_cvat_mask_of_runs(tmp_path: Path) -> None:
    picture(tmp_path / "0.png")
    (tmp_path / "annotations.xml").write_text(
        f'<annotations><image id="0" name="0.png" width="{SIZE[0]}" height="{SIZE[1]}">'
        '<mask label="m" rle="1, 2, 1, 2" left="7" top="9" width="3" height="2"/></image></annotations>'
    )
    found = mask(read(tmp_path))
    assert found[9:11, 7:10].tolist() == [[0, 1, 1], [0, 1, 1]] and found.sum() == 4


def test_boxes_are_no_outlines(tmp_path: Path) -> None:
    picture(tmp_path / "0.png")
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]}
    write_coco(tmp_path, [box])
    with pytest.raises(UsageError, match="outline"):
        read(tmp_path)
    write_coco(tmp_path, [box, {**box, "id": 2, "category_id": 2, "segmentation": [RINGS["b"]]}])
    samples = read(tmp_path)
    assert "no_outline" in [each.kind for each in samples.found]
    assert samples.truth[SEGMENTATION].class_names == ("background", "b")


def test_middles_decide_and_holes_are_left_out() -> None:
    area = np.zeros((6, 6), np.uint8)
    fill(area, [np.array([(0.4, 0.4), (2.6, 0.4), (2.6, 2.6), (0.4, 2.6)])], 1)
    assert area.sum() == 9 and area[:3, :3].all()
    ring = np.zeros((6, 6), np.uint8)
    fill(ring, [np.array([(0, 0), (6, 0), (6, 6), (0, 6)]), np.array([(2, 2), (4, 2), (4, 4), (2, 4)])], 3)
    assert (ring == 3).sum() == 32 and not ring[2:4, 2:4].any()
    beyond = np.zeros((4, 4), np.uint8)
    fill(beyond, [np.array([(-9.0, -9.0), (2, -9), (2, 99), (-9, 99)])], 1)
    assert beyond[:, :2].all() and not beyond[:, 2:].any()
    fill(beyond, [np.array([(50.0, 50.0), (60, 50), (60, 60)])], 2)
    assert not (beyond == 2).any()
