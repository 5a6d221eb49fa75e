"""compare: architectures side by side, on paper and, if asked, by the clock of this machine."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pocketvision.errors import MissingExtraError, UsageError
from pocketvision.evaluation.latency import BATCH, Latency, measure_latency
from pocketvision.evaluation.pareto import PlotPoint, check_plot, pareto_front, write_plot
from pocketvision.models.catalog import architecture
from pocketvision.models.cost import cost
from pocketvision.models.published_weights import PUBLISHED_WEIGHTS, default_preprocessing
from pocketvision.models.summary import ModelSummary, summary
from pocketvision.workflows.progress import Note, OnEvent, silent


@dataclass(frozen=True)
class Timing(Latency):
    """One network in one backend on this machine."""

    backend: str = ""


@dataclass(frozen=True)
class Compared:
    """One line of a comparison. `size` is the input in pixels at which the published accuracy was measured (without one, the
    architecture's), and `macs` are for it; `megabytes` of float32 weights; `timings` is empty when nothing was measured."""

    summary: ModelSummary
    size: int
    macs: int
    megabytes: float
    timings: tuple[Timing, ...]
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
) -> tuple[Compared, ...]:
    """Parameters, MACs and published accuracy of each name; with `measure` also its speed here, in ONNX Runtime, PyTorch
    and, where it is installed, OpenVINO.

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
        Compared(
            line, sizes[line.name], macs[line.name], 4 * line.parameters / 1e6, timings[line.name], line.name in front
        )
        for line in lines
    )
    if plot is not None:
        label = "milliseconds an image" if measure else "million multiply-accumulates"
        points = [
            PlotPoint(line.name, price[line.name], line.top1, line.name in front)
            for line in lines
            if line.top1 is not None
        ]
        write_plot(Path(plot), points, cost=label, accuracy="published ImageNet top-1, %")
    return compared


def _published_size(line: ModelSummary) -> int:
    published = PUBLISHED_WEIGHTS.get(line.name)
    return published[0].preprocessing.height if published else line.input_size


def _measured(name: str, size: int, seconds: float, on_event: OnEvent) -> tuple[Timing, ...]:
    try:
        import torch

        from pocketvision.export.exportable import Exportable
        from pocketvision.export.to_onnx import FILE, write_onnx
        from pocketvision.models.catalog import build
        from pocketvision.models.network import fold_norms
        from pocketvision.runtime import openvino_backend
        from pocketvision.runtime.backends import BACKENDS, open_onnx, usable_cores
    except ImportError as error:
        raise MissingExtraError("Measuring networks", "train") from error
    on_event(Note(f"Measuring {name}"))
    network = build(name).eval()
    with tempfile.TemporaryDirectory() as folder:
        preprocessing = default_preprocessing(name, size).with_size(size)
        write_onnx(Exportable(network, tuple(map(str, range(network.num_classes))), preprocessing), Path(folder))
        session = open_onnx(Path(folder) / FILE)
        folded = fold_norms(network).to(memory_format=torch.channels_last)

        def eager(images: np.ndarray[Any, np.dtype[np.float32]]) -> object:
            with torch.inference_mode():
                return folded(torch.from_numpy(images).to(memory_format=torch.channels_last))

        runs: dict[str, Callable[[Any], object]] = {"onnxruntime": session.run, "torch": eager}
        if BACKENDS["openvino"].installed:
            runs["openvino"] = openvino_backend.open_file(Path(folder) / FILE, usable_cores()).run
        images = np.random.default_rng(0).standard_normal((BATCH, 3, size, size), dtype=np.float32)
        measured = measure_latency(runs, images, seconds=seconds)
        return tuple(Timing(**asdict(measured[backend]), backend=backend) for backend in runs)
