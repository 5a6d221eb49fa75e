"""What is shown of a stream's answers: each frame's own or smoothed ones, and the frame with them drawn on."""

from pocketvision.errors import UsageError
from pocketvision.streaming.answers import Answer
from pocketvision.streaming.frame import Pixels
from pocketvision.streaming.lines import StreamAnswer
from pocketvision.streaming.overlay import Overlay, figures_line
from pocketvision.tasks.catalog import Answers, task_named
from pocketvision.tasks.task import Detail, Smoothing
from pocketvision.tasks.wire import Kinds


class StreamView:
    """Turns answers into what is shown."""

    def __init__(self, kinds: Kinds, detail: Detail, smoothing: Smoothing | None) -> None:
        """Raises UsageError for a kind of smoothing that a task does not know, or a line where no task follows anything."""
        if smoothing is not None and smoothing.line and not any(task_named(kind).follows for kind in kinds.values()):
            raise UsageError(
                f"What crosses a line can only be counted of objects; the bundle's tasks are {', '.join(kinds)}."
            )
        self._kinds = kinds
        self._detail = detail
        self._smoothed = smoothing is not None
        self._trackers = {}
        for name, kind in kinds.items():
            tracker = task_named(kind).tracker
            if smoothing is not None and tracker is not None:
                self._trackers[name] = tracker(smoothing)
        self._last: Answers = {}

    def shown(self, answer: Answer, clock: float) -> StreamAnswer:
        """The answer with what is shown for it. clock: seconds, never going back."""
        shown = {
            name: self._trackers[name](clock, each) if name in self._trackers else each
            for name, each in answer.answers.items()
        }
        if self._smoothed:  # a frame that could not be read says nothing new
            self._last = shown = shown or self._last
        return StreamAnswer(answer, self._kinds, self._detail, shown, self._smoothed)


def drawn(overlay: Overlay, pixels: Pixels, shown: StreamAnswer) -> Pixels:
    """The picture with its answers drawn on it."""
    answer = shown.answer
    figures = figures_line(fps=answer.fps, inference=answer.inference, dropped=answer.dropped)
    return overlay.draw(pixels, shown.shown, figures)
