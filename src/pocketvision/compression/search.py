"""The search for 8 bits that cost little: every candidate is built, answers the same images, and is ranked by its figures."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.compression.candidate import Candidate
from pocketvision.compression.quantize_onnx import prepare_onnx, quantize_onnx
from pocketvision.compression.quantize_openvino import quantize_openvino
from pocketvision.compression.selection import good_enough, select
from pocketvision.compression.sensitivity import Sensitivity, layer_sensitivities
from pocketvision.compression.settings import Settings
from pocketvision.compression.variant import answered
from pocketvision.errors import PocketVisionError
from pocketvision.evaluation.latency import Latency, measure_latency
from pocketvision.preprocessing import Placement
from pocketvision.printable import counted
from pocketvision.runtime import onnx_backend, openvino_backend
from pocketvision.runtime.backends import Backend, usable_cores
from pocketvision.tasks.comparing import Answered, Records, compare_tasks
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.truth import Truth

OnProgress = Callable[[str], None]
Built = tuple[Candidate, Path]
_BATCH = 32
# Images that single layers are measured on: with the 64 of a run, EfficientNet-Lite0's 50 layers take some 3 minutes.
_SENSITIVITY_IMAGES = 64


@dataclass(frozen=True, eq=False)
class SearchData:
    """What candidates are compared on: images (N, 3, H, W), where each lies in its input, what was said of them, by the bundle's
    tasks, and the records of the float network's answers; and calibration images (M, 3, H, W), which are none of the former."""

    tasks: Mapping[str, TaskManifest]
    images: NDArray[np.float32]
    placements: Sequence[Placement]
    truth: Mapping[str, Truth]
    reference: Records
    calibration: NDArray[np.float32]

    def answered(self, backend: Backend) -> Answered:
        """What a backend answers to the images."""
        starts = range(0, len(self.images), _BATCH)
        batches = (
            (np.ascontiguousarray(self.images[start : start + _BATCH]), self.placements[start : start + _BATCH])
            for start in starts
        )
        return answered(self.tasks, backend.run, batches, self.truth)

    def calibration_batches(self, most: int = 8) -> list[NDArray[np.float32]]:
        """In batches of at most so many, which bound what the calibration keeps at once; of one size, which histograms need."""
        size = max(each for each in range(1, most + 1) if len(self.calibration) % each == 0)
        return [self.calibration[start : start + size] for start in range(0, len(self.calibration), size)]


@dataclass(frozen=True)
class Search:
    """The candidates that were tried. chosen and reason: see selection.py; None when none is within what is allowed. The chosen
    one's files lie in `folder`.

    sensitivities: measured when no candidate was good enough whole. float_latency: of the network it was made from. untried: how
    many candidates were left out once one was good enough. answered: what the chosen one answered to the images.
    """

    candidates: tuple[Candidate, ...]
    chosen: Candidate | None
    sensitivities: tuple[Sensitivity, ...]
    float_latency: Latency
    failed: dict[str, str]
    untried: int = 0
    reason: str = ""
    answered: Answered | None = None


def search(
    path: Path,
    folder: Path,
    candidates: Sequence[Settings],
    data: SearchData,
    *,
    max_drop: float,
    seconds: float,
    on_progress: OnProgress,
    tuned: Path | None = None,
    stop_early: bool = False,
) -> Search:
    """Try `candidates` on the ONNX file `path`; leave the chosen one's files in `folder`.

    max_drop: percentage points of accuracy. Where none stays within it, the most accurate candidate of ONNX Runtime's is tried
    again with its most sensitive layers left in float, twice as many each time. on_progress: takes a sentence.
    tuned: the same graph with weights tuned for 8 bits; candidates are built from it too, and compared with `path` as well.
    stop_early: of either weights the first that is good enough ends the search.
    """
    weights = (False,) if tuned is None else (False, True)
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as temporary:
        builder = _Builder(path, tuned, Path(temporary), data)
        built: list[Built] = []
        untried = 0
        for is_tuned in weights:
            queue = [replace(each, tuned=is_tuned) for each in candidates]
            found = builder.build_all(queue, failed, max_drop if stop_early else None, on_progress)
            untried += len(queue) - len(found) - sum(each.title in failed for each in queue)
            built += found
        sensitivities: tuple[Sensitivity, ...] = ()
        if not any(candidate.comparison.within(max_drop) for candidate, _ in built):
            static = [each for each, _ in built if each.settings.tool == "onnxruntime"]
            if static:
                base = max(static, key=lambda each: each.comparison.closeness)
                sensitivities = builder.sensitivities(base.settings, on_progress)
                built += builder.with_float_layers(base.settings, sensitivities, max_drop, on_progress)
        timed, float_latency = builder.timed(built, max_drop, seconds)
        tried = tuple(each for each, _ in timed)
        fitting = {each.settings: (each, file) for each, file in timed if each.latency is not None}
        if not fitting:
            return Search(tried, None, sensitivities, float_latency, failed, untried)
        selection = select([each for each, _ in fitting.values()], max_drop, untried=untried)
        chosen, chosen_file = fitting[selection.candidate.settings]
        for file in _files(chosen_file):
            file.replace(folder / f"model{file.suffix}")
        answers = builder.answered[chosen_file]
        return Search(tried, chosen, sensitivities, float_latency, failed, untried, selection.reason, answers)


