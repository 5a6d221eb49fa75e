"""Resizing without averaging: the same grey levels as torch's and, rounded, as OpenCV's."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from pocketvision.preprocessing import SAMPLED, Preprocessing
from pocketvision.preprocessing.sampling import sampled

SAMPLING = Preprocessing(40, 60, 1.0, SAMPLED, (0.5, 0.4, 0.3), (0.5, 0.2, 1 / 255), fit="stretch")


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def by_torch(image: Image.Image, width: int, height: int) -> np.ndarray:  # type: ignore[type-arg]
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    resized = torch.nn.functional.interpolate(pixels, size=(height, width), mode="bilinear", align_corners=False)
    return resized[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("size", [(640, 480), (37, 51), (1, 1), (300, 1), (60, 40), (7, 1000)])
def test_it_is_torchs(size: tuple[int, int]) -> None:
    image = noise(*size)
    np.testing.assert_allclose(sampled(image, 60, 40), by_torch(image, 60, 40), atol=1e-3)


def test_an_input_keeps_the_fractions_of_grey_levels() -> None:
    image = noise(200, 90)
    pixels, placement = SAMPLING.place(image)
    mean, std = (np.array(each, np.float32).reshape(3, 1, 1) for each in (SAMPLING.mean, SAMPLING.std))
    wanted = (by_torch(image, 60, 40).transpose(2, 0, 1) / 255 - mean) / std
    np.testing.assert_allclose(pixels[:2], wanted[:2], atol=1e-5)
    np.testing.assert_allclose(pixels[2], wanted[2], atol=2e-3)  # in grey levels
    np.testing.assert_array_equal(pixels, SAMPLING(image))
    assert np.abs(np.asarray(SAMPLING.crop(image)) - sampled(image, 60, 40)).max() <= 0.5
    np.testing.assert_allclose(placement.boxes_to_image(np.array([[0, 0, 60, 40]])), [[0, 0, 200, 90]])


def test_a_jpeg_is_decoded_in_its_whole_size() -> None:
    file = io.BytesIO()
    noise(640, 480).save(file, "JPEG")
    assert SAMPLING.decode(file.getvalue()).size == (640, 480)
    assert Preprocessing(40, 60, 1.0, "bilinear", (0.5,) * 3, (0.5,) * 3, fit="stretch").decode(
        file.getvalue()
    ).size < (640, 480)


def test_it_is_kept_in_a_bundle_and_goes_with_stretching_alone() -> None:
    assert Preprocessing.from_dict(SAMPLING.to_dict()) == SAMPLING
    with pytest.raises(ValueError, match='bilinear_no_antialias where fit is "pad"; expected fit "stretch"'):
        Preprocessing(40, 60, 1.0, SAMPLED, (0.5,) * 3, (0.5,) * 3, fit="pad")
