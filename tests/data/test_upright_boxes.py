"""Boxes as drawn, brought onto upright pictures: every turn of EXIF, other sizes, other units, corners the wrong way round."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from pocketvision.data.boxes.upright import PIXELS, SHARES, cut_boxes, repeated, upright_boxes


def brought(drawn, stored, said=(0, 0), unit=PIXELS):
    """All boxes of one picture."""
    boxes = np.array(drawn, np.float64)
    images = np.zeros(len(boxes), np.int64)
    return upright_boxes(boxes, images, np.array([said], np.int64), np.array([stored], np.int64), unit)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_drawn_on_the_stored_pixels_turn_as_pillow_turns_the_picture(orientation: int) -> None:
    box, size = (20, 5, 57, 15), (60, 40)
    image = Image.new("L", size)
    image.paste(255, box)
    image.getexif()[0x0112] = orientation
    exif = image.getexif()
    exif[0x0112] = orientation
    upright = ImageOps.exif_transpose(image)
    # The file says the stored size; another picture of the set, that fits the stored way alone, votes for 2 to 4.
    vote = [0, 0, 58, 5]
    found = upright_boxes(
        np.array([box, vote], np.float64),
        np.array([0, 1]),
        np.array([[0, 0], [0, 0]]),
        np.array([[*size, orientation], [*size, 6]]),
        PIXELS,
    )
    assert found.boxes[0].tolist() == list(upright.getbbox())
    assert found.sizes[0].tolist() == list(upright.size)
    assert found.turned[0] == (orientation > 1) and not found.unsure.any()


def test_what_fits_inside_tells_which_way_boxes_were_drawn() -> None:
    assert brought([[0, 0, 30, 55]], (60, 40, 6)).boxes.tolist() == [[0, 0, 30, 55]]  # upright is 40 x 60
    both = brought([[0, 0, 30, 35]], (60, 40, 6))
    assert both.unsure.tolist() == [True] and both.boxes.tolist() == [[0, 0, 30, 35]]
    said = brought([[0, 0, 30, 35]], (60, 40, 6), said=(60, 40))
    assert said.turned.tolist() == [True] and said.boxes.tolist() == [[5, 0, 40, 30]] and not said.resized.any()
    assert not brought([[0, 0, 30, 35]], (60, 40, 6), said=(40, 60)).unsure.any()


def test_another_size_than_the_file_says() -> None:
    half = brought([[10, 10, 90, 50]], (50, 40, 1), said=(100, 80))
    assert half.resized.tolist() == [True] and half.boxes.tolist() == [[5, 5, 45, 25]]
    cropped = brought([[10, 10, 40, 30]], (50, 40, 1), said=(100, 60))  # another shape, and they fit
    assert cropped.resized.tolist() == [True] and cropped.boxes.tolist() == [[10, 10, 40, 30]]
    squeezed = brought([[0, 0, 100, 60]], (50, 40, 1), said=(100, 60))  # they fit no other way
    assert squeezed.boxes.tolist() == [[0, 0, 50, 40]]
    assert brought([[1, 1, 9, 9]], (0, 0, 1), said=(10, 10)).sizes.tolist() == [[10, 10]]


def test_shares_and_pixels_are_told_apart() -> None:
    assert brought([[0.1, 0.5, 0.2, 1.0]], (100, 40, 1), unit=SHARES).boxes.tolist() == [[10, 20, 20, 40]]
    mixed = brought([[0.1, 0.5, 0.2, 1.0]], (100, 40, 1))
    assert mixed.other_unit.tolist() == [True] and mixed.boxes.tolist() == [[10, 20, 20, 40]]
    pixels = brought([[10, 20, 30, 40]], (100, 40, 1), unit=SHARES)
    assert pixels.other_unit.tolist() == [True] and pixels.boxes.tolist() == [[10, 20, 30, 40]]
    assert not brought(np.zeros((0, 4)), (100, 40, 1)).other_unit.any()


def test_corners_borders_and_copies() -> None:
    found = brought([[30, 20, 10, 5], [1, 1, 2, 2]], (40, 30, 1))
    assert found.reversed.tolist() == [True, False] and found.boxes[0].tolist() == [10, 5, 30, 20]
    boxes = np.array([[-0.5, 0, 40.5, 30], [-5, 0, 10, 10], [50, 0, 60, 9], [3, 3, 3, 9], [1, 1, 2, 2]], np.float64)
    cut = cut_boxes(boxes, np.tile([[40, 30]], (5, 1)))
    assert cut.beyond.tolist() == [False, True, False, False, False]
    assert cut.outside.tolist() == [False, False, True, False, False]
    assert cut.no_area.tolist() == [False, False, False, True, False]
    assert cut.boxes[cut.kept].tolist() == [[0, 0, 40, 30], [0, 0, 10, 10], [1, 1, 2, 2]]
    assert repeated(boxes[[4, 1, 4, 4]], np.array([0, 0, 0, 1])).tolist() == [False, False, True, False]
