"""Heads with their papers' losses learn what stands before them by heart, on frozen features of a small backbone."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
import torch
from plain_backbone import PLAIN
from torch import Tensor

from pocketvision.models.heads.head import HeadSpec
from pocketvision.models.network import Network
from pocketvision.tasks.detection.overlap import ious
from pocketvision.tasks.detection.truth import BoxLabels
from pocketvision.training.detection.efficientdet_loss import efficientdet_loss
from pocketvision.training.detection.ssd_loss import ssd_loss
from pocketvision.training.detection.yolo_v1_loss import yolo_v1_loss

Loss = Callable[[Mapping[str, Tensor], Sequence[BoxLabels]], dict[str, Tensor]]

ROWS: list[tuple[list[list[float]], list[int]]] = [
    ([[10.0, 12, 50, 60]], [0]),
    ([[60.0, 30, 90, 80], [4, 60, 40, 92]], [1, 0]),
    ([], []),
]


@pytest.mark.parametrize(
    ("head", "loss", "rate"),
    [
        ("ssd_lite", ssd_loss, 1e-2),
        ("yolo_v1", yolo_v1_loss, 2e-3),
        pytest.param("efficientdet_d0", efficientdet_loss, 3e-3, marks=pytest.mark.slow),
    ],
)
def test_it_learns_by_heart(head: str, loss: Loss, rate: float) -> None:
    torch.manual_seed(0)
    network = Network(PLAIN, {"detection": HeadSpec(head, 2, 0.0)}).eval()
    images = torch.randn(len(ROWS), 3, 96, 96)
    with torch.no_grad():
        features = network.features(images, network.features_read)
    truths = [BoxLabels.of([row], ("cat", "dog")) for row in ROWS]
    optimizer = torch.optim.Adam(network.heads.parameters(), lr=rate)
    losses = []
    network.heads.train()
    for _ in range(40):
        total = torch.stack(list(loss(network.on_features(features)["detection"], truths).values())).sum()
        optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(total.item())
    network.heads.requires_grad_(False)
    found = network.decoded(network.on_features(features), {})["detection"]
    assert losses[-1] < 0.1 * losses[0]
    for image, (boxes, classes) in enumerate(ROWS):
        scores = found["scores"][image].numpy()
        for box, place in zip(boxes, classes, strict=True):
            fits = ious(found["boxes"][image].numpy(), np.array([box]))[:, 0] > 0.7
            assert scores[fits, place].max(initial=0) > 0.5
        if not boxes:
            assert scores.max() < 0.4
