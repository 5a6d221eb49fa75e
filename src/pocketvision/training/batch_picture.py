"""A picture of a training's first batch, as it is learned from: views, mixed where the recipe mixes, with their truth drawn."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from pocketvision.atomic_files import replacing
from pocketvision.errors import UsageError
from pocketvision.preprocessing import Placement, Preprocessing
from pocketvision.tasks.canvas import Canvas
from pocketvision.tasks.colours import class_colour
from pocketvision.tasks.detection.draw import draw_box
from pocketvision.tasks.detection.truth import BoxLabels
from pocketvision.tasks.number.truth import NumberLabels
from pocketvision.tasks.segmentation.draw import COLOURS, opacities
from pocketvision.tasks.segmentation.truth import MaskLabels
from pocketvision.tasks.truth import Truth
from pocketvision.training.inputs import IMAGES, ImageViews, Row
from pocketvision.training.learned_tasks import augmentation_of
from pocketvision.training.mixing import mix
from pocketvision.training.recipe import Recipe
from pocketvision.training.settings import RegularisationSettings
from pocketvision.training.tiled_data import in_tiles
from pocketvision.training.training_data import TrainingData

MOST = 32
"""Pictures that are shown."""
_LARGEST, _GAP = 160, 4
"""Of a picture's longer side in pixels; between pictures."""


def write_first_batch(file: Path, recipe: Recipe, data: TrainingData, preprocessing: Preprocessing) -> int:
    """Write a picture of the first batch of images' first augmented views; how many it shows. Raises UsageError for a name that
    does not end as a picture's."""
    if file.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise UsageError(f"--show-batch {file}: expected a picture's name, such as batch.png.")
    parts = in_tiles(data, recipe.data.tile)
    entries = parts.entries("train", recipe.data.balance_to, recipe.seed, shares=recipe.data.task_shares)
    order = np.random.default_rng([recipe.seed, 1, 1]).permutation(len(entries.samples))[: recipe.step_size.batch]
    rows = [(int(entries.samples[place]), 1 + 1000 * int(entries.replicas[place])) for place in order]
    images = ImageViews(
        parts.samples,
        parts.content_hashes,
        preprocessing,
        augmentation_of(recipe.data.augmentation, parts.learned, recipe.augment),
        recipe.seed,
        recipe.data.workers,
        recipe.data.max_pixels,
    )
    return write_batch_picture(file, images, rows, parts.learned, recipe.regularisation, recipe.seed)


def write_batch_picture(
    file: Path,
    images: ImageViews,
    rows: Sequence[Row],
    truth: Mapping[str, Truth],
    regularisation: RegularisationSettings,
    seed: int,
) -> int:
    """Write a PNG, or what the file's name asks for, of the rows' views; how many were shown. Mixed pictures have no truth drawn.

    Raises ImageError, and UsageError for what can not be mixed.
    """
    shown = rows[:MOST]
    pixels = torch.from_numpy(np.concatenate([images.load([row]) for row in shown]))
    mixed, how = mix({IMAGES: pixels}, regularisation, np.random.default_rng([seed, 1, 1, 1]))
    tiles = [_pixels(each, images) for each in mixed[IMAGES].numpy()]
    if how is None:
        tiles = [
            _with_truth(tile, row[0], images.placement(row), truth) for tile, row in zip(tiles, shown, strict=True)
        ]
    with replacing(file) as temporary:
        _sheet(tiles).save(temporary, file.suffix[1:].upper().replace("JPG", "JPEG") or "PNG")
    return len(shown)


def _pixels(normalised: NDArray[np.float32], images: ImageViews) -> NDArray[np.uint8]:
    """(H, W, 3) of (3, H, W)."""
    mean, std = (
        np.array(each, np.float32)[:, None, None] for each in (images.preprocessing.mean, images.preprocessing.std)
    )
    coloured = np.clip(np.rint(255 * (normalised * std + mean)), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(coloured.transpose(1, 2, 0))


def _with_truth(
    pixels: NDArray[np.uint8], sample: int, placement: Placement, truth: Mapping[str, Truth]
) -> NDArray[np.uint8]:
    """With boxes and masks where they lie in the view, larger where the input is small, and in words what else there is."""
    factor = max(1, _LARGEST // max(pixels.shape[:2]))
    canvas = Canvas(pixels.repeat(factor, axis=0).repeat(factor, axis=1), latin=False)
    for own in truth.values():
        if not own.present[sample]:
            continue
        seen = own.through(sample, placement)
        if isinstance(seen, BoxLabels):
            for box, place in zip(seen.boxes.tolist(), seen.classes.tolist(), strict=True):
                left, top, right, bottom = (factor * side for side in box)
                draw_box(canvas.pen, (left, top, right, bottom), class_colour(place), 2)
        elif isinstance(seen, MaskLabels):
            mask = seen.mask(0).repeat(factor, axis=0).repeat(factor, axis=1)
            canvas.tint(COLOURS[mask], opacities(mask))
        canvas.write(_words(own, sample))
    return canvas.finished()


def _words(truth: Truth, sample: int) -> str:
    one = truth.select(np.array([sample]))
    if isinstance(one, NumberLabels):
        return f"{one.values[0]:g} {one.unit}".rstrip()
    return ", ".join(name for name, count in zip(one.class_names, one.class_counts().tolist(), strict=True) if count)


def _sheet(tiles: Sequence[NDArray[np.uint8]]) -> Image.Image:
    """All pictures in rows of as many as there are rows, about."""
    height, width = tiles[0].shape[:2]
    columns = math.ceil(math.sqrt(len(tiles) * height / width))
    down = math.ceil(len(tiles) / columns)
    sheet = Image.new("RGB", (columns * (width + _GAP) - _GAP, down * (height + _GAP) - _GAP), (255, 255, 255))
    for place, tile in enumerate(tiles):
        row, column = divmod(place, columns)
        sheet.paste(Image.fromarray(tile), (column * (width + _GAP), row * (height + _GAP)))
    return sheet
