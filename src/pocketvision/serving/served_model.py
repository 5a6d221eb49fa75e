"""One bundle at work behind a batcher: from the bytes of images to answers."""

import hashlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketvision.baseline import BRIGHTNESS, brightness_of_crop, confidence_features
from pocketvision.bundle import MANIFEST, Bundle, read_bundle
from pocketvision.errors import BundleError
from pocketvision.explain.shipped_map import shipped_maps
from pocketvision.preprocessing import DecodedImage, Placement, decode_image
from pocketvision.runtime.backends import Backend, default_backend, file_size, only, open_backend
from pocketvision.runtime.batches import Outputs
from pocketvision.runtime.golden_check import check_golden
from pocketvision.runtime.second_look import Thing, cut_out
from pocketvision.serving.batch_answers import BatchAnswer, batch_answers
from pocketvision.serving.batching import Batcher, TimedResult, Timing
from pocketvision.serving.drift import DriftMonitor
from pocketvision.serving.settings import ServerSettings
from pocketvision.serving.shared_picture import Reading, SharedPicture
from pocketvision.serving.telemetry import ModelMetrics, Telemetry
from pocketvision.tasks.catalog import Answers, several_inputs, wanted
from pocketvision.tasks.task import Detail
from pocketvision.tasks.viewing import Input, inputs_of

VERSION_LENGTH = 12


@dataclass(frozen=True, eq=False)
class PartOfPicture:
    """A picture that several models look at. reading: this model's place among its readings."""

    picture: SharedPicture
    reading: int


@dataclass(frozen=True, eq=False)
class Cutouts:
    """What was found in a picture, each thing to be answered about by itself."""

    picture: SharedPicture
    things: tuple[Thing, ...]


Source = bytes | NDArray[np.float32] | PartOfPicture | Cutouts
"""An image file's content, a network's input (3, H, W), a picture that is shared, or things in one."""


@dataclass(frozen=True, eq=False)
class ServedPrediction:
    """An image's answers: of each picture that it was, mostly one. outputs: of the graph, by name, (inputs of the image, …).
    timing: see batching. errors: what kept a task from answering, by the tasks' names; seconds: what each took to make its answer
    of the outputs. cropping: seconds of making inputs of a shared picture, None where the model decoded the image itself.
    placement: of the first input of the first picture."""

    each: list[Answers]
    outputs: Outputs
    timing: Timing
    errors: dict[str, Exception]
    seconds: dict[str, float]
    cropping: float | None = None
    placement: Placement | None = None

    @property
    def answers(self) -> Answers:
        """Of the only picture, by the tasks' names."""
        return self.each[0]


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
    source: Source
    detail: Detail


@dataclass(frozen=True, eq=False)
class _Prepared:
    """An image on its way to a batch: pictures, mostly one, each as one input of the network or several. brightness: of images;
    tensors, whose preprocessing was a client's, have none. cropping: see ServedPrediction."""

    pictures: Sequence[Sequence[Input]]
    detail: Detail
    brightness: float | None
    cropping: float | None = None

    @cached_property
    def placements(self) -> list[list[Placement]]:
        """Of each picture's inputs."""
        return [[place for _, place in inputs] for inputs in self.pictures]


