"""A small classifier whose head reads several stages."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pocketvision.bundle import Bundle
from pocketvision.cli.main import main
from pocketvision.export.shipping import ship
from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.network import Network
from pocketvision.models.spec import Architecture, StageRow
from pocketvision.preprocessing import Placement, Preprocessing
from pocketvision.tasks.manifest import TaskManifest

SIZE = 32
LABELS = ("left", "right", "none")
ROWS = Architecture(
    name="seeing",
    family="test",
    stages=(StageRow(3, 2, 2, 8, 1), StageRow(3, 2, 2, 12, 1)),
    stem_channels=8,
    head_channels=24,
    activation="relu6",
    padding="same",
    norm_epsilon=1e-3,
    input_size=SIZE,
    dropout=0.2,
)
PIXELS = Preprocessing(SIZE, SIZE, 0.875, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def seeing_network(head: str = "multiscale_linear", classes: int = len(LABELS)) -> Network:
    torch.manual_seed(0)
    network = Network(ROWS, {"classification": HeadSpec(head, classes)})
    with torch.no_grad():
        for _ in range(20):
            network.train()(torch.rand(8, 3, SIZE, SIZE) * 2 - 1)
        for parameter in network.heads.parameters():
            parameter.uniform_(-0.5, 0.5)
    return network.eval()


def shipped(folder: Path, network: Network, labels: tuple[str, ...]) -> Bundle:
    """A bundle of the network."""
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (6, 3, SIZE, SIZE)).astype(np.float32)
    task = TaskManifest("classification", labels, {"logits": "logits", "probabilities": "probabilities"})
    placement = Placement((SIZE, SIZE), np.eye(3), (SIZE, SIZE))
    return ship(
        network,
        folder,
        tasks={"classification": task},
        preprocessing=PIXELS,
        load=lambda index: (images[index], placement),
        names=[str(index) for index in range(len(images))],
    ).bundle


def run(*arguments: object) -> int:
    """The command line's exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(each) for each in arguments])
    return int(ended.value.code or 0)