class _Builder:
    """Builds candidates in a folder and compares their answers with the reference."""

    def __init__(self, path: Path, tuned: Path | None, folder: Path, data: SearchData) -> None:
        self._path = path
        # What candidates are made from, by whether it is tuned; ONNX Runtime's tools want it prepared, which is done once.
        self._sources = {False: path} if tuned is None else {False: path, True: tuned}
        self._prepared = {is_tuned: folder / f"prepared-{is_tuned}.onnx" for is_tuned in self._sources}
        for is_tuned, file in self._prepared.items():
            prepare_onnx(self._sources[is_tuned], file)
        self._folder = folder
        self._data = data
        self._built = 0
        self.answered: dict[Path, Answered] = {}

    def build_all(
        self, queue: Sequence[Settings], failed: dict[str, str], stop_within: float | None, on_progress: OnProgress
    ) -> list[Built]:
        """Candidates in order, until one is good enough for `stop_within` points; what can not be built goes into `failed`."""
        built: list[Built] = []
        for settings in queue:
            on_progress(f"Quantizing: {settings.title}")
            try:
                built.append(self.build(settings))
            except PocketVisionError as error:
                failed[settings.title] = str(error)
                continue
            if stop_within is not None and good_enough(built[-1][0].comparison, stop_within):
                break
        return built

    def build(self, settings: Settings) -> Built:
        """A candidate and its file, compared on all images."""
        self._built += 1
        openvino = settings.tool == "openvino"
        out = self._folder / f"candidate{self._built}{'.xml' if openvino else '.onnx'}"
        calibration = self._data.calibration_batches()
        if openvino:
            quantize_openvino(self._sources[settings.tuned], out, settings, calibration)
        else:
            quantize_onnx(self._prepared[settings.tuned], out, settings, calibration)
        self.answered[out] = self._data.answered(_open(out))
        comparison = compare_tasks(self._data.tasks, self._data.reference, self.answered[out].records)
        return Candidate(settings, comparison, sum(file.stat().st_size for file in _files(out))), out

    def sensitivities(self, settings: Settings, on_progress: OnProgress) -> tuple[Sensitivity, ...]:
        """Of every layer; on calibration images, which candidates are not compared on."""
        images = self._data.calibration[:_SENSITIVITY_IMAGES]

        def on_layer(done: int, total: int) -> None:
            if done % 10 == 0 or done == total:
                on_progress(f"Measured {done} of {counted(total, 'layer')} in 8 bits alone")

        return layer_sensitivities(
            self._data.tasks,
            self._prepared[settings.tuned],
            settings,
            self._data.calibration_batches()[:4],
            images,
            on_layer=on_layer,
        )

    def with_float_layers(
        self, settings: Settings, sensitivities: Sequence[Sensitivity], max_drop: float, on_progress: OnProgress
    ) -> Iterator[Built]:
        """Candidates with 1, 2, 4 … of the most sensitive layers in float, until one is within the allowed drop."""
        count = 1
        while count < len(sensitivities):
            layers = tuple(each.layer for each in sensitivities[:count])
            on_progress(f"Quantizing with the {count} most sensitive layers left in float")
            candidate, path = self.build(replace(settings, float_layers=layers))
            yield candidate, path
            if candidate.comparison.within(max_drop):
                return
            count *= 2

    def timed(self, built: Sequence[Built], max_drop: float, seconds: float) -> tuple[list[Built], Latency]:
        """The candidates, those that may be chosen timed beside the float network, in turns; and its own latency."""
        runs = {"": open_float(self._path).run}
        runs |= {str(path): _open(path).run for path in _within_drop(built, max_drop)}
        latencies = measure_latency(runs, self._data.images[:1], seconds=seconds)
        timed = [(replace(candidate, latency=latencies.get(str(path))), path) for candidate, path in built]
        return timed, latencies[""]


def _within_drop(built: Sequence[Built], max_drop: float) -> list[Path]:
    """The files within the allowed drop. Of two that differ in their weights alone, the more accurate: they are equally fast, and
    which one happened to be timed faster is no reason."""
    best: dict[Settings, Built] = {}
    for candidate, path in built:
        graph = replace(candidate.settings, tuned=False)
        if candidate.comparison.within(max_drop) and (
            graph not in best or candidate.comparison.closeness > best[graph][0].comparison.closeness
        ):
            best[graph] = candidate, path
    return [path for _, path in best.values()]


def open_float(path: Path) -> Backend:
    """The network that candidates are compared with, as bundles run it."""
    return onnx_backend.open_file(path, usable_cores())


def _open(path: Path) -> Backend:
    if path.suffix == ".xml":
        return openvino_backend.open_file(path, usable_cores())
    return onnx_backend.open_file(path, usable_cores())


def _files(path: Path) -> list[Path]:
    """A graph's file, and the one beside it that holds OpenVINO's weights."""
    return [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
