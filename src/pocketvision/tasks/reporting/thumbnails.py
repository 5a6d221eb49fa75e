"""Small square pictures inside the page, as data URIs."""

import base64
import io
from pathlib import Path

from PIL import Image, ImageOps

from pocketvision.errors import ImageError
from pocketvision.preprocessing import decode
from pocketvision.tasks.measuring import TaskMistake
from pocketvision.tasks.reporting.parts import Subject

# Shown at 160 pixels; half as many again keeps them sharp on a phone.
SIDE = 240
PICTURES_SHOWN = 24


def thumbnail(path: Path) -> str | None:
    """The middle square of the image at `path`, SIDE pixels a side, as a data URI; None when it can not be read any more."""
    try:
        image = decode(path, shortest_side=SIDE, white_level=None)  # bright enough to be seen
    except ImageError:
        return None
    written = io.BytesIO()
    ImageOps.fit(image, (SIDE, SIDE), Image.Resampling.LANCZOS).save(written, "WEBP", quality=76)
    return "data:image/webp;base64," + base64.b64encode(written.getvalue()).decode("ascii")


def worst_pictures(subject: Subject) -> list[tuple[TaskMistake, str | None]]:
    """The first PICTURES_SHOWN mistakes, with the images that they are of."""
    return [(each, thumbnail(subject.root / each.path)) for each in subject.evaluation.mistakes[:PICTURES_SHOWN]]