@dataclass(frozen=True, eq=False)
class _ModelOutput:
    answer: BatchAnswer
    prepared: _Prepared


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
        self.maps = shipped_maps(warm.bundle, settings.backend or default_backend(warm.bundle))
        self.bytes = file_size(warm.bundle, settings.backend)
        self.loaded = time.time()
        self._backend = warm.backend
        self._settings = settings
        self._tracing = telemetry.tracing
        self._figures = ModelMetrics(telemetry, name, self.tasks)
        self._features = confidence_features(self.tasks)
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
        self, images: Sequence[Source], detail: Detail, *, deadline: float
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
        answered, prepared = answer.value.answer, answer.value.prepared
        self._figures.decode_seconds.observe(answer.timing.prepare)
        self._figures.queue_seconds.observe(answer.timing.wait)
        for task, each in ((task, each) for answers in answered.each for task, each in answers.items()):
            if (confidence := each.confidence) is not None:
                self._figures.confidences[task].observe(confidence)
                if self._drift is not None:
                    self._drift.record(self._features[task], confidence)
        if prepared.brightness is not None:
            self._figures.brightness.observe(prepared.brightness)
            if self._drift is not None:
                self._drift.record(BRIGHTNESS, prepared.brightness)
        if self._tracing is not None:
            self._tracing.note_image(self.name, self.version, answer.timing)
        place = prepared.placements[0][0]
        return ServedPrediction(
            answered.each, answered.outputs, answer.timing, answered.errors, answered.seconds, prepared.cropping, place
        )

    def reading(self, detail: Detail) -> Reading:
        """How this model reads a picture that others read too."""
        tasks = wanted(self.tasks, detail)

        def inputs(decoded: DecodedImage) -> Sequence[Input]:
            return inputs_of(tasks, decoded, self.bundle.preprocessing)

        return Reading(self.bundle.preprocessing, inputs, several_inputs(tasks))

    def _prepare(self, asked: _Asked) -> _Prepared:
        """In a batch thread."""
        source, detail = asked.source, asked.detail
        if isinstance(source, PartOfPicture):
            read = source.picture.read(source.reading)
            return self._prepared([read.inputs], detail, read.seconds)
        if isinstance(source, Cutouts):
            began = time.perf_counter()
            inputs = self.reading(detail).inputs
            pictures = [inputs(DecodedImage(image)) for image in cut_out(source.picture.whole(), source.things)]
            return self._prepared(pictures, detail, time.perf_counter() - began)
        if isinstance(source, bytes):
            reading = self.reading(detail)
            return self._prepared([reading.inputs(self._decoded(source, reading.whole))], detail)
        _, _, height, width = self._shape
        return _Prepared([[(source, Placement.of_decoding((width, height)))]], detail, None)

    def _prepared(
        self, pictures: Sequence[Sequence[Input]], detail: Detail, cropping: float | None = None
    ) -> _Prepared:
        """8-bit pixels are kept as they are: a quarter of the memory of the network's input."""
        images = [image for inputs in pictures for image, _ in inputs]
        brightness = sum(map(brightness_of_crop, images)) / len(images)
        normalise = self.bundle.preprocessing.normalise
        kept = [
            [(image if isinstance(image, Image.Image) else normalise(image), place) for image, place in inputs]
            for inputs in pictures
        ]
        return _Prepared(kept, detail, brightness, cropping)

    def _decoded(self, content: bytes, whole: bool) -> DecodedImage:
        preprocessing, settings = self.bundle.preprocessing, self._settings
        if not whole:
            return preprocessing.decode_image(content, max_pixels=settings.max_pixels, formats=settings.formats)
        white = preprocessing.white_level
        return decode_image(content, max_pixels=settings.max_pixels, formats=settings.formats, white_level=white)

    def _run(self, items: Sequence[_Prepared]) -> list[_ModelOutput]:
        """In a batch thread."""
        asked = {name for name in self.tasks for item in items if item.detail.wants(name)}
        backend = self._backend if len(asked) == len(self.tasks) else only(self._backend, self.tasks, asked)
        outputs = self._outputs(backend, [pixels for item in items for inputs in item.pictures for pixels, _ in inputs])
        answers = batch_answers(self.tasks, outputs, items)
        return [_ModelOutput(answer, item) for answer, item in zip(answers, items, strict=True)]

    def _outputs(self, backend: Backend, inputs: Sequence[Image.Image | NDArray[np.float32]]) -> Outputs:
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
            runs.append(backend.run(images[: len(part)]))
        return runs[0] if len(runs) == 1 else {name: np.concatenate([run[name] for run in runs]) for name in runs[0]}
