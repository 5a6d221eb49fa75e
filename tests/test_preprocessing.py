"""Preprocessing: one resampling equals resize and centre crop, normalising equals its formula, and it survives JSON."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

from pocketvision.errors import BundleError, ImageError
from pocketvision.preprocessing import Preprocessing

IMAGENET = Preprocessing(224, 224, 0.875, "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SIZES = [(640, 480), (480, 640), (224, 224), (256, 256), (100, 75), (1023, 517), (300, 2000), (3000, 400)]


def noise(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(width * height)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def resized_then_cropped(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """The textbook's two steps: the short side to round(size / share), then the middle."""
    short = round(preprocessing.width / preprocessing.crop_share)
    width, height = image.size
    size = (short, int(short * height / width)) if width <= height else (int(short * width / height), short)
    resampling = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    resized = image.resize(size, resampling[preprocessing.interpolation])
    left, top = round((size[0] - preprocessing.width) / 2), round((size[1] - preprocessing.height) / 2)
    return resized.crop((left, top, left + preprocessing.width, top + preprocessing.height))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("crop_share", [0.875, 1.0])
@pytest.mark.parametrize("size", SIZES)
def test_one_resampling_equals_resize_then_crop(
    size: tuple[int, int], crop_share: float, interpolation: Literal["bilinear", "bicubic"]
) -> None:
    preprocessing = replace(IMAGENET, interpolation=interpolation, crop_share=crop_share)
    image = noise(*size)
    found = np.asarray(preprocessing.crop(image)).astype(int)
    expected = np.asarray(resized_then_cropped(image, preprocessing)).astype(int)
    assert found.shape == expected.shape == (224, 224, 3)
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("size", [(31, 900), (3000, 40)])
def test_strips_that_are_enlarged_hardly_differ(size: tuple[int, int]) -> None:
    """Pillow chooses the order of its two passes by the sizes; on noise, bicubic overshoots are then clipped elsewhere."""
    image = noise(*size)
    found = np.asarray(IMAGENET.crop(image)).astype(int)
    difference = np.abs(found - np.asarray(resized_then_cropped(image, IMAGENET)))
    assert difference.mean() < 0.5
    assert (difference > 1).mean() < 0.05


@pytest.mark.parametrize("size", SIZES)
def test_torchvisions_transforms_give_the_same(size: tuple[int, int]) -> None:
    transforms = pytest.importorskip("torchvision.transforms.v2")
    image = noise(*size)
    theirs = transforms.CenterCrop(224)(
        transforms.Resize(256, interpolation=transforms.InterpolationMode.BICUBIC)(image)
    )
    assert np.abs(np.asarray(IMAGENET.crop(image)).astype(int) - np.asarray(theirs)).max() <= 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("height", "width"), [(64, 128), (128, 64)])
def test_inputs_that_are_not_square_are_covered_without_distortion(
    height: int, width: int, size: tuple[int, int]
) -> None:
    preprocessing = replace(IMAGENET, height=height, width=width)
    resized_width, resized_height = preprocessing.resized_size(*size)
    assert resized_width >= width and resized_height >= height
    assert resized_width == round(width / 0.875) or resized_height == round(height / 0.875)
    if min(size) > 200:
        assert resized_width / resized_height == pytest.approx(size[0] / size[1], rel=0.02)
    assert preprocessing(np.asarray(noise(*size))).shape == (3, height, width)


@pytest.mark.parametrize("size", [*SIZES, (1, 1), (1, 50), (5000, 3)])
@pytest.mark.parametrize(("height", "width"), [(224, 224), (64, 128), (65, 31)])
def test_padding_keeps_all_of_the_image_and_its_shape(height: int, width: int, size: tuple[int, int]) -> None:
    preprocessing = replace(IMAGENET, height=height, width=width, crop_share=1.0, fit="pad")
    across, down = preprocessing.resized_size(*size)
    assert (across == width and down <= height) or (down == height and across <= width)
    assert abs(across / size[0] - down / size[1]) <= 0.5 / min(size) or min(across, down) == 1
    found = np.asarray(preprocessing.crop(Image.new("RGB", size, (1, 2, 3)))).astype(int)
    image, padding = (found == (1, 2, 3)).all(axis=2), (found == (124, 116, 104)).all(axis=2)
    assert (image ^ padding).all() and image.sum() == across * down
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    assert abs(rows[0] - (height - 1 - rows[-1])) <= 1 and abs(columns[0] - (width - 1 - columns[-1])) <= 1


def test_padding_is_what_the_network_sees_as_nothing() -> None:
    preprocessing = replace(IMAGENET, crop_share=1.0, fit="pad")
    corner = preprocessing(np.zeros((100, 300, 3), np.uint8))[:, 0, 0]
    assert np.abs(corner * preprocessing.std).max() <= 0.5 / 255 + 1e-6
    assert replace(preprocessing, mean=(-1.0, 0.5, 2.0)).fill == (0, 128, 255)


