"""Masks smoothed over a stream's frames: what a pixel was counts for a while."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pocketvision.errors import unknown_name
from pocketvision.tasks.segmentation.answer import Segmentation
from pocketvision.tasks.segmentation.decode import answered
from pocketvision.tasks.segmentation.logits import largest, softmax
from pocketvision.tasks.task import Smoothing

KINDS = ("majority", "ema")
_LEAST = 1e-6


class SmoothedMasks:
    """A stream's Tracker: of each cell of the network's output the votes (`majority`) or probabilities (`ema`) of its classes,
    fading with time; the class that is shown has `hysteresis` more."""

    def __init__(self, smoothing: Smoothing) -> None:
        """Raises UsageError for an unknown kind of smoothing."""
        if smoothing.kind not in KINDS:
            raise unknown_name("smoothing", smoothing.kind, KINDS)
        self._smoothing = smoothing
        self._scores: NDArray[np.float32] | None = None
        self._shown: NDArray[np.uint8] | None = None
        self._time = 0.0

    def __call__(self, time: float, answer: Segmentation) -> Segmentation:
        """What is shown at `time`; the frame's own answer where the stream has just begun or changed its size, and where nothing
        but the answer is known."""
        if answer.logits is None:
            return answer
        said = softmax(np.nan_to_num(answer.logits.values.astype(np.float32)))
        if self._smoothing.kind == "majority":
            said = np.asarray(np.arange(len(said))[:, None, None] == largest(said)[0], np.float32)
        if self._scores is None or self._scores.shape != said.shape or self._shown is None:
            scores = said
        else:
            seconds = self._smoothing.seconds
            kept = np.float32(np.exp(-(time - self._time) / seconds)) if seconds > 0 else np.float32(0)
            scores = kept * self._scores + (1 - kept) * said
        self._scores, self._time = scores, time
        ranked = scores.copy()
        if self._shown is not None and self._shown.shape == said.shape[1:]:
            np.put_along_axis(
                ranked,
                self._shown[None],
                np.take_along_axis(ranked, self._shown[None], 0) + self._smoothing.hysteresis,
                0,
            )
        self._shown = largest(ranked)[0]
        logits = replace(answer.logits, values=np.log(np.maximum(ranked, _LEAST)))
        smoothed = answered(logits, answer.labels, np.zeros(len(answer.labels), np.float32))
        return replace(smoothed, certainty=answer.certainty)
