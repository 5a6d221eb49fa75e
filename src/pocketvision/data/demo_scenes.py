"""The demo's scenes: the embedded faces pasted on backgrounds, and what can be seen of them."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketvision.data.demo_backgrounds import background, drawn_kind
from pocketvision.data.demo_faces import UNSEEN_DESIGN, faces_folder, faces_table
from pocketvision.data.samples import SPLITS

SIZES = ((320, 240), (240, 320), (288, 288))
"""Width and height of scenes, in pixels."""

SIDES = (40.0, 120.0)
"""Of a face, in pixels; small ones as often as large ones, by their logarithm."""

MOST_TURNED = 30.0
"""Degrees, to either side."""

MOST_FACES = 6
LEAST_SEEN = 0.6
"""The share of a face's pixels that neither others nor the border may hide."""

_OPAQUE = 128
_TRIES = 20


@dataclass(frozen=True, eq=False)
class Scene:
    """pixels: (H, W, 3) RGB. boxes: (k, 4) left, top, right, bottom around the visible pixels of each face. behind: the kind of
    background. owner: (H, W) which face a pixel shows, -1 for the background."""

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float64]
    behind: str
    owner: NDArray[np.int64]


def scene_parts(
    seed: int, *, unseen_design: str = UNSEEN_DESIGN, val_share: float = 0.2
) -> dict[str, tuple[Path, ...]]:
    """The pictures that the scenes of a split show. test: all, as the held-out design draws them. val: a share of the faces, and
    train the rest, in the other designs. The same seed gives the same parts."""
    with faces_table().open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    names = sorted({row["group"] for row in rows})
    chosen = np.random.default_rng(seed).permutation(len(names))[: round(val_share * len(names))]
    held = {names[each] for each in chosen.tolist()}
    found: dict[str, list[Path]] = {split: [] for split in SPLITS}
    for row in rows:
        seen = "val" if row["group"] in held else "train"
        found["test" if row["design"] == unseen_design else seen].append(faces_folder() / row["path"])
    return {split: tuple(members) for split, members in found.items()}


def scene(random: np.random.Generator, faces: Sequence[Path]) -> Scene:
    """One to MOST_FACES of the faces at any place, later ones over earlier ones."""
    size = SIZES[int(random.integers(len(SIZES)))]
    behind = drawn_kind(random)
    canvas = Image.fromarray(background(random, size, behind))
    owner = np.full((size[1], size[0]), -1)  # which face a pixel shows
    whole = list[int]()
    for _ in range(int(random.integers(1, MOST_FACES + 1))):
        cutout = _cutout(random, faces[int(random.integers(len(faces)))])
        found = _free_place(random, cutout, owner, whole)
        if found is not None:
            corner, owner = found
            canvas.paste(cutout, corner, cutout)
            whole.append(_opaque_pixels(cutout))
    boxes = [_around(owner == number) for number in range(len(whole))]
    return Scene(np.asarray(canvas), np.array(boxes, np.float64).reshape(-1, 4), behind, owner)


def _cutout(random: np.random.Generator, file: Path) -> Image.Image:
    """A face of another size, turned, mirrored half of the time, lighter or darker; without free margins. RGBA."""
    with Image.open(file) as opened:
        picture = opened.convert("RGBA")
    low, high = np.log(SIDES)
    side = round(float(np.exp(random.uniform(low, high))))
    picture = picture.resize((side, side), Image.Resampling.BICUBIC)
    if random.integers(2):
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    picture = picture.rotate(random.uniform(-MOST_TURNED, MOST_TURNED), Image.Resampling.BICUBIC, expand=True)
    pixels = np.asarray(picture).copy()
    light = random.uniform(0.75, 1.15)
    pixels[..., :3] = np.clip(pixels[..., :3] * light, 0, 255)
    return Image.fromarray(pixels)


def _free_place(
    random: np.random.Generator, cutout: Image.Image, owner: NDArray[np.int64], whole: Sequence[int]
) -> tuple[tuple[int, int], NDArray[np.int64]] | None:
    """Left and top of a place where enough of the face and of those before it stays visible, and who owns the pixels then; None
    where none of _TRIES is one. owner: (H, W) by now. whole: how many pixels each of them has."""
    opaque = np.asarray(cutout)[..., 3] >= _OPAQUE
    height, width = opaque.shape
    for _ in range(_TRIES):
        left = int(random.integers(-width // 3, owner.shape[1] - 2 * width // 3))
        top = int(random.integers(-height // 3, owner.shape[0] - 2 * height // 3))
        after = owner.copy()
        rows = slice(max(top, 0), min(top + height, owner.shape[0]))
        columns = slice(max(left, 0), min(left + width, owner.shape[1]))
        inside = opaque[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        after[rows, columns][inside] = len(whole)
        counts = np.bincount(after[after >= 0], minlength=len(whole) + 1)
        if (counts >= LEAST_SEEN * np.array([*whole, np.count_nonzero(opaque)])).all():
            return (left, top), after
    return None


def _opaque_pixels(cutout: Image.Image) -> int:
    return int(np.count_nonzero(np.asarray(cutout)[..., 3] >= _OPAQUE))


def _around(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is true, the last pixels included."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
