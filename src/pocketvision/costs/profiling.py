"""A network counted and timed: its layers by the clock of every runtime, and what that is of the machine's best."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from pocketvision.costs.counting import Size, count, units
from pocketvision.costs.graph_layers import GraphLayers
from pocketvision.costs.graph_profile import profiled_in_onnxruntime, profiled_in_openvino
from pocketvision.costs.layer_cost import LayerCost, LayerTiming, NetworkCosts, RuntimeProfile
from pocketvision.costs.peak import peak_gflops_per_second
from pocketvision.costs.timed_pass import Event, TimedPass
from pocketvision.costs.torch_profile import clocked, profiled_in_torch
from pocketvision.errors import UsageError, unknown_name
from pocketvision.export.exportable import Exportable
from pocketvision.export.to_onnx import FILE
from pocketvision.runtime.backends import BACKENDS, usable_threads

TORCH = "torch"
_OF_GRAPHS = {"onnxruntime": profiled_in_onnxruntime, "openvino": profiled_in_openvino}
RUNTIMES = (TORCH, *_OF_GRAPHS)
"""Those that tell how long each operation took."""


@dataclass(frozen=True)
class ProfileSettings:
    """runtimes: names of RUNTIMES; none takes those that are installed. passes: over which medians are taken. threads: None for
    every core that the process may use."""

    runtimes: tuple[str, ...] = ()
    batch: int = 1
    passes: int = 10
    threads: int | None = None

    def __post_init__(self) -> None:
        for name in self.runtimes:
            if name not in RUNTIMES:
                raise unknown_name("backend", name, RUNTIMES)
            if not BACKENDS[name].installed:
                raise UsageError(f"The backend {name} is not installed: {BACKENDS[name].install}")
        if self.batch < 1:
            raise UsageError(f"--batch is {self.batch}; expected 1 or more images.")
        if self.passes < 1:
            raise UsageError(f"--passes is {self.passes}; expected 1 or more.")
        usable_threads(self.threads)

    @property
    def measured(self) -> tuple[str, ...]:
        return self.runtimes or tuple(name for name in RUNTIMES if BACKENDS[name].installed)


Traces = dict[str, list[Event]]
"""By runtime."""


def profiled(
    source: Exportable, size: Size, settings: ProfileSettings, *, name: str | None = None
) -> tuple[NetworkCosts, Traces]:
    """The layers of a network with what each costs and takes, and the traces. It runs on drawn numbers, for time depends on no
    picture. size: height and width, those of the source's preprocessing."""
    network, threads = source.network, usable_threads(settings.threads)
    costs = count(network, size, name=name)
    images = np.random.default_rng(0).standard_normal((settings.batch, 3, *size), dtype=np.float32)
    passes: dict[str, TimedPass] = {}
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / FILE
        for runtime in settings.measured:
            if runtime == TORCH:
                passes[runtime] = profiled_in_torch(
                    network, torch.from_numpy(images), passes=settings.passes, threads=threads
                )
                continue
            if not graph.exists():
                _write_graph(source, Path(folder))
            layers = GraphLayers(graph, [path for path, _ in units(network)])
            passes[runtime] = _OF_GRAPHS[runtime](
                graph, layers, images, passes=settings.passes, threads=threads, clock=clocked
            )
    return _with_times(costs, passes, settings.batch, threads), {name: each.trace for name, each in passes.items()}


def _write_graph(source: Exportable, folder: Path) -> None:
    from pocketvision.export.targets import TARGETS

    TARGETS["onnx"].write(source, folder)


def _with_times(costs: NetworkCosts, passes: Mapping[str, TimedPass], batch: int, threads: int) -> NetworkCosts:
    peak, work = peak_gflops_per_second(threads), 2e-9 * batch * costs.total.macs
    profiles = tuple(
        RuntimeProfile(
            runtime,
            batch,
            threads,
            one.whole,
            one.elsewhere,
            dict(one.kinds),
            reached := work / (one.whole / 1e3),
            reached / peak,
            one.peak_memory,
        )
        for runtime, one in passes.items()
    )
    layers = tuple(replace(layer, timings=_timings(layer, passes, batch)) for layer in costs.layers)
    return replace(costs, layers=layers, profiles=profiles, peak_gflops_per_second=peak)


def _timings(layer: LayerCost, passes: Mapping[str, TimedPass], batch: int) -> dict[str, LayerTiming]:
    found = {}
    for runtime, one in passes.items():
        spent = one.layers.get(layer.name)
        if spent is not None:
            everything = sum(one.layers.values()) + one.elsewhere
            rate = 2e-6 * batch * layer.macs / spent if spent else 0.0
            found[runtime] = LayerTiming(spent, spent / everything, rate, one.memory.get(layer.name))
    return found


def write_traces(path: Path, traces: Traces) -> Sequence[Path]:
    """As Chrome traces, for chrome://tracing or https://ui.perfetto.dev: to `path`, or of several runtimes to one file each, with
    its name before the ending. Returns the files."""
    from pocketvision.atomic_files import write_json

    many = len(traces) > 1
    files = {name: path.with_name(f"{path.stem}.{name}{path.suffix}") if many else path for name in traces}
    for name, file in files.items():
        write_json(file, {"traceEvents": traces[name], "displayTimeUnit": "ms"})
    return list(files.values())
