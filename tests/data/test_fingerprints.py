"""What is kept of an image: the content hash, the thumbnail, the perceptual hash, the format that its content tells."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketvision.data import fingerprints
from pocketvision.data.fingerprints import (
    PERCEPTUAL_HASH_LENGTH,
    THUMBNAIL_BYTES,
    content_hash,
    luma_chroma,
    perceptual_hashes,
    take_fingerprint,
    thumbnail,
)
from pocketvision.errors import ImageError


def picture(seed: int = 0, width: int = 120, height: int = 90) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def test_content_hash_is_of_pixels_and_size(tmp_path: Path) -> None:
    image = picture()
    files = [tmp_path / name for name in ("a.png", "b.bmp", "c.webp")]
    for file in files[:2]:
        image.save(file)
    image.save(files[2], lossless=True)
    prints = [take_fingerprint(file) for file in files]
    assert len({entry.content_hash for entry in prints}) == 1 and len(prints[0].content_hash) == 16
    assert [entry.format for entry in prints] == ["PNG", "BMP", "WEBP"]
    assert (prints[0].width, prints[0].height) == (120, 90)
    other = image.copy()
    other.putpixel((119, 89), tuple(255 - value for value in image.getpixel((119, 89))))
    assert content_hash(other) != content_hash(image)
    grey = Image.new("RGB", (20, 30), "grey")
    assert content_hash(grey) != content_hash(grey.transpose(Image.Transpose.ROTATE_90))


def test_content_hash_is_the_same_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = content_hash(picture())
    for pixels in (1, 121, 1000, 120 * 90):
        monkeypatch.setattr(fingerprints, "_PIXELS_AT_ONCE", pixels)
        assert content_hash(picture()) == whole


def test_formats_are_recognised_by_content(tmp_path: Path) -> None:
    for name in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"):
        file = tmp_path / "picture.dat"
        picture().save(file, name)
        assert take_fingerprint(file).format == name


def test_a_file_that_is_no_image_raises_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not a picture at all")
    with pytest.raises(ImageError) as caught:
        take_fingerprint(tmp_path / "text.jpg")
    assert "not an image" in caught.value.reason and "text.jpg" in str(caught.value)


def test_thumbnail_keeps_brightness_and_colour() -> None:
    flat = Image.new("RGB", (333, 77), (200, 40, 90))
    small = thumbnail(flat)
    assert small.shape == (THUMBNAIL_BYTES,) == (2400,) and small.dtype == np.uint8
    planes = luma_chroma(small[None])
    expected = (
        0.299 * 200 + 0.587 * 40 + 0.114 * 90,
        -0.168736 * 200 - 0.331264 * 40 + 45,
        100 - 0.418688 * 40 - 0.081312 * 90,
    )
    for plane, value in zip(planes, expected, strict=True):
        assert plane.shape == (1, 40, 40) and np.abs(plane - value).max() <= 1


def test_perceptual_hashes_of_copies_are_near() -> None:
    images = [picture(seed, 400, 300) for seed in range(20)]
    copies = []
    for image in images:
        file = io.BytesIO()
        image.resize((260, 195)).save(file, "JPEG", quality=60)
        copies.append(Image.open(file).convert("RGB"))
    hashes, other = (perceptual_hashes(np.array([thumbnail(one) for one in some])) for some in (images, copies))
    assert hashes.shape == (20, PERCEPTUAL_HASH_LENGTH) and hashes.dtype == np.float32
    distances = ((hashes[:, None] - other[None]) ** 2).sum(2) / (hashes**2).sum(1)[:, None]
    assert distances.diagonal().max() < 0.01
    assert distances[~np.eye(20, dtype=bool)].min() > 0.2


def test_perceptual_hash_is_the_cosine_transform() -> None:
    across = np.cos(np.pi * (np.arange(40) + 0.5) * 2 / 40)
    luma = np.broadcast_to(128 + 100 * across, (40, 40))
    small = np.concatenate([np.rint(luma).astype(np.uint8).reshape(-1), np.full(800, 128, np.uint8)])
    values = perceptual_hashes(small[None])[0]
    assert values[1] == pytest.approx(100 / np.sqrt(2), abs=0.2)  # frequency 2 across, 0 down; the mean is left out
    assert np.abs(np.delete(values, 1)).max() < 0.2
