"""Every format of boxes: recognised by looking, read the same, written and read again."""

import json
from pathlib import Path

import numpy as np
import pytest
from data.boxes.drawn_sets import DRAWN_SETS, NAMES, SETS
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pocketvision.data.box_writers.catalog import WRITERS, write_boxes
from pocketvision.data.samples import Samples
from pocketvision.data.sources.catalog import read_samples
from pocketvision.errors import UsageError
from pocketvision.tasks.detection.truth import DETECTION, BoxLabels
from pocketvision.workflows.convert import convert


def truth_of(samples: Samples) -> BoxLabels:
    truth = samples.truth[DETECTION]
    assert isinstance(truth, BoxLabels)
    return truth


def by_name(samples: Samples) -> dict[str, list[tuple[str, tuple[float, ...]]]]:
    truth = truth_of(samples)
    found = {}
    for index, path in enumerate(samples.paths):
        row = truth.rows.row(index)
        names = [truth.class_names[place] for place in row["classes"].tolist()]
        found[path.rpartition("/")[2]] = sorted(zip(names, map(tuple, row["boxes"].tolist()), strict=True))
    return found


def is_like(samples: Samples, expected: dict, within: float = 0.01) -> bool:
    found = by_name(samples)
    assert found.keys() == expected.keys()
    for name, boxes in expected.items():
        assert [label for label, _ in found[name]] == [label for label, _ in sorted(boxes)], name
        for (_, one), (_, other) in zip(found[name], sorted(boxes), strict=True):
            assert np.abs(np.subtract(one, other)).max() < within, name
    return True


@pytest.mark.parametrize("name", DRAWN_SETS)
def test_it_is_recognised_and_read(name: str, tmp_path: Path) -> None:
    place = DRAWN_SETS[name](tmp_path)
    samples = read_samples(place)
    assert samples.origin is not None and samples.origin.format == name
    assert samples.class_names == NAMES and is_like(samples, SETS, 1e-5)
    assert samples.splits is None and truth_of(samples).present.all()
    assert {finding.kind for finding in samples.found} <= {"unlisted_images"}


@pytest.mark.parametrize(
    ("name", "target"), [*zip(DRAWN_SETS, 2 * [*WRITERS], strict=True), ("voc", "coco"), ("coco", "labelme")]
)
def test_any_is_written_from_any(name: str, target: str, tmp_path: Path) -> None:
    written = convert(DRAWN_SETS[name](tmp_path), to=target, out=tmp_path / "out")
    assert (written.images, written.boxes) == (8, sum(map(len, SETS.values())))
    again = read_samples(tmp_path / "out")
    assert again.origin is not None and again.origin.format == target
    assert is_like(again, SETS) and again.class_names == NAMES and again.found == ()


@pytest.mark.parametrize("target", WRITERS)
def test_what_is_there_is_never_overwritten(target: str, tmp_path: Path) -> None:
    samples = read_samples(DRAWN_SETS["voc"](tmp_path))
    out = tmp_path / "out"
    out.mkdir()
    write_boxes(samples, target, out)  # an empty folder is nothing
    before = sorted(file for file in out.rglob("*"))
    with pytest.raises(UsageError, match="nothing is ever overwritten"):
        write_boxes(samples, target, out)
    assert sorted(out.rglob("*")) == before and not list(tmp_path.glob(".*"))
    with pytest.raises(UsageError, match=r"Unknown format to write 'yollo'. Did you mean yolo"):
        write_boxes(samples, "yollo", tmp_path / "other")


corner = st.floats(0, 1, allow_subnormal=False)
numbered_box = st.tuples(corner, corner, corner, corner, st.integers(0, 2), st.booleans(), st.booleans())
image_size = st.sampled_from([(1, 1), (64, 48), (1, 300), (333, 7), (12_000, 2)])


