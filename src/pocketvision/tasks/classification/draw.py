"""A classification on a picture: a line of text at its top."""

from pocketvision.tasks.canvas import Canvas
from pocketvision.tasks.classification.answer import Classification


def draw(canvas: Canvas, answer: Classification) -> None:
    """The most probable class with its probability."""
    canvas.write(answer.headline)
