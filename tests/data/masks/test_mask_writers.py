"""Masks written and read again."""

from pathlib import Path

import numpy as np
import pytest
from data.masks.masked_sets import MASKED_SETS
from PIL import Image

from pocketvision.data.masks.filling import fill
from pocketvision.data.sources.catalog import read_samples
from pocketvision.errors import UsageError
from pocketvision.tasks.segmentation.outlines import outlines_of
from pocketvision.tasks.segmentation.truth import NOTHING, SEGMENTATION, MaskLabels
from pocketvision.workflows.convert import convert


def masks_of(place: Path) -> tuple[MaskLabels, list[str]]:
    samples = read_samples(place, task=SEGMENTATION)
    truth = samples.truth[SEGMENTATION]
    assert isinstance(truth, MaskLabels)
    return truth, [Path(path).name for path in samples.paths]


@pytest.mark.parametrize("name", ["mask-folder", "coco-masks", "yolo-masks"])
@pytest.mark.parametrize("target", ["png", "coco"])
def test_what_is_written_reads_the_same(tmp_path: Path, name: str, target: str) -> None:
    source = MASKED_SETS[name](tmp_path)
    told = convert(source, to=target, out=tmp_path / "out", task=SEGMENTATION)
    assert told.images == 8 and told.folder == tmp_path / "out"
    one, names = masks_of(source)
    other, others = masks_of(tmp_path / "out")
    assert sorted(names) == sorted(others)
    if target == "png":
        assert other.class_names == one.class_names
    for place, own in enumerate(names):
        found, there = other.mask(others.index(own)), one.mask(place)
        said = np.array([*other.class_names, ""], object)[np.minimum(found, len(other.class_names))]
        meant = np.array([*one.class_names, ""], object)[np.minimum(there, len(one.class_names))]
        assert (said == meant).all()
    picture = read_samples(source, task=SEGMENTATION).file(0)
    assert any(picture.read_bytes() == each.read_bytes() for each in (tmp_path / "out/images").rglob("*.png"))


def test_pixels_of_no_class_are_kept_in_png_and_told_of_coco(tmp_path: Path) -> None:
    source = MASKED_SETS["mask-folder"](tmp_path)
    mask = np.asarray(Image.open(source / "masks/0.png")).copy()
    mask[:3] = NOTHING
    Image.fromarray(mask).save(source / "masks/0.png")
    convert(source, to="png", out=tmp_path / "png")
    written = Image.open(tmp_path / "png/masks/0.png")
    assert written.mode == "P" and (np.asarray(written)[:3] == NOTHING).all()
    assert "of no class" in convert(source, to="coco", out=tmp_path / "coco", task=SEGMENTATION).lines[-1]


def test_what_can_not_be_written_is_refused(tmp_path: Path) -> None:
    source = MASKED_SETS["mask-folder"](tmp_path)
    with pytest.raises(UsageError, match="nothing is ever overwritten"):
        convert(source, to="png", out=source)
    with pytest.raises(UsageError, match="voc"):
        convert(source, to="voc", out=tmp_path / "out", task=SEGMENTATION)
    with pytest.raises(UsageError, match="gif"):
        convert(source, to="gif", out=tmp_path / "out")
    with pytest.raises(UsageError, match="--task"):
        convert(source, to="png", out=tmp_path / "out", task="tags")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("seed", range(6))
def test_outlines_hold_the_same_pixels(seed: int) -> None:
    marks = np.random.default_rng(seed).random((9, 11)) < 0.35 + seed / 15
    again = np.zeros(marks.shape, np.uint8)
    lines = [np.array(line, np.float64) for line in outlines_of(marks)]
    if lines:
        fill(again, lines, 1)
    assert (again == marks).all()


def test_straight_pieces_are_joined() -> None:
    marks = np.zeros((5, 6), np.bool_)
    marks[1:4, 2:5] = True
    (line,) = outlines_of(marks)
    assert sorted(line) == [(2, 1), (2, 4), (5, 1), (5, 4)]
    marks[2, 3] = False
    assert sorted(len(each) for each in outlines_of(marks)) == [4, 4]
