"""A trained network as one ONNX file with a free batch dimension and the outputs `logits` and `probabilities`."""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from pocketvision.atomic_files import replacing
from pocketvision.bundle import GraphManifest, TensorInfo
from pocketvision.models.network import Network, fold_norms

BATCH = "batch"
"""The name of the free dimension."""


class _WithProbabilities(nn.Module):
    """The graph that is exported: a network and its calibrated softmax."""

    def __init__(self, network: nn.Module, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) preprocessed images to logits and probabilities, (N, classes) each."""
        logits = self.network(images)
        return logits, torch.softmax(logits / self.temperature, dim=1)


def export_onnx(network: Network, path: Path, *, temperature: float = 1.0, height: int, width: int) -> GraphManifest:
    """Write `network` in eval mode to `path` (whole or not at all) and describe the graph for the bundle's manifest.

    Batch norms are folded into their convolutions. `probabilities` = softmax(logits / temperature). height, width: the
    input's size in pixels. The network given is left as it is. Weights are inside the file, so it stands alone.
    """
    if temperature <= 0:
        raise ValueError(f"the temperature is {temperature}; expected a number above 0")
    graph = _WithProbabilities(fold_norms(network).cpu(), temperature).eval()
    write_graph(graph, path, example=torch.zeros(2, 3, height, width), outputs=("logits", "probabilities"))
    classes = graph(torch.zeros(1, 3, height, width))[0].shape[1]
    return GraphManifest(
        name="classifier",
        inputs=(TensorInfo("images", "float32", (BATCH, 3, height, width)),),
        outputs=(
            TensorInfo("logits", "float32", (BATCH, classes)),
            TensorInfo("probabilities", "float32", (BATCH, classes)),
        ),
        files=(path.name,),
    )


def write_graph(graph: nn.Module, path: Path, *, example: Tensor, outputs: Sequence[str]) -> None:
    """Write any module from one tensor to one or more as one ONNX file with a free batch dimension, whole or not at all.

    example: a batch of two rows: a batch of one would be taken for a constant.
    """
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            graph,
            (example,),
            dynamo=True,
            input_names=["images"],
            output_names=list(outputs),
            dynamic_shapes=({0: torch.export.Dim(BATCH)},),
            verbose=False,
        )
        if program is None:
            raise RuntimeError("torch.onnx.export returned nothing")
        _forget_the_machine(program)
        with replacing(path) as temporary:
            program.save(temporary, external_data=False)


def _forget_the_machine(program: torch.onnx.ONNXProgram) -> None:
    """Drop the exporter's notes: they hold stack traces with the folders of the machine that trained."""
    graph = program.model.graph
    for node in graph.all_nodes():
        node.metadata_props.clear()
    for value in (*graph.inputs, *graph.outputs, *graph.initializers.values()):
        value.metadata_props.clear()
    graph.metadata_props.clear()
    program.model.metadata_props.clear()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress and advice, which are not for our user, off the terminal. Errors still raise."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
