"""A predictor whose answers are the average over several views of each image: test-time augmentation."""

from collections.abc import Iterable, Iterator, Sequence
from copy import copy

import numpy as np

from pocketvision.baseline import brightness_of_inputs
from pocketvision.errors import ImageError, UsageError
from pocketvision.prefetch import prefetch
from pocketvision.preprocessing import MAX_PIXELS, ImageSource, decode_image
from pocketvision.runtime.batches import Outputs
from pocketvision.runtime.predictor import BATCH, ImageResult, Predictor
from pocketvision.tasks.catalog import Answers, several_inputs, task_named, wanted
from pocketvision.tasks.task import Box, Detail
from pocketvision.tasks.turning import View, check_views, mean_of, turns_of
from pocketvision.tasks.viewing import placed_part

LARGER, PART = 1.25, 7 / 8


class AveragedPredictor:
    """Answers as a Predictor does (chained_predictor.Answering), of each image by several views of it."""

    def __init__(self, predictor: Predictor, views: Sequence[str]) -> None:
        """views: of turning.VIEWS. Raises UsageError for views that are none or that change the answer (turning.check_views), and
        for parts of a bundle that looks at images in tiles already."""
        size = predictor.bundle.preprocessing
        check_views(views, wanted(predictor.bundle.tasks, predictor.detail), (size.width, size.height))
        if several_inputs(predictor.bundle.tasks):
            raise UsageError(
                "This bundle looks at pictures in tiles or scales already; views are averaged of pictures that are looked at "
                "as a whole. Leave --tta out, or take --tile 0 and --scales 1."
            )
        self._predictor, self._views = predictor, tuple(views)
        self.bundle, self.detail, self.backend = predictor.bundle, predictor.detail, predictor.backend
        self._turns = turns_of(views)

    @property
    def views(self) -> tuple[str, ...]:
        """As they were given."""
        return self._views

    @property
    def runs(self) -> int:
        """Of the network for an image."""
        return len(self._turns) * len(self._windows((64, 64)))

    def wanting(self, detail: Detail) -> "AveragedPredictor":
        """See Answering."""
        other = copy(self)
        other._predictor = self._predictor.wanting(detail)
        other.detail = other._predictor.detail
        return other

    def answers(self, image: ImageSource, *, max_pixels: int = MAX_PIXELS) -> Answers:
        """See Answering."""
        return self._result("", image, None, max_pixels).answers

    def stream(
        self,
        sources: Iterable[ImageSource],
        *,
        batch: int = BATCH,  # noqa: ARG002 (the views of an image are a batch)
        workers: int | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> Iterator[ImageResult]:
        """See Answering; images go one by one, each by one of `workers` threads (None: one a core)."""

        def answer(source: ImageSource) -> ImageResult:
            path = str(source) if not isinstance(source, bytes | np.ndarray) and hasattr(source, "__fspath__") else ""
            path = source if isinstance(source, str) else path
            try:
                return self._result(path, source, workers, max_pixels)
            except ImageError as error:
                return ImageResult(path, error=error.reason)

        workers = workers or self._predictor.threads
        yield from prefetch(answer, sources, workers=workers, ahead=2 * workers)

    def _result(self, path: str, source: ImageSource, workers: int | None, max_pixels: int) -> ImageResult:
        preprocessing, turns = self.bundle.preprocessing, self._turns
        whole = decode_image(source, max_pixels=max_pixels, white_level=preprocessing.white_level)
        parts = [placed_part(whole, box, preprocessing) for box in self._windows(whole.image.size)]
        pixels = [preprocessing.normalise(part) for part, _ in parts]
        inputs = np.stack([turn.turned(each) for each in pixels for turn in turns])
        outputs = self._predictor.run(inputs, shared=workers)
        tasks = wanted(self.bundle.tasks, self.detail)
        answers: Answers = {}
        kept: Outputs = {}
        for name, task in tasks.items():
            tensors = task.tensors(outputs)
            views = [
                View(
                    {role: values[row : row + 1] for role, values in tensors.items()},
                    parts[row // len(turns)][1],
                    turns[row % len(turns)],
                )
                for row in range(len(inputs))
            ]
            kind = task_named(task.kind)
            if kind.averaged is not None:
                answers[name], told = kind.averaged()(views, task, self.detail.of(name)), dict(views[0].tensors)
            elif kind.in_pixels or kind.places is not None:
                raise UsageError(f"Answers of kind {task.kind} can not be averaged over views. Leave --tta out.")
            else:
                told = mean_of(views)
                answers[name] = kind.decode(told, [views[0].placement], task, self.detail.of(name))[0]
            kept |= {task.outputs.get(role, role): values for role, values in told.items()}
        shade = float(brightness_of_inputs(pixels[0][None], preprocessing)[0])
        return ImageResult(path, answers, kept, None, shade, whole.placement.image_size)

    def _windows(self, size: tuple[int, int]) -> list[Box]:
        """Of an image (width, height), from the top, larger ones first. Where answers are about places each kind of part covers
        all of the image; else the larger look is at its middle."""
        kinds = [task_named(task.kind) for task in self.bundle.tasks.values()]
        located = any(kind.in_pixels or kind.places is not None for kind in kinds)
        found = {(0, 0, *size)}
        if "scale" in self._views:
            found |= set(_parts(size, 1 / LARGER, corners=located, middle=not located))
        if "five_crop" in self._views:
            found |= set(_parts(size, PART, corners=True, middle=True))
        return sorted(found, key=lambda box: (box[1], box[0], -box[2]))


def _parts(size: tuple[int, int], share: float, *, corners: bool, middle: bool) -> list[Box]:
    """Parts of `share` of the sides of an image (width, height)."""
    width, height = (max(1, round(side * share)) for side in size)
    right, below = size[0] - width, size[1] - height
    starts = [(0, 0), (right, 0), (0, below), (right, below)] if corners else []
    starts += [(right // 2, below // 2)] if middle else []
    return [(left, top, left + width, top + height) for left, top in dict.fromkeys(starts)]
