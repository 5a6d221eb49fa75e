"""Placements: a spot that is drawn into an image is found in the input where its placement puts it, and there is a way back."""

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pocketvision.preprocessing import Placement, Preprocessing

PLAIN = Preprocessing(40, 40, 1.0, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
"""The input is the pixels themselves, in [0, 1], and padding is black."""

PREPROCESSINGS = st.builds(
    lambda size, share_and_fit, interpolation: Preprocessing(
        *size, share_and_fit[0], interpolation, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), fit=share_and_fit[1]
    ),
    st.sampled_from([(40, 40), (33, 47), (52, 30)]),
    st.sampled_from([(0.875, "crop"), (1.0, "crop"), (1.0, "pad"), (1.0, "stretch")]),
    st.sampled_from(["bilinear", "bicubic"]),
)
SIDES = st.integers(90, 900)
SHARES = st.tuples(st.floats(0, 1), st.floats(0, 1))
# What Image.transpose needs to undo an EXIF orientation: the stored picture of an upright one.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def spot(size: tuple[int, int], middle: NDArray[np.float64], radius: NDArray[np.float64]) -> Image.Image:
    """A white spot on black; radius: standard deviations across and down, in pixels."""
    across, down = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    bell = np.outer(
        *(
            np.exp(-(((at - x) / r) ** 2) / 2)
            for at, x, r in zip((down, across), middle[::-1], radius[::-1], strict=True)
        )
    )
    return Image.fromarray((255 * bell).round().astype(np.uint8)).convert("RGB")


def found_middle(pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    """x and y of the spot in an input (3, H, W), by the mean of its brightness. What is hardly bright is noise of JPEG's."""
    weight = pixels.mean(axis=0, dtype=np.float64)
    weight[weight < 0.1 * weight.max()] = 0
    down, across = np.mgrid[0 : weight.shape[0], 0 : weight.shape[1]] + 0.5
    return np.array([(weight * across).sum(), (weight * down).sum()]) / weight.sum()


def stored(image: Image.Image, format: str, orientation: int) -> bytes:
    """A file that is `image` after its EXIF orientation is applied."""
    turn, file, exif = STORED[orientation], io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"quality": 95, "subsampling": 0} if format == "JPEG" else {}
    (image if turn is None else image.transpose(turn)).save(file, format, exif=exif, **options)
    return file.getvalue()


@settings(max_examples=150, deadline=None)
@given(SIDES, SIDES, SHARES, PREPROCESSINGS, st.integers(1, 8), st.sampled_from(["JPEG", "JPEG", "PNG"]))
def test_a_spot_is_found_where_its_placement_puts_it(
    width: int, height: int, share: tuple[float, float], preprocessing: Preprocessing, orientation: int, format: str
) -> None:
    """To a tenth of an input's pixel, through reduced decoding, turns and every fit."""
    size = (width, height)
    _, expected = preprocessing.place(Image.new("RGB", size))
    across, down = expected.matrix[0, 0], expected.matrix[1, 1]
    radius = 2 / np.array([across, down])
    # Anywhere that is seen whole: three radii and more from the borders of image and input.
    first, last = expected.boxes_to_image(np.array([[0, 0, *expected.input_size]]))[0].reshape(2, 2)
    first, last = np.maximum(first, 0) + 3.5 * radius, np.minimum(last, size) - 3.5 * radius
    middle = np.where(first < last, first + np.array(share) * (last - first), (first + last) / 2)
    pixels, placement = preprocessing.place(stored(spot(size, middle, radius), format, orientation))
    assert placement.image_size == size
    assert placement.input_size == (preprocessing.width, preprocessing.height)
    if (first < last).all():  # a thin strip has no room for a whole spot, but its placement leads back all the same
        assert np.abs(found_middle(pixels) - placement.to_input(middle[None])[0]).max() < 0.1
    points = np.array([[0, 0], size, middle])
    assert np.abs(placement.to_image(placement.to_input(points)) - points).max() < 1e-6
    corners = np.array([[0, 0], placement.input_size])
    assert np.abs(placement.to_input(placement.to_image(corners)) - corners).max() < 1e-6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(645, 643), (641, 647), (648, 640), (329, 335)])
