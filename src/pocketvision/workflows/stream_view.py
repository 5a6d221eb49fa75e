"""What is shown of a stream's answers: each one's own label or a smoothed one, and the frame with it written on."""

from pocketvision.streaming.answers import Answer
from pocketvision.streaming.frame import Pixels
from pocketvision.streaming.overlay import Overlay, overlay_lines
from pocketvision.streaming.smoothing import Hysteresis, smoother
from pocketvision.workflows.stream_lines import StreamAnswer
from pocketvision.workflows.stream_settings import Smoothing


class SmoothedView:
    """Turns answers into what is shown. Raises UsageError for an unknown kind of smoothing."""

    def __init__(self, smoothing: Smoothing | None) -> None:
        self._smooth = None if smoothing is None else smoother(smoothing.kind, smoothing.seconds)
        self._hysteresis = Hysteresis(0.0 if smoothing is None else smoothing.hysteresis)
        self._last: tuple[str | None, float] = (None, 0.0)

    def shown(self, answer: Answer, clock: float) -> StreamAnswer:
        """The answer with what is shown for it. clock: seconds, never going back."""
        prediction, smoothed = answer.prediction, self._smooth is not None
        if prediction is None:  # a frame that could not be read says nothing new
            return StreamAnswer(answer, *(self._last if smoothed else (None, 0.0)), smoothed)
        if self._smooth is None:
            return StreamAnswer(answer, prediction.label, prediction.probability, smoothed)
        scores = self._smooth(clock, prediction.probabilities)
        index = self._hysteresis(scores)
        self._last = prediction.labels[index], float(scores[index])
        return StreamAnswer(answer, *self._last, smoothed)


def drawn(overlay: Overlay, pixels: Pixels, shown: StreamAnswer) -> Pixels:
    """The picture with its answer written on it."""
    answer = shown.answer
    lines = overlay_lines(
        shown.label, shown.score, fps=answer.fps, inference=answer.inference, dropped=answer.dropped, error=answer.error
    )
    return overlay.draw(pixels, lines)
