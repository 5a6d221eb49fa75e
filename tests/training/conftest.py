"""A small real job: five colours of noisy squares, a network of three stages at 32 pixels, run for real in every test."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pocketvision.data.fingerprints import content_hash
from pocketvision.data.samples import Samples
from pocketvision.models.catalog import build
from pocketvision.models.network import Network
from pocketvision.models.spec import Architecture, StageRow
from pocketvision.preprocessing import Preprocessing, decode
from pocketvision.tasks.classification.truth import class_truth
from pocketvision.training.inputs import ImageViews

TINY = Architecture(
    name="tiny",
    family="test",
    stages=(StageRow(3, 1, 1, 8, 1), StageRow(5, 2, 4, 16, 2), StageRow(3, 2, 4, 24, 1)),
    stem_channels=8,
    head_channels=48,
    activation="relu6",
    padding="same",
    norm_epsilon=1e-3,
    input_size=32,
    dropout=0.3,
)
COLOURS = ((200, 40, 40), (40, 200, 40), (40, 40, 200))
PREPROCESSING = Preprocessing(32, 32, 1.0, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.fixture
def network() -> Network:
    """Tiny, seeded, with norm statistics of its own and small enough to overfit."""
    torch.manual_seed(0)
    network = build(TINY, num_classes=3)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageViews:
    """48 images of three classes, the first 36 for training."""
    root = tmp_path_factory.mktemp("squares")
    generator = np.random.default_rng(0)
    paths, labels = [], []
    for index in range(48):
        label = index % 3
        pixels = generator.normal(COLOURS[label], 60, (40, 48, 3)).clip(0, 255).astype(np.uint8)
        paths.append(f"{index}.png")
        labels.append(label)
        Image.fromarray(pixels).save(root / paths[-1])
    samples = Samples(root, paths, class_truth(np.array(labels, np.int32), ("red", "green", "blue")))
    hashes = np.array([content_hash(decode(root / path)) for path in paths], dtype="V16")
    return ImageViews(samples, hashes, PREPROCESSING, "standard", seed=0, workers=2)


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    return tmp_path / "run"