def test_reduced_decoding_at_odd_sizes(size: tuple[int, int], orientation: int) -> None:
    """At 1/8 and 1/4. The empty part of the last row and column, most of a pixel here, is where the orientation brings it."""
    reduction = 8 if min(size) >= 640 else 4
    middle = np.array([0.83 * size[0], 0.83 * size[1]])
    file = stored(spot(size, middle, np.array([2.0, 2.0]) * reduction), "JPEG", orientation)
    decoded = PLAIN.decode_image(file)
    placement = decoded.placement
    assert decoded.image.size == placement.input_size == (-(-size[0] // reduction), -(-size[1] // reduction))
    assert placement.image_size == size
    assert np.diag(placement.matrix).tolist() == [1 / reduction, 1 / reduction, 1]
    pixels = (np.asarray(decoded.image) / 255).transpose(2, 0, 1).astype(np.float32)
    assert np.abs(found_middle(pixels) - placement.to_input(middle[None])[0]).max() < 0.05


def test_an_image_that_is_not_reduced_is_its_own_placement() -> None:
    for source in (np.zeros((30, 50, 3), np.uint8), stored(Image.new("RGB", (50, 30)), "JPEG", 6)):
        placement = PLAIN.decode_image(source).placement
        assert (placement.image_size, placement.input_size) == ((50, 30), (50, 30))
        assert np.array_equal(placement.matrix, np.eye(3))


def test_placements_by_hand() -> None:
    """An image of 80 x 40 pixels in an input of 40 x 40."""
    image = np.zeros((40, 80, 3), np.uint8)
    corners = np.array([[0.0, 0.0, 80.0, 40.0], [20.0, 10.0, 60.0, 30.0]])
    for fit, expected in {
        "crop": [[-20, 0, 60, 40], [0, 10, 40, 30]],
        "pad": [[0, 10, 40, 30], [10, 15, 30, 25]],
        "stretch": [[0, 0, 40, 40], [10, 10, 30, 30]],
    }.items():
        pixels, placement = replace(PLAIN, fit=fit).place(image)  # type: ignore[arg-type]
        assert pixels.shape == (3, 40, 40)
        assert placement.boxes_to_input(corners).tolist() == expected
        assert placement.boxes_to_image(placement.boxes_to_input(corners)) == pytest.approx(corners)


def test_a_call_and_a_placed_input_have_the_same_pixels() -> None:
    file = stored(Image.effect_noise((645, 643), 80).convert("RGB"), "JPEG", 7)
    out = np.empty((3, 40, 40), np.float32)
    pixels, _ = PLAIN.place(file, out=out)
    assert pixels is out
    assert np.array_equal(pixels, PLAIN(file))


def test_further_steps_follow() -> None:
    """The right half of an input of 40 x 20, mirrored and doubled: its right edge is at 0."""
    placement = Placement((80, 40), np.diag([0.5, 0.5, 1.0]), (40, 20))
    further = placement.then(np.array([[-2.0, 0, 80], [0, 2, 0], [0, 0, 1]]), (40, 40))
    assert (further.image_size, further.input_size) == ((80, 40), (40, 40))
    assert further.to_input(np.array([[80.0, 0], [40, 40], [0, 40]])).tolist() == [[0, 0], [40, 40], [80, 40]]
    assert further.boxes_to_input(np.array([[60.0, 0, 80, 40]])).tolist() == [[0, 0, 20, 40]]
    assert further.boxes_to_image(np.array([[0.0, 0, 20, 40]])).tolist() == [[60, 0, 80, 40]]


def test_a_turned_boxs_hull_holds_its_corners() -> None:
    half = np.sqrt(0.5)
    placement = Placement((10, 10), np.array([[half, half, 0], [-half, half, 0], [0, 0, 1]]), (10, 10))
    hull = placement.boxes_to_input(np.array([[0.0, 0, 4, 2]]))
    assert hull == pytest.approx(np.array([[0, -4 * half, 6 * half, 2 * half]]))


def test_nothing_in_nothing_out() -> None:
    placement = Placement.of_decoding((5, 4))
    assert placement.to_input(np.empty((0, 2))).shape == (0, 2)
    assert placement.boxes_to_image(np.empty((0, 4))).shape == (0, 4)


@pytest.mark.parametrize(
    "matrix", [np.eye(2), np.array([[1, 0, 0], [0, 1, 0], [0.1, 0, 1]]), np.diag([1, 0, 1.0]), np.diag([1, np.nan, 1])]
)
def test_what_is_no_way_in_and_back_is_refused(matrix: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="matrix is"):
        Placement((4, 4), matrix, (4, 4))