@pytest.fixture(scope="module")
def sized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of each size, one of them turned by EXIF."""
    folder = tmp_path_factory.mktemp("sized")
    for width, height in ((1, 1), (64, 48), (1, 300), (333, 7), (12_000, 2)):
        Image.new("L", (width, height)).save(folder / f"{width}.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (48, 64)).save(folder / "64.png", exif=exif)
    return folder


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    images=st.lists(st.tuples(image_size, st.lists(numbered_box, max_size=6)), min_size=2, max_size=4),
    splits=st.booleans(),
)
def test_a_round_trip_moves_no_box(images, splits: bool, sized: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Drawn at random: any sizes and numbers of boxes, crowds and difficult ones, with splits and without."""
    rows, kinds, flags, lengths = [], [], [], []
    for (width, height), boxes in images:
        kept = []
        for x, y, r, b, kind, crowd, difficult in boxes:
            left, right, top, bottom = *sorted((x * width, r * width)), *sorted((y * height, b * height))
            if right - left > 0.03 and bottom - top > 0.03:
                kept.append(((left, top, right, bottom), kind, crowd, difficult and not crowd))
        if min(width, height) > 4 and all(max(box[2:]) <= 1 for box, *_ in kept):
            kept = []  # boxes within the first pixel alone would be shares
        rows += [each[0] for each in kept]
        kinds += [each[1] for each in kept]
        flags += [each[2:] for each in kept]
        lengths.append(len(kept))
    if not any(not crowd for crowd, _ in flags):
        return
    columns = {
        "boxes": np.array(rows),
        "classes": np.array(kinds),
        "crowd": np.array([crowd for crowd, _ in flags]),
        "difficult": np.array([difficult for _, difficult in flags]),
    }
    truth = BoxLabels.flat(np.cumsum([0, *lengths]), columns, ("a cat", 'b, "c" & <d>', "한글"))
    paths = [f"{width}.png" for (width, _), _ in images]
    parts = np.arange(len(images)) % 3 if splits else None
    samples = Samples(sized, paths, {DETECTION: truth}, splits=None if parts is None else parts.astype(np.int8))
    for target, writer in WRITERS.items():
        out = tmp_path_factory.mktemp("round") / target
        written = write_boxes(samples, target, out)
        again = read_samples(out, format=target, labels=truth.class_names)
        assert written.images == len(images) == len(again)
        stays = np.ones(len(rows), bool) if writer.crowds else ~columns["crowd"]
        expected = np.column_stack([columns["classes"], columns["crowd"], columns["boxes"]])[stays]
        held = truth_of(again)
        found = np.column_stack([held.classes, held.rows.columns["crowd"], held.boxes])
        apart = np.abs(expected[:, None] - found[None]).max(axis=2)
        assert (apart.min(axis=0) < 0.01).all() and (apart.min(axis=1) < 0.01).all()
        if len(found) == len(expected):  # copies of a box are one
            difficult = columns["difficult"][stays].sum() if writer.difficult else 0
            assert held.rows.columns["difficult"].sum() == difficult
        if splits:
            assert again.splits is not None and sorted(again.splits.tolist()) == sorted(parts.tolist())


