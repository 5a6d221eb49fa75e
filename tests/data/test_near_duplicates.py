"""Near-duplicates: copies are found, other pictures are not, chains are cut, and the work stays bounded."""

import io
import random
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance

from pocketvision.data.alignment import has_detail, same_picture
from pocketvision.data.demo_faces import faces_folder
from pocketvision.data.fingerprints import PERCEPTUAL_HASH_LENGTH, thumbnail
from pocketvision.data.near_duplicates import LEAF, NEAREST, TREES, candidate_pairs, find_near_duplicates
from pocketvision.preprocessing import decode


def drawn(seed: int, size: int = 192) -> Image.Image:
    """A picture of its own: coarse colours and a dozen shapes."""
    dice = np.random.default_rng(seed)
    image = Image.fromarray(dice.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize(
        (size, size), Image.Resampling.BICUBIC
    )
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        left, top, width, height = dice.integers(0, size, 4)
        draw.ellipse((left, top, left + width // 2 + 4, top + height // 2 + 4), fill=tuple(dice.integers(0, 256, 3)))
    return image


def encoded(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return decode(file.getvalue())


def shared_crop(image: Image.Image, share: float) -> Image.Image:
    across, down = round(share * image.width), round(share * image.height)
    return image.crop((across, down, image.width, image.height - down))


def stamped(image: Image.Image) -> Image.Image:
    copy = image.copy()
    width, height = image.size
    ImageDraw.Draw(copy).rectangle((0.85 * width, 0.9 * height, 0.97 * width, 0.97 * height), fill=(255, 230, 0))
    return copy


COPIES = {
    "encoded at quality 60": lambda image: encoded(image, 60),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC),
    "3 % off three sides": lambda image: shared_crop(image, 0.03),
    "5 % brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.05),
    "5 % darker": lambda image: ImageEnhance.Brightness(image).enhance(0.95),
    "a logo in the corner": stamped,
}


def search(images: list[Image.Image], **options: int) -> tuple[set[tuple[int, int]], NDArray[np.int64]]:
    found = find_near_duplicates(
        np.array([thumbnail(image) for image in images]),
        np.array([image.size for image in images], np.int32),
        **options,
    )
    return {(one, other) for one, other in found.confirmed.tolist()}, found.clusters


@cache
def faces() -> list[Image.Image]:
    return [decode(file) for file in sorted(faces_folder().rglob("*.png"))]


@pytest.mark.parametrize("kind", COPIES)
def test_copies_are_found_and_nothing_else(kind: str) -> None:
    originals = [drawn(seed) for seed in range(40)]
    pairs, clusters = search(originals + [COPIES[kind](image) for image in originals])
    expected = {(index, index + 40) for index in range(40)}
    assert len(pairs & expected) >= 39 and not pairs - expected
    assert all(clusters[one] == clusters[other] for one, other in pairs)


def test_no_two_demo_faces_are_taken_for_one() -> None:
    assert len(faces()) > 400
    pairs, _ = search(faces())
    assert len(pairs) <= 0.01 * len(faces())  # the bar; measured: none
    assert not pairs


def test_copies_of_demo_faces_are_found() -> None:
    """64 pixels, flat colours on white, faces that differ by a mouth: the hard case. At most 1 % of the pairs are false."""
    originals = faces()[::2]
    dice = random.Random(0)
    copies = [
        encoded(image, dice.randint(60, 90))
        if index % 3 == 0
        else shared_crop(image, 0.02)
        if index % 3 == 1
        else ImageEnhance.Brightness(image).enhance(dice.choice((0.95, 1.05)))
        for index, image in enumerate(originals)
    ]
    count = len(originals)
    pairs, clusters = search(originals + copies)
    assert np.mean(clusters[:count] == clusters[count:]) >= 0.95
    assert sum(one % count != other % count for one, other in pairs) <= 0.01 * len(pairs)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("mirrored", lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
        ("turned", lambda image: image.transpose(Image.Transpose.ROTATE_90)),
        ("zoomed by a fifth", lambda image: shared_crop(image, 0.1)),
        ("in grey", lambda image: image.convert("L").convert("RGB")),
        ("a quarter brighter", lambda image: ImageEnhance.Brightness(image).enhance(0.7)),
        ("stretched", lambda image: image.resize((300, 192))),
    ],
)
def test_other_changes_make_another_picture(what: str, change) -> None:  # type: ignore[no-untyped-def]
    originals = [drawn(seed) for seed in range(20)]
    pairs, _ = search(originals + [change(image) for image in originals])
    assert len(pairs) <= 1, what


def test_one_small_detail_makes_another_picture_but_not_in_a_corner() -> None:
    faces_with: list[NDArray[np.uint8]] = []
    for mouth in ((60, 130, 130, 160), (60, 115, 130, 145), None):
        image = Image.new("RGB", (192, 192), "white")
        draw = ImageDraw.Draw(image)
        draw.ellipse((16, 16, 176, 176), fill=(255, 200, 40), outline=(90, 60, 0), width=4)
        for left in (60, 112):
            draw.ellipse((left, 70, left + 18, 92), fill=(60, 40, 0))
        if mouth:
            draw.arc(mouth, 20, 160, fill=(90, 30, 0), width=6)
        faces_with.append(thumbnail(image))
    smile, higher, none = (entry[None] for entry in faces_with)
    assert same_picture(smile, smile)[0]
    assert not same_picture(smile, higher)[0] and not same_picture(smile, none)[0]
    assert not same_picture(none, smile)[0]


def test_blank_pictures_and_skies_are_not_compared() -> None:
    blank = [Image.new("RGB", (100, 80), (level, level, level)) for level in (0, 128, 250, 255)]
    sky = [
        Image.fromarray(np.linspace(a, b, 90).astype(np.uint8)[:, None, None].repeat(90, 1).repeat(3, 2))
        for a, b in ((120, 200), (125, 205), (118, 190))
    ]
    assert not has_detail(np.array([thumbnail(image) for image in blank + sky])).any()
    pairs, clusters = search(blank + sky)
    assert not pairs and clusters.tolist() == list(range(7))


def test_a_slow_change_does_not_chain_into_one_heap() -> None:
    one, other = np.asarray(drawn(1), np.float32), np.asarray(drawn(2), np.float32)
    frames = [Image.fromarray((one + (other - one) * step / 160).astype(np.uint8)) for step in range(161)]
    thumbnails = np.array([thumbnail(frame) for frame in frames])
    assert not same_picture(thumbnails[:1], thumbnails[-1:])[0]
    found = find_near_duplicates(thumbnails, np.full((161, 2), 192, np.int32))
    neighbours = {(index, index + 1) for index in range(160)}
    assert len(neighbours & {(a, b) for a, b in found.confirmed.tolist()}) > 100  # each looks like the next
    members = np.flatnonzero(found.clusters != np.arange(161))
    assert len(np.unique(found.clusters)) > 3
    assert same_picture(thumbnails[found.clusters[members]], thumbnails[members], slack=2.5).all()


def test_look_alikes_are_distinguished_with_bounded_work() -> None:
    """Parts on a belt: 600 times the same grid of cells, each with one dark spot elsewhere."""
    dice = np.random.default_rng(0)
    cells = Image.new("RGB", (200, 200), (70, 90, 130))
    for line in range(0, 200, 40):
        ImageDraw.Draw(cells).line((line, 0, line, 199), fill=(200, 205, 210), width=3)
        ImageDraw.Draw(cells).line((0, line, 199, line), fill=(200, 205, 210), width=3)
    images = []
    for _ in range(600):
        image = cells.copy()
        left, top = dice.integers(25, 160, 2)
        ImageDraw.Draw(image).ellipse((left, top, left + 14, top + 14), fill=(10, 10, 20))
        images.append(image)
    found = find_near_duplicates(np.array([thumbnail(image) for image in images]), np.full((600, 2), 200, np.int32))
    # Spots at nearly the same place are near-duplicates indeed, and those in one corner pass for marks; no more may join.
    assert np.bincount(found.clusters).max() <= 0.03 * len(images)
    assert len(np.unique(found.clusters)) > 0.5 * len(images)


def made_up(count: int, *, copies: bool) -> NDArray[np.float32]:
    dice = np.random.default_rng(0)
    spread = (40 / np.arange(1, PERCEPTUAL_HASH_LENGTH + 1)).astype(np.float32)
    hashes = dice.standard_normal((count, PERCEPTUAL_HASH_LENGTH), dtype=np.float32) * spread
    return np.concatenate([hashes, hashes + 0.02 * spread]) if copies else hashes


def test_candidates_are_complete_bounded_and_the_same_every_time() -> None:
    hashes = made_up(4000, copies=True)
    pairs = candidate_pairs(hashes)
    assert (pairs[:, 0] < pairs[:, 1]).all() and len(np.unique(pairs, axis=0)) == len(pairs)
    assert np.sum(pairs[:, 1] - pairs[:, 0] == 4000) >= 0.999 * 4000
    assert np.array_equal(pairs, candidate_pairs(hashes))
    crowd = np.full((3000, PERCEPTUAL_HASH_LENGTH), 7, dtype=np.float32)  # a static camera: all of them alike
    assert 1000 < len(candidate_pairs(crowd)) <= NEAREST * 3000


def test_the_search_is_not_quadratic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Distances computed: TREES x n x LEAF at most, whatever n."""
    from pocketvision.data import near_duplicates

    computed = 0
    plain = near_duplicates._near_in_leaves

    def counting(
        hashes: NDArray[np.float32], lengths: NDArray[np.float32], leaves: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        nonlocal computed
        computed += leaves.shape[0] * leaves.shape[1] ** 2
        return plain(hashes, lengths, leaves)

    monkeypatch.setattr(near_duplicates, "_near_in_leaves", counting)
    for count in (1000, 4000, 16000):
        computed = 0
        candidate_pairs(made_up(count, copies=False))
        assert computed <= 1.1 * TREES * LEAF * count


@pytest.mark.parametrize("count", [0, 1, 2, 3, 65])
def test_few_images(count: int) -> None:
    pairs, clusters = (
        search([drawn(seed, 64) for seed in range(count)] or [], workers=0) if count else (set(), np.zeros(0))
    )
    assert not pairs and len(clusters) == count
    nothing = find_near_duplicates(np.zeros((0, 2400), np.uint8), np.zeros((0, 2), np.int32))
    assert len(nothing.confirmed) == len(nothing.clusters) == len(nothing.detailed) == 0
