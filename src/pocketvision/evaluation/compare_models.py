"""compare: architectures side by side, on paper and, if asked, by the clock of this machine."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import MissingExtraError, UsageError
from pocketvision.evaluation.latency import BATCH, Latency, Run, measure_latency
from pocketvision.evaluation.pareto import PlotPoint, check_plot, pareto_front, write_plot
from pocketvision.models.catalog import architecture
from pocketvision.models.cost import cost
from pocketvision.models.published_weights import PUBLISHED_WEIGHTS, default_preprocessing
from pocketvision.models.summary import ModelSummary, summary
from pocketvision.progress import Note, OnEvent, silent
from pocketvision.runtime import executorch_backend, openvino_backend
from pocketvision.runtime.backends import BACKENDS, open_onnx, usable_cores

if TYPE_CHECKING:
    from pocketvision.export.exportable import Exportable


@dataclass(frozen=True)
class BackendLatency(Latency):
    """One network in one backend on this machine."""

    backend: str = ""


@dataclass(frozen=True)
class ComparedModel:
    """One line of a comparison. `size` is the input in pixels at which the published accuracy was measured (without one, the
    architecture's), and `macs` are for it; `megabytes` of float32 weights; `timings` is empty when nothing was measured."""

    summary: ModelSummary
    size: int
    macs: int
    megabytes: float
    timings: tuple[BackendLatency, ...]
    best_of_its_cost: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **self.summary.to_dict(),
            "size": self.size,
            "macs": self.macs,
            "megabytes": self.megabytes,
            "best_of_its_cost": self.best_of_its_cost,
            "timings": [asdict(timing) for timing in self.timings],
        }


def compare_models(
    names: Sequence[str],
    *,
    measure: bool = False,
    seconds: float = 2.0,
    plot: str | Path | None = None,
    on_event: OnEvent = silent,
) -> tuple[ComparedModel, ...]:
    """Parameters, MACs and published accuracy of each name; with `measure` also its speed here, in ONNX Runtime, PyTorch
    and, where they are installed, OpenVINO and ExecuTorch.

    Speed does not depend on the weights, so random ones are timed, `seconds` for each figure, the backends in turns.
    `best_of_its_cost`: no other one is at least as accurate for less (the Pareto front over MACs, or over latency once measured).
    plot: write that as a scatter plot (.png or .svg). Raises UsageError for unknown names and fewer than two of them.
    """
    if len(set(names)) < 2:
        raise UsageError("A comparison needs two or more different models.")
    if plot is not None:
        check_plot(Path(plot))  # before the measuring, which takes its time
    lines = [summary(name) for name in dict.fromkeys(names)]
    sizes = {line.name: _published_size(line) for line in lines}
    macs = {name: cost(architecture(name), size=size).macs for name, size in sizes.items()}
    timings = {
        line.name: _measured(line.name, sizes[line.name], seconds, on_event) if measure else () for line in lines
    }
    price = {name: timings[name][0].latency_ms if measure else macs[name] / 1e6 for name in sizes}
    front = pareto_front({line.name: (price[line.name], -line.top1) for line in lines if line.top1 is not None})
    compared = tuple(
        ComparedModel(
            line, sizes[line.name], macs[line.name], 4 * line.parameters / 1e6, timings[line.name], line.name in front
        )
        for line in lines
    )
    if plot is not None:
        price_in = "milliseconds an image" if measure else "million multiply-accumulates"
        points = [
            PlotPoint(line.name, price[line.name], line.top1, line.name in front)
            for line in lines
            if line.top1 is not None
        ]
        write_plot(Path(plot), points, cost=price_in, value="published ImageNet top-1, %")
    return compared


def _published_size(line: ModelSummary) -> int:
    published = PUBLISHED_WEIGHTS.get(line.name)
    return published[0].preprocessing.height if published else line.input_size


@dataclass(frozen=True)
class _Runner:
    """How a network is run in a backend: the export targets whose files it wants in a folder, and what opens it there."""

    targets: tuple[str, ...]
    open: "Callable[[Exportable, Path], Run]"


def _onnxruntime(source: "Exportable", folder: Path) -> Run:
    from pocketvision.export.to_onnx import FILE

    del source  # the file tells its sizes
    return open_onnx(folder / FILE).run


def _eager_torch(source: "Exportable", folder: Path) -> Run:
    import torch

    from pocketvision.models.network import fold_norms

    del folder  # it runs the network itself
    folded = fold_norms(source.network).to(memory_format=torch.channels_last)

    def run(images: NDArray[np.float32]) -> object:
        with torch.inference_mode():
            return folded(torch.from_numpy(images).to(memory_format=torch.channels_last))

    return run


def _openvino(source: "Exportable", folder: Path) -> Run:
    from pocketvision.export.to_onnx import FILE

    del source  # as above
    return openvino_backend.open_file(folder / FILE, usable_cores()).run


def _executorch(source: "Exportable", folder: Path) -> Run:
    from pocketvision.export.to_executorch import FILE

    size = source.preprocessing
    return executorch_backend.open_file(folder / FILE, (size.height, size.width), source.output_shapes).run


_RUNNERS: dict[str, _Runner] = {
    "onnxruntime": _Runner(("onnx",), _onnxruntime),
    "torch": _Runner((), _eager_torch),
    "openvino": _Runner(("onnx",), _openvino),
    "executorch": _Runner(("executorch",), _executorch),
}
"""The backends that are timed where they are installed. Compiled PyTorch is not: compiling takes longer than all the others."""


def _measured(name: str, size: int, seconds: float, on_event: OnEvent) -> tuple[BackendLatency, ...]:
    try:
        from pocketvision.export.exportable import Exportable
        from pocketvision.export.targets import TARGETS
        from pocketvision.models.catalog import build
        from pocketvision.tasks.classification.task import classifying
    except ImportError as error:
        raise MissingExtraError("Measuring networks", "train") from error
    on_event(Note(f"Measuring {name}"))
    network = build(name).eval()
    preprocessing = default_preprocessing(name, size).with_size(size)
    source = Exportable(network, classifying(list(map(str, range(network.num_classes)))), preprocessing)
    runners = {backend: runner for backend, runner in _RUNNERS.items() if BACKENDS[backend].installed}
    with tempfile.TemporaryDirectory() as folder:
        for target in dict.fromkeys(target for runner in runners.values() for target in runner.targets):
            TARGETS[target].write(source, Path(folder))
        runs = {backend: runner.open(source, Path(folder)) for backend, runner in runners.items()}
        images = np.random.default_rng(0).standard_normal((BATCH, 3, size, size), dtype=np.float32)
        measured = measure_latency(runs, images, seconds=seconds)
        return tuple(BackendLatency(**asdict(measured[backend]), backend=backend) for backend in runs)
