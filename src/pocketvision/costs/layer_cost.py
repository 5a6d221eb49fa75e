"""What a layer costs, and a network by its layers and stages."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pocketvision.errors import unknown_name

BYTES = 4
"""Of a float32."""


@dataclass(frozen=True)
class LayerTiming:
    """A layer by the clock of a runtime, for one batch: milliseconds (median of the calls), the share of all layers' time, and
    billions of floating-point operations a second (two a multiply-accumulate); memory: bytes that it left allocated, where the
    runtime tells."""

    milliseconds: float
    share: float
    gflops_per_second: float
    memory: int | None = None


@dataclass(frozen=True)
class LayerCost:
    """A layer: a convolution with its norm and activation, or another module that holds parameters.

    name: the module's path. part: "stem", "stage 0" …, "head", or a task's name. trainable and frozen: parameters. macs:
    multiply-accumulates for one image, counted by torch.utils.flop_counter. shape: of its output for one image, the first where
    it runs several times; empty where it did not run. activations: numbers it puts out for one image. field: pixels of the
    picture, height and width, that one of them sees through kernels; None where it does not come from the picture.
    sees_all: something over the whole picture reaches it too (squeeze-and-excitation, global pooling, attention).
    timings: by runtime.
    """

    name: str
    part: str
    kind: str
    trainable: int
    frozen: int
    macs: int
    shape: tuple[int, ...]
    activations: int
    field: tuple[int, int] | None
    sees_all: bool
    timings: "dict[str, LayerTiming]"

    @property
    def parameters(self) -> int:
        return self.trainable + self.frozen

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **asdict(self),
            "parameters": self.parameters,
            "weight_bytes": BYTES * self.parameters,
            "activation_bytes": BYTES * self.activations,
        }


@dataclass(frozen=True)
class PartCost:
    """The sum over the layers of the stem, a stage, the head or a task. field and sees_all: of its last layer with a map.
    milliseconds: by runtime."""

    name: str
    trainable: int
    frozen: int
    macs: int
    activations: int
    field: tuple[int, int] | None
    sees_all: bool
    milliseconds: dict[str, float]


@dataclass(frozen=True)
class RuntimeProfile:
    """A runtime's pass over the network, `batch` images at once on `threads` threads.

    milliseconds: median of a whole pass, layers and what lies between. elsewhere: of operations that could not be put down to a
    layer (moving data between layouts …). kinds: milliseconds by the runtime's own kinds of operation, the longest first.
    gflops_per_second: reached over the whole pass; share_of_peak: of the machine's. peak_memory: the most bytes held at once by
    the tensors of a pass, where the runtime tells.
    """

    runtime: str
    batch: int
    threads: int
    milliseconds: float
    elsewhere: float
    kinds: dict[str, float]
    gflops_per_second: float
    share_of_peak: float
    peak_memory: int | None = None


@dataclass(frozen=True)
class NetworkCosts:
    """A network by its layers at an input of `size` (height, width). peak_gflops_per_second: of a large matrix product on this
    machine, None where nothing was timed."""

    name: str
    size: tuple[int, int]
    layers: tuple[LayerCost, ...]
    profiles: tuple[RuntimeProfile, ...] = ()
    peak_gflops_per_second: float | None = None

    @property
    def parts(self) -> tuple[PartCost, ...]:
        """The stem, each stage, the head and each task."""
        names = dict.fromkeys(layer.part for layer in self.layers)
        return tuple(_part(name, [layer for layer in self.layers if layer.part == name]) for name in names)

    @property
    def total(self) -> PartCost:
        return _part("all", self.layers)

    def only(self, path: str) -> "NetworkCosts":
        """The layers at a module's path and inside of it. Raises UsageError, with near matches, where there are none."""
        kept = tuple(layer for layer in self.layers if f"{layer.name}.".startswith(f"{path}."))
        if not kept:
            names = [layer.name for layer in self.layers]
            outer = [name[:end] for name in names for end in range(len(name)) if name[end] == "."]
            raise unknown_name("layer", path, dict.fromkeys((*outer, *names)))
        return replace(self, layers=kept)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "name": self.name,
            "size": list(self.size),
            "layers": [layer.to_dict() for layer in self.layers],
            "parts": [asdict(part) for part in self.parts],
            "total": asdict(self.total),
            "profiles": [asdict(profile) for profile in self.profiles],
            "peak_gflops_per_second": self.peak_gflops_per_second,
        }


def _part(name: str, own: Sequence[LayerCost]) -> PartCost:
    maps = [layer for layer in own if layer.field is not None]
    widest = max(maps, key=lambda each: each.field or (0, 0), default=None)
    return PartCost(
        name,
        _sum(layer.trainable for layer in own),
        _sum(layer.frozen for layer in own),
        _sum(layer.macs for layer in own),
        _sum(layer.activations for layer in own),
        None if widest is None else widest.field,
        any(layer.sees_all for layer in own),
        {
            runtime: sum(layer.timings[runtime].milliseconds for layer in own if runtime in layer.timings)
            for runtime in dict.fromkeys(runtime for layer in own for runtime in layer.timings)
        },
    )


def _sum(values: Iterable[int]) -> int:
    return sum(values)
