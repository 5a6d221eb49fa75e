"""Views: what is drawn, what it does to pixels, and that boxes go where the pixels go."""

import io
from dataclasses import astuple, replace
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from pocketvision.data.augment import (
    AUGMENTATIONS,
    CLEAN,
    View,
    apply_view,
    augmentation_named,
    draw_view,
    placement_of,
)
from pocketvision.errors import UsageError
from pocketvision.preprocessing import Fit, Placement, Preprocessing

SQUARE = Preprocessing(224, 224, 0.875, "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
WIDE = Preprocessing(64, 96, 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
SIZES = [(640, 480), (200, 333), (224, 224), (37, 800), (3, 2), (1, 1)]


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """Smooth random colours: what a picture is to a resampler."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


FITS = [replace(WIDE, fit=fit) for fit in get_args(Fit)] + [replace(SQUARE, crop_share=1.0, fit="pad")]


def views(count: int, name: str = "standard") -> list[View]:
    return [draw_view(1, image, 2, augmentation=name) for image in range(count)]


@pytest.mark.parametrize("preprocessing", [SQUARE, WIDE])
@pytest.mark.parametrize("size", SIZES)
def test_the_clean_view_is_preprocessing(preprocessing: Preprocessing, size: tuple[int, int]) -> None:
    image = photo(*size)
    assert np.array_equal(apply_view(image, CLEAN, preprocessing), preprocessing(image))
    assert CLEAN == View() == draw_view(3, 4, augmentation="none")


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_draws_stay_in_their_ranges_and_fill_them(name: str) -> None:
    row = AUGMENTATIONS[name]
    drawn = views(500, name)
    for field, change in (("brightness", row.brightness), ("contrast", row.contrast), ("saturation", row.saturation)):
        values = [getattr(view, field) for view in drawn]
        assert max(values) <= 1 + change + 1e-6 and min(values) >= 1 - change - 1e-6
        assert max(values) >= 1 + 0.95 * change and min(values) <= 1 - 0.95 * change
        assert abs(np.mean(values) - 1) < 0.1 * change + 1e-9
    angles = [view.rotation for view in drawn]
    assert max(map(abs, angles)) <= row.rotation and max(angles) >= 0.95 * row.rotation
    assert abs(np.mean([view.flip for view in drawn]) - row.flip) < 0.08
    if row.smallest_area is not None:
        assert all(view.area is not None and row.smallest_area <= view.area <= 1 for view in drawn)
        assert all(1 / row.stretch - 1e-6 <= view.stretch <= row.stretch + 1e-6 for view in drawn)
        assert np.ptp([view.across for view in drawn]) > 0.95 and np.ptp([view.down for view in drawn]) > 0.95


def test_draws_belong_to_their_numbers() -> None:
    assert draw_view(0, 1, 2) == draw_view(0, 1, 2)
    drawn = {
        astuple(draw_view(*numbers)) for numbers in [(0,), (0, 0), (0, 0, 0), (1, 0), (0, 1), (11,), (1, 1), (2**64,)]
    }
    assert len(drawn) == 8
    # Recorded: views are keys of caches and of repeated runs, so no machine or library may draw others.
    recorded = View(
        area=0.623276,
        stretch=0.940665,
        across=0.823778,
        down=0.989042,
        flip=False,
        rotation=8.633151,
        brightness=0.901931,
        contrast=0.828748,
        saturation=1.017934,
    )
    assert draw_view(7, 1234567890123456789, 3) == recorded
    draws = np.array([(*astuple(view)[1:4], view.brightness, view.rotation) for view in views(2000)])
    assert np.abs(np.corrcoef(draws.T) - np.eye(5)).max() < 0.08


def test_names_and_flips() -> None:
    with pytest.raises(UsageError, match="Did you mean standard"):
        draw_view(0, augmentation="standart")
    upright = replace(augmentation_named("strong"), flip=0.0)
    assert not any(draw_view(0, number, augmentation=upright).flip for number in range(50))
    assert replace(draw_view(0, 3, augmentation="strong"), flip=False) == draw_view(0, 3, augmentation=upright)


@pytest.mark.parametrize("preprocessing", [SQUARE, WIDE])
@pytest.mark.parametrize("size", SIZES)
def test_every_view_of_every_size_has_the_inputs_shape(preprocessing: Preprocessing, size: tuple[int, int]) -> None:
    image = photo(*size)
    for view in views(15, "strong"):
        pixels = apply_view(image, view, preprocessing)
        assert pixels.shape == (3, preprocessing.height, preprocessing.width) and pixels.dtype == np.float32


def test_no_pixel_is_invented() -> None:
    """White stays white up to the corners: no fill colour comes in, however the view turns and wherever it lies."""
    for size in ((640, 480), (225, 224), (90, 400)):
        white = Image.new("RGB", size, (255, 255, 255))
        for view in [
            *views(25, "strong"),
            View(area=1.0, rotation=45),
            View(rotation=-90),
            View(area=0.5, across=1, down=1),
        ]:
            colourless = replace(view, brightness=1.0, contrast=1.0, saturation=1.0)
            assert np.asarray(colourless.crop(white, SQUARE)).min() == 255


def test_the_region_has_the_drawn_area_and_shape() -> None:
    for view in views(50):
        upright = replace(view, rotation=0.0)
        matrix = upright.matrix((500, 400), WIDE)
        width, height = WIDE.width / abs(matrix[0, 0]), WIDE.height / matrix[1, 1]
        assert width <= 500.001 and height <= 400.001
        assert width / height == pytest.approx(view.stretch * WIDE.width / WIDE.height, rel=1e-6)
        if width < 499.9 and height < 399.9:
            assert width * height == pytest.approx((view.area or 0) * 500 * 400, rel=1e-6)


@pytest.mark.parametrize("preprocessing", [SQUARE, WIDE])
def test_pixels_go_where_the_matrix_says(preprocessing: Preprocessing) -> None:
    """A red spot of the image is found in the view where the matrix puts its middle, to a tenth of a pixel."""
    found = 0
    special = [CLEAN, View(flip=True), View(rotation=20), View(area=0.5, rotation=-30, flip=True), View(rotation=90)]
    for number, view in enumerate([*views(30, "strong"), *special]):
        view = replace(view, brightness=1.0, contrast=1.0, saturation=1.0)
        generator = np.random.default_rng(number)
        x, y = generator.uniform(100, 540), generator.uniform(100, 380)
        down, across = np.mgrid[0:480, 0:640] + 0.5
        spot = 255 * np.exp(-((across - x) ** 2 + (down - y) ** 2) / (2 * 12**2))
        image = Image.fromarray(np.stack([spot, 0 * spot, 0 * spot], axis=2).round().astype(np.uint8))
        expected = (view.matrix(image.size, preprocessing) @ [x, y, 1])[:2]
        margin = 45 * preprocessing.width / 300
        if not (
            margin < expected[0] < preprocessing.width - margin and margin < expected[1] < preprocessing.height - margin
        ):
            continue
        found += 1
        weight = np.asarray(view.crop(image, preprocessing))[..., 0].astype(float)
        weight[weight < 25] = 0
        rows, columns = np.mgrid[0 : preprocessing.height, 0 : preprocessing.width] + 0.5
        middle = ((weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum())
        assert np.hypot(middle[0] - expected[0], middle[1] - expected[1]) < 0.1, view
    assert found > 15


@pytest.mark.parametrize("preprocessing", FITS, ids=lambda each: f"{each.fit} {each.width} x {each.height}")
@pytest.mark.parametrize(
    ("size", "orientation"), [((1285, 965), 1), ((1283, 1801), 3), ((645, 397), 6), ((301, 977), 8)]
)
def test_a_view_has_its_placement(size: tuple[int, int], orientation: int, preprocessing: Preprocessing) -> None:
    """In the pixels of the whole upright JPEG, however small and turned it was decoded, to a tenth of an input's pixel."""
    found = 0
    special = [CLEAN, View(flip=True), View(rotation=20), View(area=0.5, rotation=-30, flip=True), View(area=1.0)]
    for number, view in enumerate([*views(12, "strong"), *special]):
        view = replace(view, brightness=1.0, contrast=1.0, saturation=1.0)
        black = preprocessing.decode_image(turned_jpeg(np.zeros(size[::-1]), orientation))
        placement = placement_of(view, black.placement, preprocessing)
        assert placement.image_size == size and placement.input_size == (preprocessing.width, preprocessing.height)
        expected = np.random.default_rng(number).uniform(0.4, 0.6, 2) * placement.input_size
        x, y = placement.to_image(expected[None])[0]
        assert placement.to_input(np.array([[x, y]]))[0] == pytest.approx(expected, abs=1e-6)
        radius = 2.5 / np.sqrt(abs(np.linalg.det(placement.matrix)))
        if not (3 * radius < x < size[0] - 3 * radius and 3 * radius < y < size[1] - 3 * radius):
            continue
        found += 1
        bell = [
            np.exp(-((np.arange(side) + 0.5 - at) ** 2) / (2 * radius**2))
            for side, at in zip(size, (x, y), strict=True)
        ]
        decoded = preprocessing.decode_image(turned_jpeg(255 * np.outer(bell[1], bell[0]), orientation))
        weight = apply_view(decoded.image, view, preprocessing)[0].astype(float)
        weight -= apply_view(black.image, view, preprocessing)[0]
        weight[weight < 0.1 * weight.max()] = 0
        rows, columns = np.mgrid[0 : preprocessing.height, 0 : preprocessing.width] + 0.5
        seen = np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
        assert np.abs(seen - expected).max() < 0.1, view
    assert found > 8


def turned_jpeg(grey: NDArray[np.floating], orientation: int) -> bytes:
    """A JPEG that is `grey` (H, W) once it is upright."""
    turn = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    image, exif, file = Image.fromarray(grey.round().astype(np.uint8)), Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    how = turn[orientation]
    (image if how is None else image.transpose(how)).save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("size", [(640, 480), (90, 400), (31, 7), (1, 1)])
@pytest.mark.parametrize("preprocessing", FITS, ids=lambda each: f"{each.fit} {each.width} x {each.height}")
def test_a_clean_view_shows_all_that_its_fit_keeps(preprocessing: Preprocessing, size: tuple[int, int]) -> None:
    """And so does a view of the whole area, where nothing is cropped."""
    assert np.array_equal(apply_view(photo(*size), CLEAN, preprocessing), preprocessing(photo(*size)))
    clean = preprocessing.place(photo(*size))[1].matrix
    assert np.allclose(CLEAN.matrix(size, preprocessing), clean, atol=1e-9)
    if preprocessing.fit != "crop":
        assert np.allclose(View(area=1.0).matrix(size, preprocessing), clean, atol=1e-9)


def test_views_of_a_padded_image_show_the_image_and_padding() -> None:
    padded = replace(SQUARE, crop_share=1.0, fit="pad")
    for size in ((640, 480), (90, 400), (224, 225)):
        for view in [
            *views(25, "strong"),
            View(area=1.0, rotation=45),
            View(rotation=-90),
            View(area=0.5, across=1, down=1),
        ]:
            colourless = replace(view, brightness=1.0, contrast=1.0, saturation=1.0)
            seen = np.asarray(colourless.crop(Image.new("RGB", size, padded.fill), padded))
            assert (seen == padded.fill).all(), "no third colour comes in"
            rows, columns = np.mgrid[0:224, 0:224] + 0.5
            back = np.linalg.inv(colourless.matrix(size, padded)) @ [columns.ravel(), rows.ravel(), np.ones(224 * 224)]
            inside = (np.abs(back[:2].T - np.array(size) / 2) < np.array(size) / 2 + 0.5).all(axis=1).reshape(224, 224)
            white = np.asarray(colourless.crop(Image.new("RGB", size, (255, 255, 255)), padded)).min(axis=2) > 250
            assert (white & ~inside).sum() == 0


def box_in(
    view: View, box: tuple[float, float, float, float], size: tuple[int, int], preprocessing: Preprocessing
) -> tuple[float, ...]:
    """Where a box of an image of `size` lies in the network's input, clipped to it."""
    placement = placement_of(view, Placement.of_decoding(size), preprocessing)
    return tuple(placement.boxes_to_input(np.array([box]))[0].clip(0, placement.input_size * 2).tolist())


def test_boxes_follow() -> None:
    size = (400, 300)
    # The clean crop keeps x from 50 to 350 of the 300 that fit, at crop_share 1; 96 x 64 keeps y from 16.67 to 283.33.
    plain = Preprocessing(150, 150, 1.0, "bilinear", (0, 0, 0), (1, 1, 1))
    assert box_in(CLEAN, (50, 0, 350, 300), size, plain) == pytest.approx((0, 0, 150, 150))
    assert box_in(CLEAN, (100, 20, 200, 80), size, plain) == pytest.approx((25, 10, 75, 40))
    assert box_in(View(flip=True), (100, 20, 200, 80), size, plain) == pytest.approx((75, 10, 125, 40))
    assert box_in(CLEAN, (0, 0, 100, 300), size, plain) == pytest.approx((0, 0, 25, 150)), "clipped"
    left, top, right, bottom = box_in(CLEAN, (0, 0, 40, 300), size, plain)
    assert (right - left) * (bottom - top) == 0, "out of view"
    corner = View(area=0.25 * 3 / 4, across=1.0, down=0.0)  # a square of 150 pixels in the upper right
    assert box_in(corner, (300, 0, 400, 50), size, plain) == pytest.approx((50, 0, 150, 50))


def test_content_turns_anticlockwise() -> None:
    plain = Preprocessing(100, 100, 1.0, "bilinear", (0, 0, 0), (1, 1, 1))
    right_edge = (90.0, 45.0, 100.0, 55.0)
    assert box_in(View(rotation=90), right_edge, (100, 100), plain) == pytest.approx((45, 0, 55, 10))
    turned = View(rotation=90).crop(photo(100, 100), plain)
    reference = photo(100, 100).transpose(Image.Transpose.ROTATE_90)
    assert np.abs(np.asarray(turned, dtype=int) - np.asarray(reference)).max() <= 1


def test_flip_mirrors_after_everything_else() -> None:
    for view in views(20):
        plain, mirrored = (
            np.asarray(replace(view, flip=flip).crop(photo(300, 200), WIDE), dtype=int) for flip in (False, True)
        )
        assert np.abs(plain[:, ::-1] - mirrored).max() <= 1


def test_colours_are_those_of_pillow() -> None:
    """Brightness and saturation as Pillow's own; contrast about mid-grey, where Pillow takes the image's mean."""
    image = photo(224, 224)
    base = SQUARE.crop(image)

    def difference(view: View, reference: Image.Image) -> int:
        return int(np.abs(np.asarray(view.crop(image, SQUARE), dtype=int) - np.asarray(reference)).max())

    for factor in (0.6, 0.9, 1.3):
        assert difference(View(brightness=factor), ImageEnhance.Brightness(base).enhance(factor)) <= 1
        assert difference(View(saturation=factor), ImageEnhance.Color(base).enhance(factor)) <= 2
    half = np.asarray(View(contrast=0.5).crop(image, SQUARE), dtype=float)
    assert np.abs(half - (np.asarray(base) * 0.5 + 127.5 / 2)).max() <= 1
    both = np.asarray(View(saturation=0.0, brightness=0.5).crop(image, SQUARE), dtype=int)
    assert np.ptp(both, axis=2).max() == 0, "grey in, grey out"


def test_a_view_fits_the_image_at_any_scale_it_is_decoded_at() -> None:
    """JPEG draft mode hands out a half or a quarter of the pixels: the same view must show the same."""
    large = photo(1280, 960)
    for view in views(10, "light"):
        one = np.asarray(view.crop(large, SQUARE), dtype=int)
        other = np.asarray(view.crop(large.reduce(2), SQUARE), dtype=int)
        assert np.abs(one - other).max() <= 4 and np.abs(one - other).mean() < 0.5


def test_the_result_can_be_written_in_place() -> None:
    out = np.empty((3, 224, 224), dtype=np.float32)
    assert apply_view(photo(300, 300), draw_view(0, 1), SQUARE, out) is out
    assert np.array_equal(out, apply_view(photo(300, 300), draw_view(0, 1), SQUARE))
