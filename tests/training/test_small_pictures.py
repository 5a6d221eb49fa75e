"""Small pictures are fed a batch at a time, bit-equal to one by one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pocketvision.data.augment import AUGMENTATIONS
from pocketvision.training import small_pictures
from pocketvision.training.inputs import IMAGES, ImageViews
from pocketvision.training.small_pictures import SmallInputs, are_small

ROWS = [[(sample, view) for sample in range(3)] for view in range(4)]


@pytest.fixture
def moved(images: ImageViews) -> ImageViews:
    return replace(images, augmentation=replace(AUGMENTATIONS["none"], flip=0.5, crop_padding=4))


def test_batches_are_bit_equal_to_views_one_by_one(moved: ImageViews) -> None:
    inputs = SmallInputs(moved)
    assert are_small(moved) and inputs.views([IMAGES]) is None and inputs.most_views is None
    found = [batch[IMAGES] for batch in inputs.batches([IMAGES], ROWS)]
    expected = [np.concatenate([moved.load([row]) for row in rows]) for rows in ROWS]
    assert all(np.array_equal(one.numpy(), other) for one, other in zip(found, expected, strict=True))
    views = [moved.view(row) for rows in ROWS for row in rows]
    assert any(view.flip and view.effects for view in views) and not all(view.effects for view in views)
    assert len({(view.effects[0].values) for view in views if view.effects}) > 5
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in found)


def test_what_is_large_or_changed_otherwise_is_not_small(moved: ImageViews, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not are_small(replace(moved, augmentation="light")) and are_small(replace(moved, augmentation="none"))
    boxes = replace(AUGMENTATIONS["none"], crop_padding=4, moves="boxes")  # a shift that is taken into the crop
    assert not are_small(replace(moved, augmentation=boxes))
    monkeypatch.setattr(small_pictures, "MOST_BYTES", len(moved.samples) * 32 * 32 * 3 - 1)
    assert not are_small(moved)


def test_features_are_not_asked_of_them(moved: ImageViews) -> None:
    with pytest.raises(ValueError, match="images alone"):
        next(SmallInputs(moved).batches(["pooled"], ROWS))
