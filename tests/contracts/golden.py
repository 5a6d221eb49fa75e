"""Golden outputs of every architecture: what they are, and the command that accepts new ones (`make golden`).

Weights and images come from numpy's generator, whose numbers do not change between versions or machines, and all is computed in
double precision, so that neither does the rounding.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from networks import calibrated
from torch import nn

from pocketvision.models.catalog import ARCHITECTURES, build

GOLDEN = Path(__file__).with_name("golden_outputs.json")
CLASSES = 8


def seeded(name: str) -> nn.Module:
    """The network with every tensor drawn anew, at scales that keep activations alive."""
    network = build(name, num_classes=CLASSES).double().eval()
    rng = np.random.default_rng(2024)
    with torch.no_grad():
        for key, tensor in network.state_dict().items():
            if key.endswith("running_var"):
                values = rng.uniform(0.5, 2.0, tensor.shape)
            elif key.endswith("norm.weight"):
                values = rng.uniform(0.5, 1.5, tensor.shape)
            elif tensor.ndim > 1:
                values = rng.standard_normal(tensor.shape, dtype=np.float32) * np.sqrt(2 / tensor[0].numel())
            elif tensor.is_floating_point():
                values = rng.normal(0.0, 0.3, tensor.shape)
            else:
                continue
            tensor.copy_(torch.from_numpy(np.asarray(values)))
    images = torch.from_numpy(rng.standard_normal((8, 3, 64, 64)))
    return calibrated(network, images)


def golden_outputs(network: nn.Module) -> list[list[float]]:
    """Logits of two images of 64 x 64 numbers."""
    images = np.random.default_rng(7).standard_normal((2, 3, 64, 64))
    with torch.no_grad():
        return [[float(f"{value:.6g}") for value in row] for row in network(torch.from_numpy(images)).tolist()]


if __name__ == "__main__":
    accepted = {name: golden_outputs(seeded(name)) for name in ARCHITECTURES}
    GOLDEN.write_text(json.dumps(accepted, indent=1) + "\n")
    sys.stdout.write(f"{len(accepted)} architectures written to {GOLDEN}\n")
