"""The small classifier shipped, with the map of where it looked in its file and without."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from seeing import LABELS, seeing_network, shipped

from pocketvision.bundle import Bundle, read_bundle
from pocketvision.workflows.export import export

MadeOnce = Callable[[str, Callable[[Path], Any]], Any]


@pytest.fixture(scope="session")
def plain(made_once: MadeOnce) -> Bundle:
    """Without a map."""
    return read_bundle(made_once("plain", lambda folder: shipped(folder / "bundle", seeing_network(), LABELS).folder))


@pytest.fixture(scope="session")
def mapped(plain: Bundle, made_once: MadeOnce) -> Bundle:
    """With one."""

    def make(folder: Path) -> Path:
        return export(plain.folder, ["onnx"], out=folder / "bundle", with_map=True, seconds=0.01).bundle.folder

    return read_bundle(made_once("mapped", make))


@pytest.fixture(scope="session")
def picture(made_once: MadeOnce) -> Path:
    """A wide photograph, larger than the input."""

    def make(folder: Path) -> Path:
        pixels = np.random.default_rng(1).integers(0, 255, (60, 90, 3), dtype=np.uint8)
        pixels[20:40, 60:80] = 255
        Image.fromarray(pixels).save(folder / "wide.png")
        return folder / "wide.png"

    return made_once("picture", make)  # type: ignore[no-any-return]
