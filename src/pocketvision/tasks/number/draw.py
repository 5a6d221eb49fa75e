"""A number on a picture: a line of text at its top."""

from pocketvision.tasks.canvas import Canvas
from pocketvision.tasks.number.answer import Number


def draw(canvas: Canvas, answer: Number) -> None:
    """The number with its interval."""
    canvas.write(answer.headline)
