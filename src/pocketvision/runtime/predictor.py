"""From images to answers: one at a time, a few, or an endless stream, always with the same answers."""

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.baseline import brightness_of_inputs
from pocketvision.bundle import Bundle
from pocketvision.errors import ImageError, UsageError
from pocketvision.prefetch import prefetch
from pocketvision.preprocessing import MAX_PIXELS, ImageSource, Placement, decode_image
from pocketvision.runtime.backends import Backend, default_backend, only, open_backend, usable_threads
from pocketvision.runtime.batches import Outputs
from pocketvision.runtime.choice import AUTO, choose
from pocketvision.tasks.catalog import Answers, check_detail, decoded, several_inputs, viewed_as, wanted
from pocketvision.tasks.task import Detail, ViewOptions
from pocketvision.tasks.viewing import Viewing

BATCH = 4
"""Images a worker decodes before it runs them: 12.7, 12.3, 12.2, 12.5 and 12.9 ms of CPU an image with 1, 2, 4, 8 and 16.

With fewer, decoding drives the network's weights out of the processor's cache; with more, the activations outgrow it.
"""


@dataclass(frozen=True, eq=False)
class ImageResult:
    """What became of one image of a stream: either its answers, or an error.

    path: as it was given; empty for images that came without one. answers: by the tasks' names. outputs: of the graph, by name,
    (inputs of the image, …), see Viewing.outputs. error: the cause, without the path. brightness: see baseline.py; size: width
    and height of the upright image in pixels; both None where there is an error.
    """

    path: str
    answers: Answers = field(default_factory=dict)
    outputs: Outputs = field(default_factory=dict)
    error: str | None = None
    brightness: float | None = None
    size: tuple[int, int] | None = None

    @property
    def prediction(self) -> Any:
        """The answer of the first task; None where there is an error."""
        return next(iter(self.answers.values()), None)


