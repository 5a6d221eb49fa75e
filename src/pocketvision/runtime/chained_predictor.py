"""A detector and a second model at work on what it finds, with what a Predictor has for predict and stream."""

from collections.abc import Iterable, Iterator
from copy import copy
from pathlib import Path
from typing import Protocol

from pocketvision.bundle import Bundle
from pocketvision.errors import ImageError
from pocketvision.prefetch import prefetch
from pocketvision.preprocessing import MAX_PIXELS, ImageSource, decode_image
from pocketvision.runtime.backends import usable_threads
from pocketvision.runtime.predictor import BATCH, ImageResult, Predictor
from pocketvision.runtime.second_look import SecondLook, check_second_look, cut_out, looked_at, things_in
from pocketvision.tasks.catalog import Answers, wanted
from pocketvision.tasks.task import Detail


class Answering(Protocol):
    """What answers about images: a Predictor, alone or followed by a second one."""

    bundle: Bundle
    detail: Detail
    backend: str

    def answers(self, image: ImageSource, *, max_pixels: int = MAX_PIXELS) -> Answers:
        """The answers about one image by the tasks' names. Raises ImageError when it can not be read."""
        ...

    def stream(
        self,
        sources: Iterable[ImageSource],
        *,
        batch: int = BATCH,
        workers: int | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> Iterator[ImageResult]:
        """One ImageResult for every source, in order."""
        ...

    def wanting(self, detail: Detail) -> "Answering":
        """The same with another detail. Raises UsageError for tasks that the bundle does not have."""
        ...


class ChainedPredictor:
    """The first predictor's answers, with what the second one says of each thing found. An image is decoded once, in its whole
    size, as the first one's bundle wants it; what is cut out runs through the second network in batches."""

    def __init__(self, first: Predictor, second: Predictor, look: SecondLook, *, threads: int | None = None) -> None:
        """threads: cores to use at most, None for all. Raises UsageError for models that do not go together."""
        check_second_look(look, wanted(first.bundle.tasks, first.detail), second.bundle.tasks)
        self.first, self.second, self.look = first, second, look
        self.bundle, self.detail, self.backend = first.bundle, first.detail, first.backend
        self._threads = usable_threads(threads)

    def wanting(self, detail: Detail) -> "ChainedPredictor":
        """See Answering. Where what finds things is off, nothing is looked at again."""
        other = copy(self)
        other.first = self.first.wanting(detail)
        other.detail = other.first.detail
        return other

    def answers(self, image: ImageSource, *, max_pixels: int = MAX_PIXELS) -> Answers:
        """See Answering."""
        result = self._result(image, self._threads, max_pixels)
        if result.error is not None:
            raise ImageError(result.path or "image", result.error)
        return result.answers

    def stream(
        self,
        sources: Iterable[ImageSource],
        *,
        batch: int = BATCH,  # noqa: ARG002 (images go one by one: what is found in each is a batch)
        workers: int | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> Iterator[ImageResult]:
        """See Answering; images go one by one, each by one of `workers` threads (None: one a core)."""
        workers = workers or self._threads
        threads = max(1, self._threads // workers)
        yield from prefetch(
            lambda source: self._result(source, threads, max_pixels), sources, workers=workers, ahead=2 * workers
        )

    def _result(self, source: ImageSource, threads: int, max_pixels: int) -> ImageResult:
        path = str(source) if isinstance(source, str | Path) else ""
        try:
            white = self.bundle.preprocessing.white_level
            whole = decode_image(source, max_pixels=max_pixels, white_level=white)
        except ImageError as error:
            return ImageResult(path, error=error.reason)
        (found,) = self.first.results([whole.image], threads=threads, max_pixels=max_pixels)
        things = things_in(found.answers, self.look)
        said = self.second.results(cut_out(whole, things), threads=threads, max_pixels=max_pixels)
        answers = looked_at(found.answers, things, (each.answers for each in said))
        return ImageResult(path, answers, found.outputs, None, found.brightness)
