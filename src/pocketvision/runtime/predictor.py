"""From images to predictions: one at a time, a few, or an endless stream, always with the same answers."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from pocketvision.baseline import brightness_of_inputs
from pocketvision.bundle import Bundle
from pocketvision.errors import ImageError, UsageError
from pocketvision.postprocessing.classification import classify
from pocketvision.predictions import Classification
from pocketvision.prefetch import prefetch
from pocketvision.preprocessing import MAX_PIXELS, ImageSource
from pocketvision.runtime.backends import Backend, default_backend, open_backend, usable_threads
from pocketvision.runtime.choice import AUTO, choose

BATCH = 4
"""Images a worker decodes before it runs them: 12.7, 12.3, 12.2, 12.5 and 12.9 ms of CPU an image with 1, 2, 4, 8 and 16.

With fewer, decoding drives the network's weights out of the processor's cache; with more, the activations outgrow it.
"""


@dataclass(frozen=True, eq=False)
class ImageResult:
    """What became of one image of a stream: either a prediction with its logits (classes,), or an error.

    path: as it was given; empty for images that came without one. error: the cause, without the path. brightness: see
    baseline.py; None where there is no prediction.
    """

    path: str
    prediction: Classification | None
    logits: NDArray[np.float32] | None
    error: str | None
    brightness: float | None = None

    def top(self, k: int) -> list[tuple[str, float]]:
        """The k most probable classes with their probabilities, descending; none if there is an error."""
        return [] if self.prediction is None else self.prediction.top(k)


class Predictor:
    """A bundle at work: `predictor(image)` classifies anything `preprocessing.decode` reads. Threads may share it."""

    def __init__(
        self, bundle: Bundle, *, backend: str | None = None, threads: int | None = None, device: str = "cpu"
    ) -> None:
        """backend: a name of BACKENDS, "auto" for the fastest here (choice.py), None for the first that has a file in the bundle.
        threads: cores to use at most; None takes every core this process may use; UsageError for fewer than one. device: in the
        backend's words."""
        self.bundle = bundle
        self.labels = bundle.labels
        self.backend = (
            choose(bundle, threads=threads).backend if backend == AUTO else backend or default_backend(bundle)
        )
        self._device = device
        self._threads = usable_threads(threads)
        self._opened: dict[int, Backend] = {}
        self._opening = Lock()

    def __call__(self, image: ImageSource, *, max_pixels: int = MAX_PIXELS) -> Classification:
        """Classify one image. Raises ImageError when it can not be read."""
        images = self.bundle.preprocessing(image, max_pixels=max_pixels)[None]
        probabilities = self._open(self._threads).run(images)["probabilities"]
        return classify(probabilities, self.labels)[0]

    def predict_many(self, images: Sequence[ImageSource], *, max_pixels: int = MAX_PIXELS) -> list[Classification]:
        """Classify several images on all cores, in order. Raises ImageError for the first that can not be read."""
        predictions = []
        for index, row in enumerate(self.stream(images, max_pixels=max_pixels)):
            if row.prediction is None:
                raise ImageError(row.path or f"image {index}", row.error or "")
            predictions.append(row.prediction)
        return predictions

    def stream(
        self,
        sources: Iterable[ImageSource],
        *,
        batch: int = BATCH,
        workers: int | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> Iterator[ImageResult]:
        """One ImageResult for every source, in order; an image that can not be read becomes a row with an error.

        Each of `workers` threads (None: one a core) decodes `batch` images and runs them; the cores are shared out
        among the workers. Answers do not depend on `batch` or `workers` (to 1e-5), and memory does not grow with the
        number of sources.

        So no thread waits for another, and no core for a decoder. Measured on 2 cores with EfficientNet-Lite0 and
        640 x 480 JPEGs, in CPU milliseconds an image: 12.2 this way (9 for the network, 3 for decoding and resizing);
        14.0 with a pool that decodes for one session on both cores, which runs 13.2 on ready tensors.
        """
        if batch < 1:
            raise UsageError(f"batch is {batch}; expected 1 or more images.")
        workers = workers or self._threads
        backend = self._open(max(1, self._threads // workers))
        size = self.bundle.preprocessing
        # A few buffers that go round instead of fresh memory for each batch, which the system would have to clear.
        buffers: SimpleQueue[NDArray[np.float32]] = SimpleQueue()
        for _ in range(workers):
            buffers.put(np.empty((batch, 3, size.height, size.width), dtype=np.float32))

        def predict(chunk: list[ImageSource]) -> list[ImageResult]:
            images = buffers.get()
            try:
                return self._predict_chunk(chunk, backend, images, max_pixels)
            finally:
                buffers.put(images)

        for rows in prefetch(predict, _chunks(sources, batch), workers=workers, ahead=2 * workers):
            yield from rows

    def _predict_chunk(
        self, chunk: list[ImageSource], backend: Backend, images: NDArray[np.float32], max_pixels: int
    ) -> list[ImageResult]:
        errors: list[str | None] = []
        read = 0
        for source in chunk:
            try:
                self.bundle.preprocessing(source, max_pixels=max_pixels, out=images[read])
                errors.append(None)
                read += 1
            except ImageError as error:
                errors.append(error.reason)
        outputs = backend.run(images[:read]) if read else {"probabilities": images[:0], "logits": images[:0]}
        brightness = brightness_of_inputs(images[:read], self.bundle.preprocessing).tolist()
        answers = zip(classify(outputs["probabilities"], self.labels), outputs["logits"], brightness, strict=True)
        return [
            _result(_path(source), *next(answers)) if error is None else ImageResult(_path(source), None, None, error)
            for source, error in zip(chunk, errors, strict=True)
        ]

    def _open(self, threads: int) -> Backend:
        with self._opening:
            if threads not in self._opened:
                self._opened[threads] = open_backend(self.bundle, self.backend, threads=threads, device=self._device)
            return self._opened[threads]


def _chunks(sources: Iterable[ImageSource], size: int) -> Iterator[list[ImageSource]]:
    iterator = iter(sources)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _result(path: str, prediction: Classification, logits: NDArray[np.float32], brightness: float) -> ImageResult:
    return ImageResult(path, prediction, logits, None, brightness)


def _path(source: ImageSource) -> str:
    return str(source) if isinstance(source, str | Path) else ""
