"""A bundle of a network that has learned nothing: for measuring what does not depend on weights. Its answers are nobody's."""

import tempfile
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import nn

from pocketvision.bundle import Bundle, Manifest, write_bundle
from pocketvision.export.exportable import Exportable
from pocketvision.export.to_onnx import FILE as ONNX_FILE
from pocketvision.export.to_onnx import write_onnx
from pocketvision.models.network import Network
from pocketvision.models.rebuild import WEIGHTS_FILE
from pocketvision.preprocessing import Preprocessing
from pocketvision.tasks.classification.task import classifying


def ship_unlearned(network: Network, folder: Path, preprocessing: Preprocessing) -> Bundle:
    """Write a classifier with random weights to `folder`, unchecked.

    Its norms get to know drawn numbers first: in a deep random network activations else grow beyond all numbers, or shrink to
    denormal ones, which some CPUs take many times as long for.
    """
    _acquaint(network, preprocessing)
    source = Exportable(network.eval(), classifying(list(map(str, range(network.num_classes)))), preprocessing)
    empty = np.zeros((1, 3, preprocessing.height, preprocessing.width), np.float32)
    manifest = Manifest(
        architecture=network.architecture.to_dict(),
        preprocessing=preprocessing,
        tasks=dict(source.tasks),
        graphs=(source.graph_manifest("onnx", (ONNX_FILE,)),),
        origin={"name": network.architecture.name, "weights": "random, nothing was learned"},
    )
    with tempfile.TemporaryDirectory() as temporary:
        write_onnx(source, Path(temporary))
        state = {name: each.contiguous() for name, each in network.state_dict().items()}
        files: dict[str, Path | bytes] = {
            WEIGHTS_FILE: safetensors.torch.save(state),
            ONNX_FILE: Path(temporary) / ONNX_FILE,
        }
        return write_bundle(folder, manifest, files, empty, source.answers()(empty))


@torch.no_grad()
def _acquaint(network: Network, preprocessing: Preprocessing) -> None:
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    images = torch.randn(2, 3, preprocessing.height, preprocessing.width, generator=torch.Generator().manual_seed(0))
    if norms:
        network.train()(images)
    network.eval()
