"""What is sent for an image: files as they are, everything else as PNG without loss."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from served import picture

from pocketvision.client import images
from pocketvision.client.images import image_content, path_of
from pocketvision.errors import ImageError


def test_files_and_bytes_go_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "사진.jpg"
    path.write_bytes(picture("red"))
    for image in (path, str(path), picture("red")):
        assert image_content(image).content == picture("red")
    assert (path_of(path), path_of(b"x")) == (str(path), "")
    assert image_content(b"no image").content == b"no image"  # the server says what is wrong with it


def pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image)


def test_arrays_lose_nothing() -> None:
    array = np.random.default_rng(0).integers(0, 256, (31, 17, 3), dtype=np.uint8)
    sent = image_content(array)
    assert sent.media_type == "image/png"
    assert np.array_equal(pixels(sent.content), array)
    assert np.array_equal(pixels(image_content(array[:, :, 0]).content)[:, :, 1], array[:, :, 0])


def test_pillow_images_become_what_a_local_prediction_sees() -> None:
    image = Image.new("RGBA", (4, 2), (255, 0, 0, 0))
    image.putpixel((0, 0), (10, 20, 30, 255))
    sent = pixels(image_content(image).content)
    assert sent[0, 0].tolist() == [10, 20, 30]
    assert sent[1, 1].tolist() == [255, 255, 255]  # alpha on white
    turned = Image.new("RGB", (4, 2), (0, 0, 255))
    turned.getexif()[0x0112] = 6
    assert pixels(image_content(turned).content).shape == (4, 2, 3)


def test_files_that_can_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "large.jpg").write_bytes(b"x" * 2000)
    monkeypatch.setattr(images, "MAX_BYTES", 1000)
    for name, reason in (
        ("missing.jpg", "no such file"),
        ("", "a folder"),
        ("pipe.jpg", "not a regular file"),
        ("large.jpg", "larger than"),
    ):
        with pytest.raises(ImageError, match=reason):
            image_content(tmp_path / name)
    with pytest.raises(ImageError, match="float64"):
        image_content(np.zeros((3, 3)))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="is not an image"):
        image_content(3)  # type: ignore[arg-type]
