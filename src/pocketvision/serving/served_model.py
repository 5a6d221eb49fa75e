"""One bundle at work behind a batcher: from the bytes of images to answers."""

import hashlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketvision.baseline import BRIGHTNESS, brightness_of_crop, confidence_features
from pocketvision.bundle import MANIFEST, Bundle, read_bundle
from pocketvision.errors import BundleError
from pocketvision.preprocessing import DecodedImage, Placement, decode_image
from pocketvision.runtime.backends import Backend, default_backend, file_size, open_backend
from pocketvision.runtime.batches import Outputs
from pocketvision.runtime.golden_check import check_golden
from pocketvision.serving.batching import Batcher, TimedResult, Timing
from pocketvision.serving.drift import DriftMonitor
from pocketvision.serving.settings import ServerSettings
from pocketvision.serving.telemetry import ModelMetrics, Telemetry
from pocketvision.tasks.catalog import Answers, several_inputs
from pocketvision.tasks.task import Detail
from pocketvision.tasks.viewing import answered, inputs_of

Input = bytes | NDArray[np.float32]
"""An image file's content, or a network's input (3, H, W)."""

VERSION_LENGTH = 12


@dataclass(frozen=True, eq=False)
class ServedPrediction:
    """An image's answers by the tasks' names. outputs: of the graph, by name, (inputs of the image, …). timing: see batching."""

    answers: Answers
    outputs: Outputs
    timing: Timing


@dataclass(frozen=True, eq=False)
class WarmModel:
    """A bundle whose hashes were checked, opened by a backend that has answered its golden inputs as they were measured.

    version: the first 12 hexadecimal digits of the SHA-256 of its manifest, which holds every other file's.
    """

    bundle: Bundle
    backend: Backend
    version: str


def open_warm(folder: Path, settings: ServerSettings) -> WarmModel:
    """Read, open and try a bundle; takes a second or so. Raises BundleError when anything about it is not as it should be."""
    read_bundle(folder, check_hashes=False)  # says best what is wrong with a folder that is no bundle
    version = manifest_version(folder)
    bundle = read_bundle(folder)
    backend = settings.backend or default_backend(bundle)
    opened = open_backend(bundle, backend, threads=1)  # batches run side by side, each on one core
    check_golden(bundle, backend, opened)
    images = bundle.golden()["images"]
    # Memory for the largest batch is taken now rather than under load.
    size = settings.batches.max_batch
    opened.run(np.resize(images, (size, *images.shape[1:])))
    if manifest_version(folder) != version:
        raise BundleError(f"{folder}: the bundle changed while it was read; try again")
    return WarmModel(bundle, opened, version)


def manifest_version(folder: Path) -> str:
    """A bundle's version: see WarmModel. Raises BundleError when there is no manifest."""
    try:
        return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()[:VERSION_LENGTH]
    except OSError as error:
        raise BundleError(f"{folder / MANIFEST}: it can not be read ({error.strerror or error})") from error


@dataclass(frozen=True, eq=False)
class _Asked:
    source: Input
    detail: Detail


@dataclass(frozen=True, eq=False)
class _Prepared:
    """An image on its way to a batch, as one input of the network or several. brightness: of images; tensors, whose preprocessing
    was a client's, have none."""

    inputs: Sequence[tuple[Image.Image | NDArray[np.float32], Placement]]
    detail: Detail
    brightness: float | None


@dataclass(frozen=True, eq=False)
class _ModelOutput:
    answers: Answers
    outputs: Outputs
    brightness: float | None


