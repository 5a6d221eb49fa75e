"""One bundle at work behind a batcher: from the bytes of images to predictions."""

import hashlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketvision.baseline import BRIGHTNESS, CONFIDENCE, brightness_of_crop
from pocketvision.bundle import MANIFEST, Bundle, read_bundle
from pocketvision.errors import BundleError
from pocketvision.runtime.backends import Backend, default_backend, file_size, open_backend
from pocketvision.runtime.golden_check import check_golden
from pocketvision.serving.batching import Batcher, TimedResult, Timing
from pocketvision.serving.drift import DriftMonitor
from pocketvision.serving.settings import ServerSettings
from pocketvision.serving.telemetry import ModelMetrics, Telemetry
from pocketvision.tasks.classification.answer import Classification
from pocketvision.tasks.classification.decode import classify
from pocketvision.tasks.task import Detail

Input = bytes | NDArray[np.float32]
"""An image file's content, or a network's input (3, H, W)."""

VERSION_LENGTH = 12


@dataclass(frozen=True, eq=False)
class ServedPrediction:
    """An image's answer. logits: (classes,). timing: see batching."""

    classification: Classification
    logits: NDArray[np.float32]
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
class _Prepared:
    """An input on its way to a batch. brightness: of images; tensors, whose preprocessing was a client's, have none."""

    content: Image.Image | NDArray[np.float32]
    brightness: float | None


@dataclass(frozen=True, eq=False)
class _ModelOutput:
    classification: Classification
    logits: NDArray[np.float32]
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
        self.labels = warm.bundle.labels
        self.bytes = file_size(warm.bundle, settings.backend)
        self.loaded = time.time()
        self._backend = warm.backend
        self._settings = settings
        self._tracing = telemetry.tracing
        self._figures = ModelMetrics(telemetry, name)
        self._drift = drift
        preprocessing = warm.bundle.preprocessing
        self._shape = (settings.batches.max_batch, 3, preprocessing.height, preprocessing.width)
        self._own = threading.local()
        batches = replace(settings.batches, threads=settings.model_threads)
        self.batcher: Batcher[Input, _Prepared, _ModelOutput]
        self.batcher = Batcher(
            self._prepare,
            self._run,
            batches,
            preparing=decoding,
            on_batch=self._figures.observe_batch,
            on_abandoned=self._figures.abandoned.inc,
        )

    async def predict(self, images: Sequence[Input], *, deadline: float) -> list[ServedPrediction | Exception]:
        """One prediction or error for each image; see Batcher.submit."""
        self._figures.queue.inc(len(images))
        try:
            outcomes = await self.batcher.submit(images, deadline=deadline)
        finally:
            self._figures.queue.dec(len(images))
        return [self._record(outcome) if isinstance(outcome, TimedResult) else outcome for outcome in outcomes]

    def stop_watching(self) -> None:
        """Another model is watched for drift in this one's place."""
        if self._drift is not None:
            self._drift.close()

    def _record(self, answer: TimedResult[_ModelOutput]) -> ServedPrediction:
        answered = answer.value
        confidence = answered.classification.probability
        self._figures.decode_seconds.observe(answer.timing.prepare)
        self._figures.queue_seconds.observe(answer.timing.wait)
        self._figures.confidence.observe(confidence)
        if answered.brightness is not None:
            self._figures.brightness.observe(answered.brightness)
        if self._drift is not None:
            self._drift.record(CONFIDENCE, confidence)
            if answered.brightness is not None:
                self._drift.record(BRIGHTNESS, answered.brightness)
        if self._tracing is not None:
            self._tracing.note_image(self.name, self.version, answer.timing)
        return ServedPrediction(answered.classification, answered.logits, answer.timing)

    def _prepare(self, source: Input) -> _Prepared:
        """In a batch thread. The crop is kept as 8-bit pixels: a quarter of the memory of the network's input."""
        if not isinstance(source, bytes):
            return _Prepared(source, None)
        preprocessing = self.bundle.preprocessing
        image = preprocessing.decode(source, max_pixels=self._settings.max_pixels, formats=self._settings.formats)
        crop = preprocessing.crop(image)
        return _Prepared(crop, brightness_of_crop(crop))

    def _run(self, items: Sequence[_Prepared]) -> list[_ModelOutput]:
        """In a batch thread, whose buffer is filled anew each time: the system would have to clear fresh memory."""
        images: NDArray[np.float32] | None = getattr(self._own, "images", None)
        if images is None:
            images = self._own.images = np.empty(self._shape, np.float32)
        for place, item in zip(images, items, strict=False):
            if isinstance(item.content, Image.Image):
                self.bundle.preprocessing.normalise(item.content, out=place)
            else:
                place[...] = item.content
        outputs = self._backend.run(images[: len(items)])
        if not np.isfinite(outputs["probabilities"]).all():
            raise ValueError("the network's answer is not a number")
        answers = zip(classify(outputs, (), self.bundle.task, Detail()), outputs["logits"], items, strict=True)
        return [_ModelOutput(classification, logits, item.brightness) for classification, logits, item in answers]
