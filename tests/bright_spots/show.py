"""Spots on a picture and over a stream."""

from bright_spots.answer import BrightSpots
from pocketvision.errors import unknown_name
from pocketvision.tasks.canvas import Canvas
from pocketvision.tasks.task import Smoothing

KINDS = ("majority", "ema")
"""Of smoothing; here they mean the same."""
COLOUR = (255, 0, 255)


def draw(canvas: Canvas, answer: BrightSpots) -> None:
    """A ring around each spot, and how many there are."""
    for each in answer.spots:
        canvas.pen.ellipse((each.x - 4, each.y - 4, each.x + 4, each.y + 4), outline=COLOUR)
    canvas.write(answer.headline)


class Held:
    """Shows spots for a while after they are gone."""

    def __init__(self, smoothing: Smoothing) -> None:
        if smoothing.kind not in KINDS:
            raise unknown_name("smoothing", smoothing.kind, KINDS)
        self._seconds, self._seen, self._shown = smoothing.seconds, -1.0, BrightSpots(())

    def __call__(self, time: float, answer: BrightSpots) -> BrightSpots:
        if answer.spots or time - self._seen > self._seconds:
            self._seen, self._shown = time, answer
        return self._shown
