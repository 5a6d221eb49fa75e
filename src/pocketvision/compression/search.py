"""The search for 8 bits that cost little: every candidate is built, answers the same images, and is ranked by its figures."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.compression.quantize_onnx import prepare_onnx, quantize_onnx
from pocketvision.compression.quantize_openvino import quantize_openvino
from pocketvision.compression.sensitivity import Sensitivity, layer_sensitivities
from pocketvision.compression.settings import Settings
from pocketvision.errors import PocketVisionError
from pocketvision.evaluation.comparison import Comparison, compare
from pocketvision.evaluation.latency import Latency, measure_latency
from pocketvision.runtime import onnx_backend, openvino_backend
from pocketvision.runtime.backends import Backend, usable_cores

OnProgress = Callable[[str], None]
_BATCH = 32
# Images that single layers are measured on: with the 64 of a run, EfficientNet-Lite0's 50 layers take some 3 minutes.
_SENSITIVITY_IMAGES = 64


@dataclass(frozen=True, eq=False)
class SearchData:
    """What candidates are compared on: images (N, 3, H, W), true classes (N,), the float network's probabilities (N, classes);
    and calibration images (M, 3, H, W), which are none of the former."""

    images: NDArray[np.float32]
    truth: NDArray[np.int64] | None
    reference: NDArray[np.float32]
    calibration: NDArray[np.float32]

    def calibration_batches(self, most: int = 8) -> list[NDArray[np.float32]]:
        """In batches of at most so many, which bound what the calibration keeps at once; of one size, which histograms need."""
        size = max(each for each in range(1, most + 1) if len(self.calibration) % each == 0)
        return [self.calibration[start : start + size] for start in range(0, len(self.calibration), size)]


@dataclass(frozen=True)
class Candidate:
    """Settings, what they changed, and how fast it is here (None where it was not timed); `bytes` of its files."""

    settings: Settings
    comparison: Comparison
    bytes: int
    latency: Latency | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "title": self.settings.title}


@dataclass(frozen=True)
class Search:
    """The candidates. chosen: the fastest of those whose drop is surely within what is allowed (its whole interval is), or, with
    too few images for that, of those whose measured drop is; None when there is none. Its files lie in `folder`.

    sensitivities: measured when no candidate was good enough whole. float_latency: of the network it was made from.
    confidences: (N,) the chosen one's greatest probability for each image.
    """

    candidates: tuple[Candidate, ...]
    chosen: Candidate | None
    sensitivities: tuple[Sensitivity, ...]
    float_latency: Latency
    failed: dict[str, str]
    confidences: NDArray[np.float32] | None = None


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
) -> Search:
    """Try every one of `candidates` on the ONNX file `path`; leave the chosen one's files in `folder`.

    max_drop: percentage points of accuracy. Where none stays within it, the most accurate candidate of ONNX Runtime's is tried
    again with its most sensitive layers left in float, twice as many each time. on_progress: takes a sentence.
    tuned: the same graph with weights tuned for 8 bits; every candidate is built from it too, and compared with `path` as well.
    """
    rounds = (False,) if tuned is None else (False, True)
    with tempfile.TemporaryDirectory() as temporary:
        builder = _Builder(path, tuned, Path(temporary), data)
        failed: dict[str, str] = {}
        built: list[tuple[Candidate, Path]] = []
        for settings in (replace(each, tuned=is_tuned) for is_tuned in rounds for each in candidates):
            on_progress(f"Quantizing: {settings.title}")
            try:
                built.append(builder.build(settings))
            except PocketVisionError as error:
                failed[settings.title] = str(error)
        sensitivities: tuple[Sensitivity, ...] = ()
        if not any(candidate.comparison.within(max_drop) for candidate, _ in built):
            static = [each for each, _ in built if each.settings.tool == "onnxruntime"]
            if static:
                base = max(static, key=_accuracy)
                sensitivities = builder.sensitivities(base.settings, on_progress)
                built += builder.with_float_layers(base.settings, sensitivities, max_drop, on_progress)
        timed, float_latency = builder.timed(built, max_drop, seconds)
        fitting = [each for each in timed if each[0].latency is not None]
        if not fitting:
            return Search(tuple(each for each, _ in timed), None, sensitivities, float_latency, failed)
        chosen, files = min(fitting, key=lambda each: _rank(each[0], max_drop))
        for file in _files(files):
            file.replace(folder / f"model{file.suffix}")
        confidences = builder.confidences[files]
        return Search(tuple(each for each, _ in timed), chosen, sensitivities, float_latency, failed, confidences)


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
        self.confidences: dict[Path, NDArray[np.float32]] = {}

    def build(self, settings: Settings) -> tuple[Candidate, Path]:
        """A candidate and its file, compared on all images."""
        self._built += 1
        openvino = settings.tool == "openvino"
        out = self._folder / f"candidate{self._built}{'.xml' if openvino else '.onnx'}"
        calibration = self._data.calibration_batches()
        if openvino:
            quantize_openvino(self._sources[settings.tuned], out, settings, calibration)
        else:
            quantize_onnx(self._prepared[settings.tuned], out, settings, calibration)
        answers = answers_of(_open(out), self._data.images)
        self.confidences[out] = answers.max(axis=1)
        comparison = compare(self._data.reference, answers, self._data.truth)
        return Candidate(settings, comparison, sum(file.stat().st_size for file in _files(out))), out

    def sensitivities(self, settings: Settings, on_progress: OnProgress) -> tuple[Sensitivity, ...]:
        """Of every layer; on calibration images, which candidates are not compared on."""
        images = self._data.calibration[:_SENSITIVITY_IMAGES]

        def on_layer(done: int, total: int) -> None:
            if done % 10 == 0 or done == total:
                on_progress(f"Measured {done} of {total} layers in 8 bits alone")

        return layer_sensitivities(
            self._prepared[settings.tuned], settings, self._data.calibration_batches()[:4], images, on_layer=on_layer
        )

    def with_float_layers(
        self, settings: Settings, sensitivities: Sequence[Sensitivity], max_drop: float, on_progress: OnProgress
    ) -> Iterator[tuple[Candidate, Path]]:
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

    def timed(
        self, built: Sequence[tuple[Candidate, Path]], max_drop: float, seconds: float
    ) -> tuple[list[tuple[Candidate, Path]], Latency]:
        """The candidates, those that may be chosen timed beside the float network, in turns; and its own latency."""
        runs = {"": open_float(self._path).run}
        runs |= {str(path): _open(path).run for path in _within_drop(built, max_drop)}
        latencies = measure_latency(runs, self._data.images[:1], seconds=seconds)
        timed = [(replace(candidate, latency=latencies.get(str(path))), path) for candidate, path in built]
        return timed, latencies[""]


def _accuracy(candidate: Candidate) -> tuple[float, float, float]:
    """To rank candidates by: points gained, then share of the same answers, then closeness of the probabilities."""
    found = candidate.comparison
    return -(found.drop or 0.0), found.top1_agreement, -found.mean_probability_difference


def _within_drop(built: Sequence[tuple[Candidate, Path]], max_drop: float) -> list[Path]:
    """The files within the allowed drop. Of two that differ in their weights alone, the more accurate: they are equally fast, and
    which one happened to be timed faster is no reason."""
    best: dict[Settings, tuple[Candidate, Path]] = {}
    for candidate, path in built:
        graph = replace(candidate.settings, tuned=False)
        if candidate.comparison.within(max_drop) and (
            graph not in best or _accuracy(candidate) > _accuracy(best[graph][0])
        ):
            best[graph] = candidate, path
    return [path for _, path in best.values()]


def _rank(candidate: Candidate, max_drop: float) -> tuple[bool, float]:
    """What is surely within the allowed drop first, then what is faster."""
    assert candidate.latency is not None, "only what was timed can be chosen"
    return not candidate.comparison.is_sure(max_drop), candidate.latency.latency_ms


def open_float(path: Path) -> Backend:
    """The network that candidates are compared with, as bundles run it."""
    return onnx_backend.open_file(path, usable_cores())


def answers_of(backend: Backend, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities (N, classes), in batches."""
    batches = (np.ascontiguousarray(images[start : start + _BATCH]) for start in range(0, len(images), _BATCH))
    return np.concatenate([backend.run(batch)["probabilities"] for batch in batches])


def _open(path: Path) -> Backend:
    if path.suffix == ".xml":
        return openvino_backend.open_file(path, usable_cores())
    return onnx_backend.open_file(path, usable_cores())


def _files(path: Path) -> list[Path]:
    """A graph's file, and the one beside it that holds OpenVINO's weights."""
    return [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
