"""Maps of where a model looks, laid over a stream's frames: what answers keeps what the network put out until it is drawn."""

from collections import deque
from collections.abc import Iterable, Iterator
from copy import copy
from typing import Any

import numpy as np

from pocketvision.bundle import Bundle
from pocketvision.errors import ImageError, UsageError
from pocketvision.explain.heat_map import laid_over, on_image, positive
from pocketvision.explain.shipped_map import require_maps, shipped_map
from pocketvision.preprocessing import MAX_PIXELS, ImageSource, Placement
from pocketvision.runtime.chained_predictor import Answering
from pocketvision.runtime.predictor import BATCH, ImageResult, Predictor
from pocketvision.streaming.frame import Pixels
from pocketvision.tasks.catalog import Answers
from pocketvision.tasks.task import Detail

_KEPT = 8
"""Frames that are answered and not drawn yet: more than wait between the two."""


class FrameMaps:
    """Answers as its predictor does, and lays the map of a frame that it answered over a picture of it."""

    def __init__(self, predictor: Predictor) -> None:
        """Raises BundleError where the bundle's file gives no maps."""
        self._maps = require_maps(predictor.bundle, predictor.backend)
        self._predictor = predictor
        self._answered: deque[tuple[Any, ImageResult]] = deque(maxlen=_KEPT)
        self.bundle: Bundle = predictor.bundle
        self.backend, self.detail = predictor.backend, predictor.detail

    def answers(self, image: ImageSource, *, max_pixels: int = MAX_PIXELS) -> Answers:
        """See Answering."""
        (found,) = self._predictor.results([image], max_pixels=max_pixels)
        if found.error is not None:
            raise ImageError(found.path or "image", found.error)
        self._answered.append((image, found))
        return found.answers

    def stream(
        self,
        sources: Iterable[ImageSource],
        *,
        batch: int = BATCH,
        workers: int | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> Iterator[ImageResult]:
        """See Answering; without maps."""
        return self._predictor.stream(sources, batch=batch, workers=workers, max_pixels=max_pixels)

    def wanting(self, detail: Detail) -> "FrameMaps":
        """See Answering. What was answered before can still be drawn."""
        other = copy(self)
        other._predictor = self._predictor.wanting(detail)
        other.detail = other._predictor.detail
        return other

    def laid(self, pixels: Pixels) -> Pixels:
        """The frame (H, W, 3) with its map over it, of the first task that has one; the frame itself where it has none."""
        found = next((result for image, result in self._answered if image is pixels), None)
        for name, own in self._maps.items() if found is not None else ():
            if found is None or name not in found.answers:
                continue
            heat = shipped_map(found.outputs, own, self.bundle.tasks[name], found.answers[name])
            if heat is not None:
                height, width = pixels.shape[:2]
                placement = self.bundle.preprocessing.placement(Placement.of_decoding((width, height)))
                return laid_over(np.asarray(pixels), positive(on_image(heat.values, placement)))
        return pixels


def mapping(predictor: Answering) -> FrameMaps:
    """What answers, with maps. Raises UsageError for what looks again at what was found, BundleError where there are no maps."""
    if not isinstance(predictor, Predictor):
        raise UsageError("--map shows where one model looks; with --then there are two. Leave one of them out.")
    return FrameMaps(predictor)
