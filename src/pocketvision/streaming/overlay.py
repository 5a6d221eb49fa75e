"""What is drawn on a frame: its answers, then answers a second, milliseconds and dropped frames."""

from collections.abc import Iterable

from pocketvision.streaming.frame import Pixels
from pocketvision.tasks.canvas import Canvas
from pocketvision.tasks.catalog import Answers, task_named


class Overlay:
    """Draws answers on pictures, with figures below them."""

    def __init__(self, labels: Iterable[str]) -> None:
        """labels: every name that may be drawn; they decide on the font."""
        self._latin = "".join(labels).isascii()

    def draw(self, pixels: Pixels, answers: Answers, figures: str = "") -> Pixels:
        """A copy of an RGB picture (H, W, 3) with its answers, and a line of figures if there is one, on it."""
        canvas = Canvas(pixels, latin=self._latin)
        for answer in answers.values():
            task_named(answer.kind).draw(canvas, answer)
        if figures:
            canvas.write(figures)
        return canvas.finished()


def figures_line(*, fps: int, inference: float, dropped: int) -> str:
    """inference: seconds."""
    return f"{fps} fps   {1e3 * inference:.1f} ms   {dropped} dropped"
