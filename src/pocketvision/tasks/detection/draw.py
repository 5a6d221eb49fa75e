"""Objects on a picture: a box each in the colour of its class, with its name, score and track."""

from PIL import ImageDraw, ImageFont

from pocketvision.tasks.canvas import Canvas, Font
from pocketvision.tasks.colours import Colour, class_colour
from pocketvision.tasks.detection.answer import Detections

Box = tuple[float, float, float, float]


def draw(canvas: Canvas, answer: Detections) -> None:
    """The boxes, the surest on top, and how many there are; the line that is watched, and what passed it."""
    width = max(1, round(sum(canvas.pen.im.size) / 500))
    if answer.passed is not None:
        canvas.pen.line(answer.passed.line, fill=(0, 0, 0), width=width + 4)
        canvas.pen.line(answer.passed.line, fill=(255, 255, 255), width=width + 2)
    for place in reversed(range(len(answer))):
        left, top, right, bottom = answer.boxes[place].tolist()
        name, score = answer.names[place], float(answer.scores[place])
        track = "" if answer.tracks is None else f"#{answer.tracks[place]} "
        colour = class_colour(int(answer.classes[place]))
        said = f" · {answer.said[place]}" if answer.said[place] else ""
        draw_box(
            canvas.pen, (left, top, right, bottom), colour, width, f"{track}{name} {score:.0%}{said}", canvas.small
        )
    canvas.write(answer.headline)
    if answer.passed is not None:
        for name, (right, left) in answer.passed.counts.items():
            canvas.write(f"{name}: {right:,} to the right, {left:,} to the left")


def draw_box(
    pen: ImageDraw.ImageDraw, box: Box, colour: Colour, width: int, text: str = "", font: Font | None = None
) -> None:
    """A box with a text on its upper edge, or below that where it would leave the picture. Corners beyond it are cut."""
    across, down = pen.im.size
    # Pixel 9 is the last one of a box that ends at 10.
    left, right = (min(max(each, 0), across - 1) for each in (box[0], box[2] - 1))
    top, bottom = (min(max(each, 0), down - 1) for each in (box[1], box[3] - 1))
    pen.rectangle((left, top, max(left, right), max(top, bottom)), outline=colour, width=width)
    if not text:
        return
    font = font or ImageFont.load_default(10)
    x1, y1, x2, y2 = pen.textbbox((left, top), text, font=font)
    up = y2 - top + 2 if top >= y2 - top + 2 else 0
    back = min(max(x2 + 2 - across, 0), left)  # it ends with the picture
    pen.rectangle((x1 - back - 1, y1 - up - 1, x2 - back + 1, y2 - up + 1), fill=colour)
    pen.text((left - back, top - up), text, fill=_readable_on(colour), font=font)


def _readable_on(colour: Colour) -> Colour:
    """Black or white, whichever can be told from it more easily, by how bright its parts look."""
    bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    return (0, 0, 0) if bright >= 128 else (255, 255, 255)
