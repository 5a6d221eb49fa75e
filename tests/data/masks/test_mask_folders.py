"""Folders of images and masks as people have them, through the one way in."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.data.audit import audit
from pocketvision.data.samples import Samples
from pocketvision.data.sources.catalog import read_samples
from pocketvision.errors import ImageError, UsageError
from pocketvision.preprocessing import decode
from pocketvision.preprocessing.values import read_values, turned
from pocketvision.tasks.segmentation.truth import NOTHING, SEGMENTATION, MaskLabels

SIZE = (12, 8)
GENERATOR = np.random.default_rng(0)


def picture(file: Path, size: tuple[int, int] = SIZE, orientation: int = 1) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation > 1:
        exif[0x0112] = orientation
    pixels = GENERATOR.integers(0, 255, (size[1], size[0], 3)).astype(np.uint8)
    Image.fromarray(pixels).save(file, exif=exif.tobytes())


def values(number: int, classes: int = 3) -> np.ndarray:
    """(8, 12) every class somewhere."""
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    for place in range(1, classes):
        mask[place : place + 3, number % 3 : number % 3 + 4 + place] = place
    return mask


def masked(file: Path, mask: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(file)


def plain(place: Path, classes: int = 3, count: int = 4) -> Path:
    for number in range(count):
        picture(place / f"images/{number}.png")
        masked(place / f"masks/{number}.png", values(number, classes))
    return place


def truth_of(samples: Samples) -> MaskLabels:
    truth = samples.truth[SEGMENTATION]
    assert isinstance(truth, MaskLabels)
    return truth


def kinds(samples: Samples) -> dict[str, int]:
    return {each.kind: each.count for each in samples.found}


def test_values_are_the_classes_of_classes_txt(tmp_path: Path) -> None:
    (plain(tmp_path) / "classes.txt").write_text("sky\nroad\ntree\n")
    samples = read_samples(tmp_path)
    truth = truth_of(samples)
    assert truth.class_names == ("sky", "road", "tree") and kinds(samples) == {}
    assert samples.paths == [f"images/{number}.png" for number in range(4)]
    assert all((truth.mask(number) == values(number)).all() for number in range(4))
    assert (
        truth.pixels.tolist()
        == MaskLabels.of_arrays([values(each) for each in range(4)], truth.class_names).pixels.tolist()
    )
    assert samples.reading[1:] == ("Classes from classes.txt.",)


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images/train/a.jpg", "masks/train/a.png"),
        ("train/images/a.jpg", "train/masks/a.png"),
        ("train/a.png", "trainannot/a.png"),
        ("train/a.jpg", "train_masks/a_mask.png"),
        ("JPEGImages/a.jpg", "SegmentationClass/a.png"),
        ("a.jpg", "a_mask.png"),
        ("img/a_sat.jpg", "gt/a_mask.png"),
        ("image/a.png", "label/a_L.png"),
        ("deep/image/a.png", "deep/label/a.png"),
        ("imgs/image_a1.png", "labels/mask_a1.png"),
    ],
)
def test_masks_are_found_wherever_people_put_them(tmp_path: Path, image: str, mask: str) -> None:
    for name in ("a", "b", "c"):
        picture(tmp_path / image.replace("a.", f"{name}.").replace("a_", f"{name}_").replace("a1", f"{name}1"))
        masked(
            tmp_path
            / mask.replace("a.", f"{name}.")
            .replace("a_m", f"{name}_m")
            .replace("a_L", f"{name}_L")
            .replace("a1", f"{name}1"),
            values(0, 2),
        )
    samples = read_samples(tmp_path)
    assert len(samples) == 3 and kinds(samples) == {}
    assert (samples.splits is not None) == ("train" in image)


def test_splits_of_folders_are_kept_and_names_may_repeat_across_them(tmp_path: Path) -> None:
    for split, number in (("train", 0), ("val", 1), ("test", 2)):
        picture(tmp_path / split / "images/a.png")
        masked(tmp_path / split / "masks/a.png", values(number))
    samples = read_samples(tmp_path)
    assert samples.splits is not None and samples.splits.tolist() == [2, 0, 1]
    assert [(truth_of(samples).mask(place) == values(number)).all() for place, number in enumerate((2, 0, 1))] == [
        True
    ] * 3


@pytest.mark.parametrize(("low", "high"), [(0, 255), (0, 1)])
def test_two_values_are_background_and_foreground(tmp_path: Path, low: int, high: int) -> None:
    for number in range(3):
        picture(tmp_path / f"images/{number}.png")
        masked(tmp_path / f"masks/{number}.png", np.where(values(number, 2) == 1, high, low).astype(np.uint8))
    samples = read_samples(tmp_path)
    assert truth_of(samples).class_names == ("background", "foreground")
    assert (truth_of(samples).mask(1) == values(1, 2)).all()
    assert kinds(samples) == ({"stretched_values": 3} if high == 255 else {})
    assert any("foreground" in line for line in samples.reading)
    named = read_samples(tmp_path, labels=["cell", "crack"])
    assert truth_of(named).class_names == ("cell", "crack") and (truth_of(named).mask(1) == values(1, 2)).all()


def test_one_name_is_that_of_the_foreground(tmp_path: Path) -> None:
    (plain(tmp_path, 2) / "classes.txt").write_text("crack\n")
    assert truth_of(read_samples(tmp_path)).class_names == ("background", "crack")
    (plain(tmp_path / "more") / "classes.txt").write_text("road\ntree\n")
    more = read_samples(tmp_path / "more")
    assert truth_of(more).class_names == ("background", "road", "tree") and "0 is read as background" in more.reading[2]


def test_what_255_and_void_mark_is_of_no_class(tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / f"images/{number}.png")
        mask = values(number, 3)
        mask[0, :4] = 255
        masked(tmp_path / f"masks/{number}.png", mask)
    (tmp_path / "classes.txt").write_text("sky\nroad\nvoid\n")
    samples = read_samples(tmp_path)
    truth = truth_of(samples)
    assert truth.class_names == ("sky", "road") and kinds(samples) == {}
    assert (truth.mask(0)[0, :4] == NOTHING).all() and (truth.mask(0)[values(0) == 2] == NOTHING).all()


def test_values_of_no_class_are_an_error_and_not_learned(tmp_path: Path) -> None:
    plain(tmp_path)
    masked(tmp_path / "masks/2.png", np.where(values(2) == 2, 9, values(2)).astype(np.uint8))
    (tmp_path / "classes.txt").write_text("sky\nroad\ntree\n")
    samples = read_samples(tmp_path)
    assert kinds(samples) == {"values_of_no_class": 1} and samples.found[0].files == ("masks/2.png",)
    assert (truth_of(samples).mask(2)[values(2) == 2] == NOTHING).all()
    assert audit(samples, workers=0).hurts


def test_given_values_and_stretched_greys(tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / f"images/{number}.png")
        masked(tmp_path / f"masks/{number}.png", (values(number) * 80).astype(np.uint8))
    bare = read_samples(tmp_path)
    assert truth_of(bare).class_names == ("0", "80", "160") and "called by their values" in bare.reading[1]
    (tmp_path / "classes.txt").write_text("sky\nroad\ntree\n")
    ordered = read_samples(tmp_path)
    assert (truth_of(ordered).mask(1) == values(1)).all() and "in order" in ordered.reading[2]
    (tmp_path / "classes.txt").write_text("160 sky\n0 road\n80 void\n")
    given = truth_of(read_samples(tmp_path))
    assert given.class_names == ("sky", "road") and given.mask(1)[0, 0] == 1
    assert (given.mask(1)[values(1) == 1] == NOTHING).all() and (given.mask(1)[values(1) == 2] == 0).all()


COLOURS = np.array([(0, 0, 0), (128, 64, 128), (0, 128, 0)], np.uint8)
TABLES = {
    "classes.txt": "sky 0 0 0\nroad 128 64 128\ntree 0 128 0\n",
    "label_colors.txt": "0 0 0\tsky\n128 64 128\t\troad\n0 128 0\ttree\n",
    "labelmap.txt": "# label:color_rgb:parts:actions\nsky:0,0,0::\nroad:128,64,128::\ntree:0,128,0::\n",
    "class_dict.csv": "name,r,g,b\nsky,0,0,0\nroad,128,64,128\ntree,0,128,0\n",
    "labels.txt": "sky #000000\nroad #804080\ntree #008000\n",
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("form", ["colours", "palette", "numbers"])
def test_colours_are_classes_by_a_table(tmp_path: Path, name: str, form: str) -> None:
    for number in range(3):
        picture(tmp_path / f"images/{number}.png")
        image = Image.fromarray(values(number) if form != "colours" else COLOURS[values(number)])
        if form == "palette":  # its places are in another order than the table's
            image = Image.fromarray(2 - values(number))
            image.putpalette(COLOURS[::-1].tobytes())
        (tmp_path / "masks").mkdir(exist_ok=True)
        image.save(tmp_path / f"masks/{number}.png")
    (tmp_path / name).write_text(TABLES[name])
    samples = read_samples(tmp_path)
    assert truth_of(samples).class_names == ("sky", "road", "tree") and kinds(samples) == {}
    assert all((truth_of(samples).mask(number) == values(number)).all() for number in range(3))


def test_colours_without_a_table_are_an_error_that_lists_them(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.png")
    masked(tmp_path / "masks/a.png", COLOURS[values(0)])
    with pytest.raises(UsageError, match=r"3 of them, the most frequent 0 0 0, .*128 64 128.*classes\.txt"):
        read_samples(tmp_path)


def test_smoothed_edges_are_told(tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / f"images/{number}.png", (48, 32))
        mask = Image.fromarray(values(number, 2) * 255).resize((48, 32), Image.Resampling.BICUBIC)
        (tmp_path / "masks").mkdir(exist_ok=True)
        mask.save(tmp_path / f"masks/{number}.png")
    samples = read_samples(tmp_path)
    assert kinds(samples) == {"blended_values": 3} and truth_of(samples).class_names == ("background", "foreground")


def test_jpeg_masks_of_colours_keep_what_is_near(tmp_path: Path) -> None:
    big = [values(number).repeat(16, 0).repeat(16, 1) for number in range(3)]
    for number in range(3):
        picture(tmp_path / f"images/{number}.png", (192, 128))
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(COLOURS[big[number]]).save(tmp_path / f"masks/{number}.jpg", quality=95)
    (tmp_path / "classes.txt").write_text(TABLES["classes.txt"])
    samples = read_samples(tmp_path)
    assert kinds(samples)["blended_values"] == 3
    found = truth_of(samples).mask(0)
    known = found != NOTHING
    assert known.mean() > 0.9 and (found == big[0])[known].mean() > 0.99


def test_sizes_turns_and_partners_that_do_not_fit_are_told(tmp_path: Path) -> None:
    plain(tmp_path)
    picture(tmp_path / "images/none.png")
    masked(tmp_path / "masks/alone.png", values(0))
    masked(tmp_path / "masks/1_mask.png", values(0))
    masked(tmp_path / "masks/2.png", values(2).repeat(2, 0).repeat(2, 1))
    masked(tmp_path / "masks/3.png", values(2)[:, :7])
    picture(tmp_path / "images/turned.jpg", SIZE, 6)
    masked(tmp_path / "masks/turned.png", values(1))
    (tmp_path / "masks/0.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    samples = read_samples(tmp_path)
    assert kinds(samples) == {
        "images_without_masks": 1,
        "masks_without_images": 1,
        "several_masks": 1,
        "unreadable_mask": 1,
        "mask_size_differs": 1,
        "mask_of_other_shape": 1,
        "turned_masks": 1,
    }
    assert samples.paths == ["images/1.png", "images/2.png", "images/turned.jpg"]
    assert (truth_of(samples).mask(2) == np.rot90(values(1), -1)).all()
    assert all(each.message.endswith(".") for each in samples.found)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_values_are_turned_as_exif_says(orientation: int) -> None:
    colours = Image.fromarray(COLOURS[values(0)])
    exif = Image.Exif()
    exif[0x0112] = orientation
    written = io.BytesIO()
    colours.save(written, "PNG", exif=exif.tobytes())
    assert (turned(COLOURS[values(0)], orientation) == np.asarray(decode(written.getvalue()))).all()


def test_nothing_but_background_is_an_error_and_some_of_it_a_note(tmp_path: Path) -> None:
    plain(tmp_path, 2)
    masked(tmp_path / "masks/0.png", np.zeros((8, 12), np.uint8))
    some = audit(read_samples(tmp_path), workers=0)
    assert some.counts["background_alone"] == 1 and not some.hurts
    for number in range(4):
        masked(tmp_path / f"masks/{number}.png", np.zeros((8, 12), np.uint8))
    assert "nothing_but_background" in audit(read_samples(tmp_path), workers=0).counts


def test_rare_classes_and_unmarked_pixels_are_told(tmp_path: Path) -> None:
    for number in range(4):
        picture(tmp_path / f"images/{number}.png", (60, 40))
        mask = np.zeros((40, 60), np.uint8)
        mask[:20, :30] = NOTHING
        mask[30, 30:34] = number == 0
        masked(tmp_path / f"masks/{number}.png", mask)
    (tmp_path / "classes.txt").write_text("sky\nkite\n")
    counts = audit(read_samples(tmp_path), workers=0).counts
    assert {"unequal_pixels", "unmarked_pixels", "rare_classes"} <= set(counts)


def test_more_than_255_classes_are_refused(tmp_path: Path) -> None:
    picture(tmp_path / "images/a.png", (300, 4))
    masked(tmp_path / "masks/a.png", np.arange(1200, dtype=np.uint16).reshape(4, 300))
    with pytest.raises(UsageError, match="at most 255"):
        read_samples(tmp_path)
    (tmp_path / "classes.txt").write_text("".join(f"class{number} {number} 0 0\n" for number in range(256)))
    with pytest.raises(UsageError, match="at most 255"):
        read_samples(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sky\nsky\n", "twice"),
        ("sky 1 2 3\nroad\n", "has none"),
        ("sky 1 2 3\nroad 1 2 3\n", "twice"),
        ("7 sky\n7 road\n", "twice"),
        ("sky 1 2 300\n", "above 255"),
    ],
)
def test_a_table_that_does_not_hold_together_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (plain(tmp_path) / "classes.txt").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_samples(tmp_path)


def test_folders_of_classes_are_no_folders_of_masks(tmp_path: Path) -> None:
    for label in ("with_mask", "without_mask"):
        for number in range(3):
            picture(tmp_path / label / f"{number}.png")
    assert read_samples(tmp_path).classes is not None
    with pytest.raises(UsageError, match="segmentation"):
        read_samples(tmp_path, task="segmentation")


def test_cityscapes_by_its_folders_and_ids(tmp_path: Path) -> None:
    for split, city in (("train", "aachen"), ("val", "bochum"), ("test", "berlin")):
        picture(tmp_path / f"leftImg8bit/{split}/{city}/{city}_000_019_leftImg8bit.png")
        ids = np.array([7, 0, 26], np.uint8)[values(0)]
        masked(tmp_path / f"gtFine/{split}/{city}/{city}_000_019_gtFine_labelIds.png", ids)
        masked(tmp_path / f"gtFine/{split}/{city}/{city}_000_019_gtFine_color.png", COLOURS[values(0)])
    samples = read_samples(tmp_path)
    truth = truth_of(samples)
    assert samples.origin is not None and samples.origin.format == "cityscapes"
    assert truth.class_names == ("road", "car") and samples.splits is not None and samples.splits.tolist() == [0, 1]
    assert truth.mask(0).tolist() == np.array([0, NOTHING, 1], np.uint8)[values(0)].tolist()


def test_masks_are_read_within_bounds(tmp_path: Path) -> None:
    masked(tmp_path / "a.png", values(0))
    with pytest.raises(ImageError, match="limit of 50"):
        read_values(tmp_path / "a.png", "a.png", max_pixels=50)
    Image.fromarray(values(0)).convert("CMYK").save(tmp_path / "b.tif")
    with pytest.raises(ImageError, match="CMYK"):
        read_values(tmp_path / "b.tif", "b.tif")
    (tmp_path / "c.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    with pytest.raises(ImageError, match=r"c\.png"):
        read_values(tmp_path / "c.png", "c.png")


def test_a_table_of_pairs_has_splits_and_groups(tmp_path: Path) -> None:
    plain(tmp_path)
    rows = [
        f"images/{number}.png,masks/{number}.png,{split},p{number // 2}"
        for number, split in enumerate(("train", "val", "test"))
    ]
    gone = [
        "images/3.png,masks/none.png,train,p1",
        "images/none.png,masks/3.png,train,p1",
        "images/0.png,masks/1.png,train,p0",
    ]
    (tmp_path / "pairs.csv").write_text("\n".join(["image,mask,split,group", *rows, *gone, ",,,"]))
    (tmp_path / "classes.txt").write_text("sky\nroad\ntree\n")
    samples = read_samples(tmp_path / "pairs.csv")
    assert samples.origin is not None and samples.origin.format == "mask-table" and len(samples) == 3
    assert samples.splits is not None and samples.splits.tolist() == [0, 1, 2]
    assert samples.groups is not None and samples.groups.tolist() == [0, 0, 1]
    assert kinds(samples) == {"images_without_masks": 1, "masks_without_images": 1, "several_masks": 1}
    (tmp_path / "pairs.csv").write_text("image,mask,split\nimages/0.png,masks/0.png,never\n")
    with pytest.raises(UsageError, match="line 2: the split"):
        read_samples(tmp_path / "pairs.csv")
    (tmp_path / "pairs.csv").write_text("what,mask\nimages/0.png,masks/0.png\n")
    with pytest.raises(UsageError, match="--path-column"):
        read_samples(tmp_path / "pairs.csv")


def test_a_value_is_said_to_be_of_no_class(tmp_path: Path) -> None:
    """In greys, in palettes and in two classes; the classes that are left keep their places."""
    plain(tmp_path)
    for number in range(4):
        mask = np.where(values(number) == 0, 250, values(number) - 1).astype(np.uint8)
        masked(tmp_path / f"masks/{number}.png", mask)
    read = read_samples(tmp_path, ignore=250)
    assert truth_of(read).class_names == ("background", "foreground") and kinds(read) == {}
    assert (truth_of(read).mask(1) == np.where(values(1) == 0, NOTHING, values(1) - 1)).all()
    assert truth_of(read).pixels[1].tolist() == [(values(1) == place).sum() for place in (1, 2, 0)]
    assert "Pixels of the value 250 are of no class: neither learned nor measured." in read.reading
    assert read.origin is not None and type(read.origin).from_dict(read.origin.to_dict()) == read.origin
    assert truth_of(read_samples(tmp_path)).mask(1).tolist() != truth_of(read).mask(1).tolist()
    (tmp_path / "classes.txt").write_text("0 road\n1 tree\n250 sky\n")
    assert truth_of(read_samples(tmp_path, ignore=250)).class_names == ("road", "tree")
    said = read_samples(tmp_path, ignore=7).reading
    assert "Pixels of the value 7 are of no class: but no mask has any." in said
    with pytest.raises(UsageError, match="expected 0 to 65,535"):
        read_samples(tmp_path, ignore=-1)


def test_one_of_two_values_said_to_be_of_no_class_is_told(tmp_path: Path) -> None:
    """White is what is looked for in masks of black and white: nothing is left but black."""
    plain(tmp_path)
    for number in range(4):
        masked(tmp_path / f"masks/{number}.png", np.where(values(number) == 0, 0, 255).astype(np.uint8))
    (tmp_path / "classes.txt").write_text("0 ground\n1 thing\n")
    said = " ".join(read_samples(tmp_path, ignore=255).reading)
    assert (
        "Pixels of the value 255 are of no class: neither learned nor measured. Every other pixel has the value 0"
        in said
    )


def test_a_value_of_no_class_is_for_values(tmp_path: Path) -> None:
    plain(tmp_path / "a", count=2)
    colours = np.array([[0, 0, 0], [128, 64, 128], [0, 250, 0]], np.uint8)
    for number in range(2):
        masked(tmp_path / f"a/masks/{number}.png", colours[values(number)])
    (tmp_path / "a/classes.txt").write_text("sky 0 0 0\nroad 128 64 128\ntree 0 250 0\n")
    with pytest.raises(UsageError, match=r"the masks are in colours.*`void 0 0 0`"):
        read_samples(tmp_path / "a", ignore=2)
    with pytest.raises(UsageError, match="read as image-folder, has no files of masks"):
        read_samples(tmp_path, format="image-folder", ignore=2)
