"""Tags on a picture: a line each at its top."""

from pocketvision.tasks.canvas import Canvas
from pocketvision.tasks.tags.answer import Tags

_LINES = 6


def draw(canvas: Canvas, answer: Tags) -> None:
    """The most probable ones with their probabilities."""
    for place in answer.found[:_LINES]:
        canvas.write(f"{answer.labels[place]} {answer.probabilities[place]:.0%}")
    if not answer.found:
        canvas.write(answer.headline)
