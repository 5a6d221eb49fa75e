"""A bundle's network in PyTorch whose layers are looked into: their outputs by name, and gradients down to them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pocketvision.bundle import Bundle
from pocketvision.errors import UsageError, unknown_name
from pocketvision.explain.choice import Choice, score_of
from pocketvision.models.features import HEAD_CONV
from pocketvision.models.network import Decoded, Network, fold_norms
from pocketvision.models.rebuild import rebuilt
from pocketvision.models.vit import VisionTransformer
from pocketvision.tasks.manifest import TaskManifest, undecided


@dataclass(frozen=True, eq=False)
class Watched:
    """graph: what ships, in eval mode, without gradients for its weights. tasks: what it answers."""

    graph: Decoded
    tasks: Mapping[str, TaskManifest]

    @classmethod
    def of(cls, bundle: Bundle, *, random: bool = False) -> "Watched":
        """The bundle's. random: its weights in a random order. Raises UsageError for a bundle without weights."""
        network = rebuilt(bundle)
        return cls.of_network(_shuffled(network) if random else network, bundle.tasks)

    @classmethod
    def of_network(cls, network: Network, tasks: Mapping[str, TaskManifest]) -> "Watched":
        """Of a network, which stays as it is."""
        settings = {name: undecided(task).postprocessing for name, task in tasks.items()}
        graph = Decoded(fold_norms(network), settings).eval()
        return cls(graph.requires_grad_(False), tasks)

    @property
    def network(self) -> Network:
        return self.graph.network

    def outputs(self, images: Tensor) -> dict[str, Tensor]:
        """The graph's by name."""
        return dict(zip(self.graph.names, self.graph(images), strict=True))

    def score(self, images: Tensor, choice: Choice) -> Tensor:
        """(N) of preprocessed images (N, 3, H, W)."""
        found: Tensor = score_of(self.tasks[choice.task], self.outputs(images), choice)
        return found

    def layers(self) -> dict[str, nn.Module]:
        """Every layer by its name, features' names first."""
        named = {name: module for name, module in self.network.named_modules() if name}
        return {**self._features(), **named}

    def layer(self, name: str) -> nn.Module:
        """Raises UsageError with near matches for a layer that is not there."""
        layers = self.layers()
        if name not in layers:
            raise unknown_name(f"layer of {self.network.architecture.name}", name, layers)
        return layers[name]

    def _features(self) -> dict[str, nn.Module]:
        """Names that heads and documents use (models/features.py), of what is one module's output."""
        network = self.network
        found: dict[str, nn.Module] = {"stem": network.stem}
        found.update({f"stage{place}": stage for place, stage in enumerate(network.stages)})
        conv = getattr(network.head, "conv", None)
        if HEAD_CONV in network.declared and isinstance(conv, nn.Module):
            found[HEAD_CONV] = conv
        return found

    def default_layer(self, task: str) -> str:
        """The deepest map that runs for the task's head: the last convolution, or a stage. What lies above it does not run."""
        reads = self.network.head_specs[task].features or self.network.head_rows[task].features
        if isinstance(self.network.architecture, VisionTransformer):
            return f"stage{len(self.network.stages) - 2}"  # of the last block only the class token is read
        cuts = [self.network.feature(name).cut for name in reads]
        below = [cut for cut in cuts if cut is not None]
        if len(below) < len(cuts):  # something comes after all stages
            return HEAD_CONV if HEAD_CONV in self._features() else f"stage{len(self.network.stages) - 1}"
        return f"stage{max(below) - 1}" if max(below) else "stem"

    @contextmanager
    def seen(self, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
        """Within it, what the layers of these names put out is kept by name, of the last run.

        What follows a layer gets a copy: an activation that works in place would change what was kept.
        """
        found: dict[str, Tensor] = {}

        def keep(name: str) -> Callable[..., Any]:
            def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
                if not isinstance(output, Tensor):
                    return output
                found[name] = output
                return output.clone()

            return hook

        handles = [self.layer(name).register_forward_hook(keep(name)) for name in names]
        try:
            yield found
        finally:
            for handle in handles:
                handle.remove()

    def gradient(self, image: Tensor, choice: Choice, layer: str) -> tuple[Tensor, Tensor]:
        """Of one image (1, 3, H, W): what the layer puts out, (channels, h, w), and the score's gradient there. Raises UsageError
        where the layer does not run or gives no map."""
        with self.seen([layer]) as seen, torch.enable_grad():
            score = self.score(image.clone().requires_grad_(), choice).sum()
            if layer not in seen:
                raise UsageError(
                    f"The layer {layer} does not run by itself when {choice.task} is answered. Name the one around it."
                )
            level = seen[layer]
            (slope,) = torch.autograd.grad(score, level, allow_unused=True)
        slope = torch.zeros_like(level) if slope is None else slope
        height, width = image.shape[2:]
        return (
            as_map(level.detach(), (height, width), layer, self.network),
            as_map(slope.detach(), (height, width), layer, self.network),
        )


def as_map(level: Tensor, size: tuple[int, int], layer: str, network: Network) -> Tensor:
    """What a layer gives for one image as (channels, h, w): a transformer's tokens without the class token, back in their
    places. Raises UsageError for what is no map."""
    if level.ndim == 4 and level.shape[0] == 1:
        return level[0]
    spec = network.architecture
    if level.ndim == 3 and isinstance(spec, VisionTransformer):
        rows, columns = size[0] // spec.patch, size[1] // spec.patch
        if level.shape[1] >= rows * columns:
            return level[0, -rows * columns :].T.reshape(-1, rows, columns)
    raise UsageError(
        f"The layer {layer} gives {tuple(level.shape)}, no map: expected channels over places. Take a stage or a convolution."
    )


def _shuffled(network: Network) -> Network:
    """Each weight's numbers in a random order: nothing of what was learned is left but how large they are."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            order = torch.randperm(weight.numel(), generator=generator)
            weight.copy_(weight.flatten()[order].reshape(weight.shape))
    return network
