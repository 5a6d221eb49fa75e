"""Doubtful regions of masks as a table of places, and as pictures."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pocketvision.errors import ImageError
from pocketvision.preprocessing import decode_image
from pocketvision.printable import counted
from pocketvision.tasks.doubting import Doubting
from pocketvision.tasks.reporting.thumbnails import SIDE
from pocketvision.tasks.segmentation.doubts import KIND, MaskEvidence, RegionDoubt, doubts_of, look

_AROUND, _LEAST = 1.8, 32.0
"""The side of the part that is shown, in longest sides of the region's box, and at least, in pixels."""

_RED = np.array((255, 70, 60), np.float32)
_TINT = 0.4


def lines(doubts: Sequence[RegionDoubt], evidence: Sequence[MaskEvidence]) -> tuple[str, ...]:
    """How much of the masks is doubted."""
    known, doubted = sum(each.known for each in evidence), sum(each.doubted for each in evidence)
    images = len({each.image for each in doubts})
    return (
        f"{counted(len(doubts), 'region')} of {images:,} of {counted(len(evidence), 'mask')} may be drawn wrong: "
        f"{doubted / max(known, 1):.1%} of all pixels.",
    )


def cells(doubt: RegionDoubt) -> list[object]:
    """Where it is."""
    return [doubt.drawn, doubt.answered, *doubt.box, round(doubt.share, 5), round(doubt.doubt, 4)]


def shown(path: Path, doubt: RegionDoubt) -> str | None:
    """The region in red, on a square of SIDE pixels around it."""
    try:
        image = decode_image(path, white_level=None).image  # bright enough to be seen
    except ImageError:
        return None
    left, top, right, bottom = doubt.box
    marks = Image.fromarray(doubt.marks.mask * np.uint8(255)).resize((max(right - left, 1), max(bottom - top, 1)), 0)
    region = Image.new("L", image.size)
    region.paste(marks, (left, top))
    side = max(_AROUND * max(right - left, bottom - top), _LEAST)
    low = ((left + right - side) / 2, (top + bottom - side) / 2)
    extent = (*low, low[0] + side, low[1] + side)
    part, on = (
        np.asarray(each.transform((SIDE, SIDE), Image.Transform.EXTENT, extent, how, fillcolor=dark), np.float32)
        for each, how, dark in ((image, Image.Resampling.BICUBIC, (40, 40, 40)), (region, Image.Resampling.NEAREST, 0))
    )
    opacity = np.where(on > 0, _TINT, 0)
    edge = (on[1:, 1:] != on[:-1, 1:]) | (on[1:, 1:] != on[1:, :-1])
    opacity[1:, 1:][edge] = 1
    mixed = part + (_RED - part) * opacity[..., None]
    written = io.BytesIO()
    Image.fromarray(np.rint(mixed).astype(np.uint8)).save(written, "WEBP", quality=76)
    return "data:image/webp;base64," + base64.b64encode(written.getvalue()).decode("ascii")


DOUBTING = Doubting(
    kinds={KIND: "Another class is seen there, and surely so."},
    look=look,
    judge=doubts_of,
    lines=lines,
    columns=("drawn", "answered", "x_from", "y_from", "x_to", "y_to", "share", "doubt"),
    cells=cells,
    whole=False,
    mending="Redraw the masks at these places",
    picture=shown,
    legend="Red: the region.",
)
