"""Large pictures of masks through the whole training, by the small network: learned from, measured and shipped in tiles."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pocketvision
from pocketvision.runtime.predictor import Predictor
from pocketvision.training.recipe_file import read_recipe


def cells(root: Path) -> Path:
    """Pictures of 192 x 160 with bright squares of 16 pixels, and where they are."""
    generator = np.random.default_rng(0)
    for number in range(6):
        mask = (generator.random((10, 12)) < 0.4).astype(np.uint8).repeat(16, 0).repeat(16, 1)
        pixels = np.clip(mask[..., None] * 120 + generator.normal(60, 12, (*mask.shape, 3)), 0, 255)
        for folder, content in (("images", pixels), ("masks", mask)):
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(content.astype(np.uint8)).save(root / folder / f"{number}.png")
    return root


@pytest.mark.slow
def test_what_is_learned_in_tiles_is_answered_in_tiles(tmp_path: Path, small_network: dict[str, str]) -> None:
    data = cells(tmp_path / "cells")
    result = pocketvision.train(
        data, out=tmp_path / "run", tile=64, size=64, views=1, epochs1=6, epochs2=0, test_share=0.2, **small_network
    )
    assert any("tiles of 64 pixels are learned from" in note for note in result.notes)
    bundle = result.bundle
    assert bundle.task.postprocessing["tile"] == 64 and bundle.figures and not bundle.figures[0].redecided
    assert read_recipe(tmp_path / "run" / "recipe.toml").data.tile == 64
    answer = Predictor(bundle)(data / "images/0.png")
    assert answer.mask.shape == (160, 192)
    assert bundle.preprocessing.width == 64
    assert pocketvision.verify(bundle.folder).images > 0