class Predictor:
    """A bundle at work: `predictor(image)` answers about anything `preprocessing.decode` reads. Threads may share it."""

    def __init__(
        self,
        bundle: Bundle,
        *,
        backend: str | None = None,
        threads: int | None = None,
        device: str = "cpu",
        detail: Detail = Detail(),  # noqa: B008 (frozen)
        views: ViewOptions = ViewOptions(),  # noqa: B008 (frozen)
    ) -> None:
        """backend: a name of BACKENDS, "auto" for the fastest here (choice.py), None for the first that has a file in the bundle.
        threads: cores to use at most; None takes every core this process may use; UsageError for fewer than one. device: in the
        backend's words. detail: how much of the answers is wanted. views: how large pictures are looked at, where that is not
        as the bundle says; UsageError where it has no sense."""
        tasks = viewed_as(bundle.tasks, views)
        self.bundle = bundle = replace(bundle, manifest=replace(bundle.manifest, tasks=tasks)) if views else bundle
        self.labels = bundle.labels
        self.backend = (
            choose(bundle, threads=threads).backend if backend == AUTO else backend or default_backend(bundle)
        )
        self._device = device
        self.detail = check_detail(bundle.tasks, detail)
        self._threads = usable_threads(threads)
        self._tasks = wanted(bundle.tasks, detail)
        self._several = several_inputs(self._tasks)
        self._opened: dict[int, Backend] = {}
        self._opening = Lock()

    @property
    def threads(self) -> int:
        """Cores that it uses at most."""
        return self._threads

    def run(self, inputs: NDArray[np.float32], *, shared: int | None = None) -> Outputs:
        """The graph's outputs by name for (n, 3, H, W) inputs, BATCH of them at a time. shared: among so many callers are the
        cores shared out; None takes all of them."""
        backend = self._open(max(1, self._threads // (shared or 1)))
        parts = [backend.run(inputs[start : start + BATCH]) for start in range(0, len(inputs), BATCH)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def wanting(self, detail: Detail) -> "Predictor":
        """The same predictor with another detail; what is open serves both. Raises UsageError for tasks that it does not have."""
        other = copy(self)
        other.detail = check_detail(self.bundle.tasks, detail)
        other._tasks = wanted(self.bundle.tasks, detail)
        other._several = several_inputs(other._tasks)
        return other

    def __call__(self, image: ImageSource, *, max_pixels: int = MAX_PIXELS) -> Any:
        """The answer about one image: of a bundle of one task that task's (a Classification …), else a dictionary of them by the
        tasks' names. Raises ImageError when the image can not be read."""
        answers = self.answers(image, max_pixels=max_pixels)
        return next(iter(answers.values())) if len(answers) == 1 else answers

    def answers(self, image: ImageSource, *, max_pixels: int = MAX_PIXELS) -> Answers:
        """The answers about one image by the tasks' names. Raises ImageError when it can not be read."""
        backend = self._open(self._threads)
        if self._several:
            return self._viewed("", image, backend, max_pixels).answers
        pixels, placement = self.bundle.preprocessing.place(image, max_pixels=max_pixels)
        return decoded(self.bundle.tasks, backend.run(pixels[None]), [placement], self.detail)[0]

    def results(
        self, images: Sequence[ImageSource], *, threads: int | None = None, max_pixels: int = MAX_PIXELS
    ) -> list[ImageResult]:
        """What became of each of a few images, run together on so many threads (None: all), BATCH of them at a time."""
        backend, found = self._open(threads or self._threads), list[ImageResult]()
        size = self.bundle.preprocessing
        buffer = np.empty((min(BATCH, len(images)), 3, size.height, size.width), np.float32)
        for chunk in _chunks(images, BATCH):
            if self._several:
                found += [self._alone(source, backend, max_pixels) for source in chunk]
            else:
                found += self._together(chunk, backend, buffer, max_pixels)
        return found

    def predict_many(self, images: Sequence[ImageSource], *, max_pixels: int = MAX_PIXELS) -> list[Any]:
        """Answer several images on all cores, in order, each as `__call__` does. Raises ImageError for the first that can not be
        read."""
        predictions = []
        for index, row in enumerate(self.stream(images, max_pixels=max_pixels)):
            if row.error is not None:
                raise ImageError(row.path or f"image {index}", row.error)
            predictions.append(row.prediction if len(row.answers) == 1 else row.answers)
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
        batch = 1 if self._several else batch  # whose answers may be large
        backend = self._open(max(1, self._threads // workers))
        size = self.bundle.preprocessing
        # A few buffers that go round instead of fresh memory for each batch, which the system would have to clear.
        buffers: SimpleQueue[NDArray[np.float32]] = SimpleQueue()
        for _ in range(workers):
            buffers.put(np.empty((batch, 3, size.height, size.width), dtype=np.float32))

        def predict(chunk: list[ImageSource]) -> list[ImageResult]:
            images = buffers.get()
            try:
                if self._several:
                    return [self._alone(source, backend, max_pixels) for source in chunk]
                return self._together(chunk, backend, images, max_pixels)
            finally:
                buffers.put(images)

        for rows in prefetch(predict, _chunks(sources, batch), workers=workers, ahead=2 * workers):
            yield from rows

    def _together(
        self, chunk: list[ImageSource], backend: Backend, images: NDArray[np.float32], max_pixels: int
    ) -> list[ImageResult]:
        """Images of one input each, in one run."""
        errors: list[str | None] = []
        placements: list[Placement] = []
        for source in chunk:
            try:
                out = images[len(placements)]
                placements.append(self.bundle.preprocessing.place(source, max_pixels=max_pixels, out=out)[1])
                errors.append(None)
            except ImageError as error:
                errors.append(error.reason)
        read = images[: len(placements)]
        outputs = backend.run(read)
        answers = decoded(self.bundle.tasks, outputs, placements, self.detail)
        brightness = brightness_of_inputs(read, self.bundle.preprocessing).tolist()
        rows, found = iter(range(len(placements))), []
        for source, reason in zip(chunk, errors, strict=True):
            if reason is not None:
                found.append(ImageResult(_path(source), error=reason))
                continue
            row = next(rows)
            own = {name: values[row : row + 1] for name, values in outputs.items()}
            size = placements[row].image_size
            found.append(ImageResult(_path(source), answers[row], own, None, brightness[row], size))
        return found

    def _alone(self, source: ImageSource, backend: Backend, max_pixels: int) -> ImageResult:
        """An image that may be several inputs."""
        try:
            return self._viewed(_path(source), source, backend, max_pixels)
        except ImageError as error:
            return ImageResult(_path(source), error=error.reason)

    def _viewed(self, path: str, source: ImageSource, backend: Backend, max_pixels: int) -> ImageResult:
        """Some inputs of an image at a time: a large one's are never all in memory. Raises ImageError."""
        preprocessing, brightness = self.bundle.preprocessing, list[float]()
        whole = decode_image(source, max_pixels=max_pixels, white_level=preprocessing.white_level)
        viewing = Viewing(self._tasks, whole, preprocessing, self.detail)
        for pixels in viewing.batches(BATCH):
            inputs = np.stack([preprocessing.normalise(each) for each in pixels])
            viewing.add(backend.run(inputs))
            brightness.extend(brightness_of_inputs(inputs, preprocessing).tolist())
        shade = sum(brightness) / len(brightness)
        return ImageResult(path, viewing.answers(), viewing.outputs, None, shade, whole.placement.image_size)

    def _open(self, threads: int) -> Backend:
        with self._opening:
            if threads not in self._opened:
                self._opened[threads] = open_backend(self.bundle, self.backend, threads=threads, device=self._device)
            opened = self._opened[threads]
        return opened if len(self._tasks) == len(self.bundle.tasks) else only(opened, self.bundle.tasks, self._tasks)


def _chunks(sources: Iterable[ImageSource], size: int) -> Iterator[list[ImageSource]]:
    iterator = iter(sources)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _path(source: ImageSource) -> str:
    return str(source) if isinstance(source, str | Path) else ""
