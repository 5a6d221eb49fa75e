"""ONNX Runtime and OpenVINO by their own profiles of a bundle's graph."""

import json
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.costs.graph_layers import ELSEWHERE, GraphLayers
from pocketvision.costs.timed_pass import Event, TimedPass

Images = NDArray[np.float32]
Operation = tuple[str, str, float]
"""A node's name, its kind in the runtime's words, milliseconds."""


def profiled_in_onnxruntime(
    file: Path, layers: GraphLayers, images: Images, *, passes: int, threads: int, clock: Callable[..., float]
) -> TimedPass:
    """Of `images` (N, 3, H, W). clock: milliseconds of a call, the median of so many."""
    import onnxruntime

    def session(**profiling: Any) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
        for name, value in profiling.items():
            setattr(options, name, value)
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    plain = session()
    fed = {plain.get_inputs()[0].name: images}
    whole = clock(lambda: plain.run(None, fed), passes)
    with tempfile.TemporaryDirectory() as folder:
        profiled = session(enable_profiling=True, profile_file_prefix=str(Path(folder) / "profile"))
        for _ in range(passes + 1):  # the first one is slower: memory is planned
            profiled.run(None, fed)
        events: list[Event] = json.loads(Path(profiled.end_profiling()).read_text(encoding="utf-8"))
    runs = [each for each in events if each.get("cat") == "Node" and each["name"].endswith("_kernel_time")]
    count = len(runs) // (passes + 1)
    own = [
        [
            (each["name"], each["args"]["op_name"], each["dur"] / 1e3)
            for each in runs[place * count : (place + 1) * count]
        ]
        for place in range(1, passes + 1)
    ]
    return _timed(whole, own, layers, events)


def profiled_in_openvino(
    file: Path, layers: GraphLayers, images: Images, *, passes: int, threads: int, clock: Callable[..., float]
) -> TimedPass:
    """As profiled_in_onnxruntime. In float32, as the backend does (runtime/openvino_backend.py)."""
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    model = core.read_model(file)
    plain = core.compile_model(model, "CPU", settings).create_infer_request()
    whole = clock(lambda: plain.infer([images], share_inputs=True), passes)
    request = core.compile_model(model, "CPU", {**settings, "PERF_COUNT": True}).create_infer_request()
    request.infer([images])
    own: list[list[Operation]] = []
    for _ in range(passes):
        request.infer([images], share_inputs=True)
        ran = [each for each in request.get_profiling_info() if each.real_time.total_seconds() > 0]
        own.append([(each.node_name, each.node_type, 1e3 * each.real_time.total_seconds()) for each in ran])
    return _timed(whole, own, layers, _one_after_the_other(own))


def _timed(whole: float, passes: list[list[Operation]], layers: GraphLayers, trace: list[Event]) -> TimedPass:
    by_layer = _medians([_summed((_layer_of(each, layers), each[2]) for each in one) for one in passes])
    kinds = _medians([_summed((kind, spent) for _, kind, spent in one) for one in passes])
    elsewhere = by_layer.pop(ELSEWHERE, 0.0)
    return TimedPass(whole, by_layer, dict(sorted(kinds.items(), key=lambda pair: -pair[1])), elsewhere, trace)


def _layer_of(operation: Operation, layers: GraphLayers) -> str:
    """Data moved to another layout bears the names of both its neighbours: it is of no layer."""
    name, kind, _ = operation
    return ELSEWHERE if kind.startswith("Reorder") else layers.of(name)


def _summed(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    found: dict[str, float] = defaultdict(float)
    for name, spent in pairs:
        found[name] += spent
    return found


def _medians(passes: list[dict[str, float]]) -> dict[str, float]:
    return {
        name: statistics.median(each.get(name, 0.0) for each in passes)
        for name in dict.fromkeys(n for p in passes for n in p)
    }


def _one_after_the_other(passes: list[list[Operation]]) -> list[Event]:
    """Events of a Chrome trace for a runtime that tells how long each took and not when."""
    events, at = list[Event](), 0.0
    for one in passes:
        for name, kind, spent in one:
            events.append({"name": name, "cat": kind, "ph": "X", "ts": at, "dur": 1e3 * spent, "pid": 0, "tid": 0})
            at += 1e3 * spent
    return events
