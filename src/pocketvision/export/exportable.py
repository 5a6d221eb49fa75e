"""What every export target starts from: a trained network and all that makes its answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pocketvision.bundle import GraphManifest, MapManifest, TensorInfo
from pocketvision.models.class_map import Mapped, class_map_of, map_manifest, map_output
from pocketvision.models.network import Decoded, Network, fold_norms
from pocketvision.preprocessing import Preprocessing
from pocketvision.runtime.batches import Outputs
from pocketvision.tasks.manifest import TaskManifest, undecided

BATCH = "batch"
SIZE = ("height", "width")
"""The names of free dimensions."""

Graph = Decoded | Mapped
"""What ships, as a module."""

Answers = Callable[[NDArray[Any]], Outputs]
"""Preprocessed images (N, 3, H, W) to the graph's outputs by name, (N, …) each."""


@dataclass(frozen=True, eq=False)
class Exportable:
    """A network in eval mode, the tasks that its heads answer, and its preprocessing.

    tasks: by name, with the postprocessing that goes into the graph (classification's temperature). calibration: preprocessed
    training images (N, 3, H, W), for the targets that find the ranges of 8 bits on them. mapped: tasks whose maps the graph gives
    too (models/class_map.py). Targets leave the network as it is.
    """

    network: Network
    tasks: Mapping[str, TaskManifest]
    preprocessing: Preprocessing
    calibration: NDArray[np.float32] | None = None
    mapped: tuple[str, ...] = ()

    def graph(self) -> Graph:
        """A copy from images to the tasks' outputs, norms folded."""
        return self._graph(fold_norms(self.network).cpu())

    def answers(self) -> Answers:
        """What the network itself answers, in PyTorch."""
        return answers_in_torch(self.graph(), self.outputs)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The graph's outputs by name, in order."""
        return self._graph(self.network).names

    @cached_property
    def output_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each output for one image."""
        with torch.inference_mode():
            found = self._graph(self.network)(self.example(batch=1))
        return {name: tuple(values.shape[1:]) for name, values in zip(self.outputs, found, strict=True)}

    def example(self, batch: int = 2) -> Tensor:
        """Empty images to trace with. Two of them: a batch of one would be taken for a constant."""
        return torch.zeros(batch, 3, self.preprocessing.height, self.preprocessing.width)

    def pixel_graph_manifest(self, name: str, files: tuple[str, ...]) -> GraphManifest:
        """What the manifest says of a graph that takes one image of any size."""
        image = TensorInfo("image", "uint8", ("height", "width", 3))
        return GraphManifest(name, (image,), self._outputs(1), files)

    def graph_manifest(
        self, name: str, files: tuple[str, ...], *, batch: int | str = BATCH, free_size: bool = False
    ) -> GraphManifest:
        """What the bundle's manifest says of an exported graph. free_size: it takes images of any height and width."""
        height, width = SIZE if free_size else (self.preprocessing.height, self.preprocessing.width)
        images = TensorInfo("images", "float32", (batch, 3, height, width))
        return GraphManifest(name, (images,), self._outputs(batch), files, self._maps())

    def _maps(self) -> dict[str, MapManifest]:
        shapes = {task: self.output_shapes[map_output(self.network, task)] for task in self.mapped}
        return {task: map_manifest(self.network, task, shape) for task, shape in shapes.items()}

    def _graph(self, network: Network) -> Graph:
        decoded = self._decoded(network)
        if not self.mapped:
            return decoded
        return Mapped(decoded, {task: class_map_of(network, task) for task in self.mapped}).eval()

    def _decoded(self, network: Network) -> Decoded:
        decoded = Decoded(network, {name: undecided(task).postprocessing for name, task in self.tasks.items()})
        decoded.eval()
        return decoded

    def _outputs(self, batch: int | str) -> tuple[TensorInfo, ...]:
        answers = self._decoded(self.network).names
        return tuple(TensorInfo(name, "float32", (batch, *self.output_shapes[name])) for name in answers)


def answers_in_torch(module: Callable[[Tensor], tuple[Tensor, ...]], names: tuple[str, ...]) -> Answers:
    """What a module with these outputs answers to arrays."""

    def answers(images: NDArray[Any]) -> Outputs:
        with torch.no_grad():
            found = module(torch.from_numpy(images))
        return {name: values.numpy() for name, values in zip(names, found, strict=True)}

    return answers
