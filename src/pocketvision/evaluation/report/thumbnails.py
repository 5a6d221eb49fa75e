"""Small pictures inside the page, as data URIs."""

import base64
import io
from pathlib import Path

from PIL import Image

from pocketvision.errors import ImageError
from pocketvision.preprocessing import decode

# Shown at 160 pixels; half as many again keeps them sharp on a phone.
SIDE = 240


def thumbnail(path: Path) -> str | None:
    """The image at `path`, at most SIDE pixels a side, as a data URI; None when it can not be read any more."""
    try:
        image = decode(path, shortest_side=SIDE, white_level=None)  # bright enough to be seen
    except ImageError:
        return None
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    image.save(written, "WEBP", quality=78)
    return "data:image/webp;base64," + base64.b64encode(written.getvalue()).decode("ascii")
