"""PyTorch by torch.profiler: every layer in a range of its own, as it ships (norms folded, channels last)."""

import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, record_function

from pocketvision.costs.counting import units
from pocketvision.costs.timed_pass import Event, TimedPass
from pocketvision.models.network import Network, fold_norms
from pocketvision.runtime.silenced import silenced

LAYER = "layer: "
"""What the ranges' names begin with."""


@torch.inference_mode()
def profiled_in_torch(network: Network, images: Tensor, *, passes: int, threads: int) -> TimedPass:
    """Of `images` (N, 3, H, W), `passes` passes after as many to warm up."""
    folded = fold_norms(network).to(memory_format=torch.channels_last)
    images = images.to(memory_format=torch.channels_last)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        whole = clocked(lambda: folded(images), passes)
        # its library writes to the terminal that there is no GPU
        with silenced(), _ranges(folded), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
            for _ in range(passes):
                folded(images)
    finally:
        torch.set_num_threads(before)
    trace = _trace(found)
    durations, operations = _per_layer(trace, passes), _kinds(found, passes)
    memory: dict[str, int] = {
        each.key.removeprefix(LAYER): int(each.cpu_memory_usage / each.count * _runs(each.count, passes))
        for each in found.key_averages()
        if each.key.startswith(LAYER)
    }
    elsewhere = max(sum(operations.values()) - sum(durations.values()), 0.0)
    return TimedPass(whole, durations, operations, elsewhere, trace, memory, _peak(trace))


def clocked(run: Callable[[], Any], passes: int) -> float:
    """Milliseconds of a call, the median, after as many calls to warm up (at most 3)."""
    for _ in range(min(passes, 3)):
        run()
    found = []
    for _ in range(passes):
        started = time.perf_counter()
        run()
        found.append(1e3 * (time.perf_counter() - started))
    return statistics.median(found)


@contextmanager
def _ranges(network: nn.Module) -> Iterator[None]:
    """Within the block every layer runs in a range with its name."""
    open_ones: list[Any] = []

    def enter(path: str) -> Callable[[nn.Module, Any], None]:
        def hook(_module: nn.Module, _inputs: Any) -> None:
            open_ones.append(record_function(LAYER + path))
            open_ones[-1].__enter__()

        return hook

    def leave(_module: nn.Module, _inputs: Any, _outputs: Any) -> None:
        open_ones.pop().__exit__(None, None, None)

    hooks: list[Any] = []
    for path, module in units(network):
        hooks += [module.register_forward_pre_hook(enter(path)), module.register_forward_hook(leave)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _trace(found: profile) -> list[Event]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        found.export_chrome_trace(str(path))
        events: list[Event] = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
        return events


def _per_layer(trace: list[Event], passes: int) -> dict[str, float]:
    """Medians over passes. A layer inside of another (a stem with a convolution of its own) is not counted twice."""
    ranges = [each for each in trace if each.get("cat") == "user_annotation" and each["name"].startswith(LAYER)]
    own: dict[int, float] = {}
    open_ones: list[tuple[float, int]] = []
    for place, each in sorted(enumerate(ranges), key=lambda pair: (pair[1]["ts"], -pair[1]["dur"])):
        while open_ones and open_ones[-1][0] <= each["ts"]:
            open_ones.pop()
        own[place] = each["dur"]
        if open_ones:
            own[open_ones[-1][1]] -= each["dur"]
        open_ones.append((each["ts"] + each["dur"], place))
    by_name: dict[str, list[float]] = defaultdict(list)
    for place, each in enumerate(ranges):
        by_name[each["name"].removeprefix(LAYER)].append(own[place] / 1e3)
    return {name: _median_of_passes(values, passes) for name, values in by_name.items()}


def _median_of_passes(values: list[float], passes: int) -> float:
    """Of a layer that runs as often in every pass: the median over passes of its sum."""
    runs = _runs(len(values), passes)
    return statistics.median(sum(values[start : start + runs]) for start in range(0, len(values), runs))


def _runs(count: int, passes: int) -> int:
    return max(count // passes, 1)


def _kinds(found: profile, passes: int) -> dict[str, float]:
    """By operation, without those it is made of: milliseconds a pass, the longest first."""
    own = {
        each.key.removeprefix("aten::"): each.self_cpu_time_total / passes / 1e3
        for each in found.key_averages()
        if each.key.startswith("aten::")
    }
    return dict(sorted(own.items(), key=lambda pair: -pair[1]))


def _peak(trace: list[Event]) -> int | None:
    """The most bytes that were allocated at once, beyond what was before."""
    held = [each["args"]["Total Allocated"] for each in trace if each.get("name") == "[memory]"]
    first = next((each["args"] for each in trace if each.get("name") == "[memory]"), None)
    return None if first is None else int(max(held) - (first["Total Allocated"] - first["Bytes"]))