def _panoptic(folder: Path) -> NDArray[np.int64]:
    """Two pictures: sky over a person and a cat, and pixels of nothing. Gives the segments' numbers of the first."""
    numbers = np.zeros((6, 8), np.int64)
    numbers[:2], numbers[2:, :3], numbers[3:, 5:7] = 70_000, 258, 3
    colours = np.stack([numbers % 256, numbers // 256 % 256, numbers // 65536], axis=-1).astype(np.uint8)
    (folder / "train").mkdir(parents=True)
    (folder / "panoptic_train").mkdir()
    for name in "ab":
        Image.new("RGB", (8, 6)).save(folder / "train" / f"{name}.jpg")
        Image.fromarray(colours if name == "a" else 0 * colours).save(folder / "panoptic_train" / f"{name}.png")
    boxes = {70_000: [0, 0, 8, 2], 258: [0, 2, 3, 4], 3: [5, 3, 2, 3]}
    kinds = {70_000: 9, 258: 1, 3: 2}
    segments = [
        {"id": each, "category_id": kinds[each], "bbox": boxes[each], "area": 1, "iscrowd": 0} for each in boxes
    ]
    document = {
        "images": [
            {"id": place, "file_name": f"{name}.jpg", "width": 8, "height": 6} for place, name in enumerate("ab")
        ],
        "annotations": [
            {"image_id": 0, "file_name": "a.png", "segments_info": segments},
            {"image_id": 1, "file_name": "b.png", "segments_info": [{**segments[1], "id": 5, "bbox": [0, 0, 2, 2]}]},
        ],
        "categories": [
            {"id": place, "name": name, "isthing": int(place < 9)}
            for place, name in ((1, "person"), (2, "cat"), (9, "sky"))
        ],
    }
    (folder / "panoptic_train.json").write_text(json.dumps(document))
    return numbers


def test_coco_in_its_panoptic_form(tmp_path: Path) -> None:
    """Every segment is in the mask, what is of none is of no class; boxes are of things."""
    numbers = _panoptic(tmp_path)
    masks = read_samples(tmp_path, task="segmentation")
    assert masks.paths == ["train/a.jpg", "train/b.jpg"]
    truth = masks.truth["segmentation"]
    assert truth.class_names == ("person", "cat", "sky")
    places = {0: 255, 258: 0, 3: 1, 70_000: 2}
    assert truth.mask(0).tolist() == [[places[each] for each in row] for row in numbers.tolist()]
    assert truth.pixels.tolist() == [[12, 6, 16, 14], [0, 0, 0, 48]]
    assert {finding.kind for finding in masks.found} >= {"no_outline"}  # the segment 5 has no pixel
    boxes = truth_of(read_samples(tmp_path))
    assert boxes.class_names == ("person", "cat")
    assert boxes.boxes.tolist() == [[0, 2, 3, 6], [5, 3, 7, 6], [0, 0, 2, 2]]
    (tmp_path / "panoptic_train" / "b.png").unlink()
    with pytest.raises(UsageError, match=r"b\.png is neither in panoptic_train/ beside it nor beside it itself"):
        read_samples(tmp_path, task="segmentation")
    read_samples(tmp_path)  # boxes need no PNG


def test_what_a_format_can_not_say_is_told(tmp_path: Path) -> None:
    samples = read_samples(DRAWN_SETS["coco"](tmp_path))
    truth = truth_of(samples)
    columns = dict(truth.rows.columns)
    columns["crowd"], columns["difficult"] = np.arange(len(truth.boxes)) == 0, np.arange(len(truth.boxes)) == 1
    present = np.arange(8) != 7
    marked = Samples(
        samples.root,
        samples.paths,
        {DETECTION: BoxLabels.flat(truth.rows.offsets, columns, NAMES, present)},
        groups=np.zeros(8, np.int32),
    )
    said = {target: " ".join(write_boxes(marked, target, tmp_path / "out" / target).lines) for target in WRITERS}
    assert "1 crowd, which yolo" in said["yolo"] and "which objects are difficult (1), which yolo" in said["yolo"]
    assert "1 crowd, which voc" in said["voc"] and "difficult" not in said["voc"]
    assert said["coco"] == said["labelme"]
    assert said["coco"].startswith("Left out: 1 picture that nobody looked at. Not said: which images are of one group")


def test_pictures_of_one_name_and_broken_ones(tmp_path: Path) -> None:
    for folder in "ab":
        (tmp_path / folder).mkdir()
        Image.new("L", (9, 9)).save(tmp_path / folder / "x.png")
    Image.new("L", (9, 9)).save(tmp_path / "a/x.jpg")
    (tmp_path / "a/broken.png").write_bytes(b"no picture")
    truth = BoxLabels.of([([[0, 0, 5, 5]], [0])] * 4, ("a",))
    samples = Samples(tmp_path, ["a/x.png", "b/x.png", "a/x.jpg", "a/broken.png"], {DETECTION: truth})
    for target in WRITERS:
        out = tmp_path / "out" / target
        written = write_boxes(samples, target, out)
        assert "1 picture that can not be read" in written.lines[0]
        assert sorted(by_name(read_samples(out))) == ["x.png", "x_2.png", "x_3.jpg"]


def test_other_files_in_a_folder_of_classes_are_no_boxes(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / label).mkdir()
        Image.new("L", (9, 9)).save(tmp_path / label / "x.png")
    (tmp_path / "mkdocs.yaml").write_text("site_name: pages\nnav: [a, b]\n")
    (tmp_path / "broken.yaml").write_text("names: [a, b\n\t- :")
    (tmp_path / "notes.xml").write_text("<note/>")
    (tmp_path / "notes.txt").write_text("1 2 3 4 5\n")
    (tmp_path / "notes.json").write_text('{"info": 1, "shapes": 2}')
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere.json")
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    samples = read_samples(tmp_path)
    assert samples.class_names == ("a", "b") and [*samples.truth] == ["classification"]
    for name in DRAWN_SETS:
        with pytest.raises(UsageError):
            read_samples(tmp_path, format=name)