@pytest.mark.parametrize("size", SIZES)
def test_stretching_is_pillows_resize(size: tuple[int, int]) -> None:
    image = noise(*size)
    expected = image.resize((128, 64), Image.Resampling.BICUBIC)
    found = replace(IMAGENET, height=64, width=128, crop_share=1.0, fit="stretch").crop(image)
    assert np.array_equal(np.asarray(found), np.asarray(expected))


def test_normalising_is_its_formula() -> None:
    image = noise(224, 224)
    expected = (np.asarray(image) / 255 - np.array(IMAGENET.mean)) / np.array(IMAGENET.std)
    found = IMAGENET.normalise(image)
    assert (found.dtype, found.flags.c_contiguous) == (np.float32, True)
    assert np.abs(found - expected.transpose(2, 0, 1)).max() < 2e-6
    out = np.empty((2, 3, 224, 224), dtype=np.float32)
    IMAGENET.normalise(image, out[1])
    assert np.array_equal(out[1], found)


def test_a_call_is_decode_crop_normalise(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    noise(300, 260).save(path)
    expected = IMAGENET.normalise(IMAGENET.crop(IMAGENET.decode(path)))
    assert np.array_equal(IMAGENET(path), expected)
    assert np.array_equal(IMAGENET(path, out=np.zeros_like(expected)), expected)
    with pytest.raises(ImageError, match="300 x 260 pixels"):
        IMAGENET(path, max_pixels=1000)


def test_reading_a_large_jpeg_small_hardly_changes_the_input(tmp_path: Path) -> None:
    across, down = np.meshgrid(np.arange(2400), np.arange(1800))
    waves = np.stack([np.sin(across / 40), np.cos(down / 55), np.sin((across + down) / 30)], axis=2) * 100 + 128
    Image.fromarray(waves.astype(np.uint8)).save(tmp_path / "a.jpg", quality=90)
    with Image.open(tmp_path / "a.jpg") as image:
        whole = np.asarray(IMAGENET.crop(image.convert("RGB"))).astype(int)
    small = np.asarray(IMAGENET.crop(IMAGENET.decode(tmp_path / "a.jpg")))
    assert np.abs(whole - small).mean() < 1


def test_with_size_changes_nothing_else() -> None:
    assert IMAGENET.with_size(320) == replace(IMAGENET, height=320, width=320)


def test_json_and_back() -> None:
    assert Preprocessing.from_dict(json.loads(json.dumps(IMAGENET.to_dict()))) == IMAGENET


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": None}, "mean"),
        ({"std": [1, 1, 0]}, "std above 0"),
        ({"std": [1, 1]}, r"std is \[1, 1\]; expected three numbers"),
        ({"height": 2.5}, "preprocessing.height is 2.5"),
        ({"width": 0}, "at least 1 pixel"),
        ({"crop_share": 1.5}, "crop_share is 1.5"),
        ({"crop_share": "much"}, "much"),
        ({"interpolation": "nearest"}, "interpolation is 'nearest'"),
        ({"pad": 3}, "'pad' is unknown"),
        ({"white_level": 4000}, "white_level is 4000; expected 255, 1023, 4095, 16383, 65535"),
        ({"white_level": [1]}, r"white_level is \[1\]"),
        ({"fit": "squash"}, 'fit is \'squash\'; expected "crop", "pad" or "stretch"'),
        ({"fit": ["pad"]}, r"fit is \['pad'\]"),
        ({"fit": "pad"}, 'crop_share is 0.875 where fit is "pad", which keeps all; expected 1'),
    ],
)
def test_wrong_fields_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        Preprocessing.from_dict({**IMAGENET.to_dict(), **change})


def test_a_bundle_of_format_1_has_no_white_level_and_means_the_full_range() -> None:
    values = IMAGENET.to_dict()
    del values["white_level"]
    assert Preprocessing.from_dict(values) == IMAGENET
    assert Preprocessing.from_dict({**values, "white_level": 4095}).white_level == 4095


def test_a_bundle_without_a_fit_was_made_by_cropping() -> None:
    values = IMAGENET.to_dict()
    assert values.pop("fit") == "crop"
    assert Preprocessing.from_dict(values) == IMAGENET
    assert Preprocessing.from_dict({**values, "crop_share": 1, "fit": "pad"}).fit == "pad"


@pytest.mark.parametrize("name", sorted(set(IMAGENET.to_dict()) - {"white_level", "fit"}))
def test_missing_fields_are_named(name: str) -> None:
    values = IMAGENET.to_dict()
    del values[name]
    with pytest.raises(BundleError, match=f"'{name}' is missing"):
        Preprocessing.from_dict(values)