class ServedModel:
    """A warm model with its batcher. Made and used in one event loop."""

    def __init__(
        self,
        name: str,
        folder: Path,
        warm: WarmModel,
        settings: ServerSettings,
        telemetry: Telemetry,
        decoding: threading.Semaphore,
        drift: DriftMonitor | None = None,
    ) -> None:
        """decoding: held while an input is prepared. drift: watches what this model answers; None for a version that does not
        answer by default."""
        self.name = name
        self.folder = folder
        self.version = warm.version
        self.bundle = warm.bundle
        self.tasks = warm.bundle.tasks
        self.labels = warm.bundle.labels
        self.outputs = warm.backend.outputs
        self.bytes = file_size(warm.bundle, settings.backend)
        self.loaded = time.time()
        self._backend = warm.backend
        self._settings = settings
        self._tracing = telemetry.tracing
        self._figures = ModelMetrics(telemetry, name, self.tasks)
        self._features = confidence_features(self.tasks)
        self._several = several_inputs(self.tasks)
        self._drift = drift
        preprocessing = warm.bundle.preprocessing
        self._shape = (settings.batches.max_batch, 3, preprocessing.height, preprocessing.width)
        self._own = threading.local()
        batches = replace(settings.batches, threads=settings.model_threads)
        self.batcher: Batcher[_Asked, _Prepared, _ModelOutput]
        self.batcher = Batcher(
            self._prepare,
            self._run,
            batches,
            preparing=decoding,
            on_batch=self._figures.observe_batch,
            on_abandoned=self._figures.abandoned.inc,
        )

    async def predict(
        self, images: Sequence[Input], detail: Detail, *, deadline: float
    ) -> list[ServedPrediction | Exception]:
        """One prediction or error for each image; see Batcher.submit."""
        self._figures.queue.inc(len(images))
        try:
            outcomes = await self.batcher.submit([_Asked(image, detail) for image in images], deadline=deadline)
        finally:
            self._figures.queue.dec(len(images))
        return [self._record(outcome) if isinstance(outcome, TimedResult) else outcome for outcome in outcomes]

    def stop_watching(self) -> None:
        """Another model is watched for drift in this one's place."""
        if self._drift is not None:
            self._drift.close()

    def _record(self, answer: TimedResult[_ModelOutput]) -> ServedPrediction:
        answered = answer.value
        self._figures.decode_seconds.observe(answer.timing.prepare)
        self._figures.queue_seconds.observe(answer.timing.wait)
        for task, each in answered.answers.items():
            if (confidence := each.confidence) is not None:
                self._figures.confidences[task].observe(confidence)
                if self._drift is not None:
                    self._drift.record(self._features[task], confidence)
        if answered.brightness is not None:
            self._figures.brightness.observe(answered.brightness)
            if self._drift is not None:
                self._drift.record(BRIGHTNESS, answered.brightness)
        if self._tracing is not None:
            self._tracing.note_image(self.name, self.version, answer.timing)
        return ServedPrediction(answered.answers, answered.outputs, answer.timing)

    def _prepare(self, asked: _Asked) -> _Prepared:
        """In a batch thread. 8-bit pixels are kept as they are: a quarter of the memory of the network's input."""
        if not isinstance(asked.source, bytes):
            _, _, height, width = self._shape
            return _Prepared([(asked.source, Placement.of_decoding((width, height)))], asked.detail, None)
        preprocessing = self.bundle.preprocessing
        inputs = inputs_of(self.tasks, self._decoded(asked.source), preprocessing)
        brightness = sum(brightness_of_crop(image) for image, _ in inputs) / len(inputs)
        kept = [
            (image if isinstance(image, Image.Image) else preprocessing.normalise(image), place)
            for image, place in inputs
        ]
        return _Prepared(kept, asked.detail, brightness)

    def _decoded(self, content: bytes) -> DecodedImage:
        preprocessing, settings = self.bundle.preprocessing, self._settings
        if not self._several:
            return preprocessing.decode_image(content, max_pixels=settings.max_pixels, formats=settings.formats)
        white = preprocessing.white_level
        return decode_image(content, max_pixels=settings.max_pixels, formats=settings.formats, white_level=white)

    def _run(self, items: Sequence[_Prepared]) -> list[_ModelOutput]:
        """In a batch thread."""
        outputs = self._outputs([pixels for item in items for pixels, _ in item.inputs])
        if not all(np.isfinite(values).all() for values in outputs.values()):
            raise ValueError("the network's answer is not a number")
        found, end = [], 0
        for detail, group in groupby(items, lambda item: item.detail):
            together = list(group)
            placements = [[place for _, place in item.inputs] for item in together]
            start, end = end, end + sum(map(len, placements))
            answers = answered(self.tasks, _rows(outputs, start, end), placements, detail)
            for item, answer in zip(together, answers, strict=True):
                found.append(_ModelOutput(answer, _rows(outputs, start, start + len(item.inputs)), item.brightness))
                start += len(item.inputs)
        return found

    def _outputs(self, inputs: Sequence[Image.Image | NDArray[np.float32]]) -> Outputs:
        """Of the graph, in runs of at most a batch. The thread's buffer is filled anew each time: the system would have to clear
        fresh memory."""
        images: NDArray[np.float32] | None = getattr(self._own, "images", None)
        if images is None:
            images = self._own.images = np.empty(self._shape, np.float32)
        runs = []
        for start in range(0, len(inputs), len(images)):
            part = inputs[start : start + len(images)]
            for place, pixels in zip(images, part, strict=False):
                if isinstance(pixels, Image.Image):
                    self.bundle.preprocessing.normalise(pixels, out=place)
                else:
                    place[...] = pixels
            runs.append(self._backend.run(images[: len(part)]))
        return runs[0] if len(runs) == 1 else {name: np.concatenate([run[name] for run in runs]) for name in runs[0]}


def _rows(outputs: Outputs, start: int, end: int) -> Outputs:
    return {name: values[start:end] for name, values in outputs.items()}
