"""One look at every mask: which values and colours it has, how often, and how large it is."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketvision.preprocessing.values import StoredValues, read_values
from pocketvision.tasks.segmentation.truth import digest

GREY, PALETTE, COLOUR = 0, 1, 2
"""What the pixels of a mask are: numbers, places in a palette, or colours."""

_MOST_CODES = 4096


@dataclass(frozen=True, eq=False)
class MaskFacts:
    """form: one of GREY, PALETTE, COLOUR. size: width and height as stored. codes, counts: (k) the values, or colours as
    red * 65536 + green * 256 + blue, and their pixels; the most frequent where there are many. rest: pixels of other codes.
    palette: (256) the colours' codes by place; None without. digest: of the stored values."""

    form: int
    size: tuple[int, int]
    codes: NDArray[np.int64]
    counts: NDArray[np.int64]
    rest: int
    palette: NDArray[np.int64] | None
    lossy: bool
    digest: NDArray[np.uint8]

    def without(self, value: int) -> "MaskFacts":
        """But for the pixels of a value; colours have none."""
        kept = self.codes != value if self.form != COLOUR else np.ones(len(self.codes), np.bool_)
        return replace(self, codes=self.codes[kept], counts=self.counts[kept])


def facts_of(file: Path) -> MaskFacts:
    """Raises ImageError for what can not be read."""
    stored = read_values(file, str(file))
    codes, form, palette = codes_of(stored)
    if codes.dtype == np.uint8:
        counts = np.bincount(codes.ravel(), minlength=256)
        found = np.flatnonzero(counts)
        counts = counts[found]
    else:
        found, counts = np.unique(codes, return_counts=True)
    rest = 0
    if len(found) > _MOST_CODES:
        kept = np.sort(np.argsort(-counts, kind="stable")[:_MOST_CODES])
        rest = int(counts.sum() - counts[kept].sum())
        found, counts = found[kept], counts[kept]
    height, width = codes.shape
    return MaskFacts(
        form,
        (width, height),
        found.astype(np.int64),
        counts.astype(np.int64),
        rest,
        palette,
        stored.lossy,
        digest(stored.values),
    )


def codes_of(stored: StoredValues) -> tuple[NDArray[np.integer], int, NDArray[np.int64] | None]:
    """(height, width) codes, their form, and a palette's codes. Colours that are all grey are numbers."""
    values = stored.values
    if values.ndim == 2:
        if stored.palette is None:
            return values, GREY, None
        return values, PALETTE, code_of(stored.palette)
    if (values[..., 0] == values[..., 1]).all() and (values[..., 1] == values[..., 2]).all():
        return np.ascontiguousarray(values[..., 0]), GREY, None
    return code_of(values), COLOUR, None


def code_of(colours: NDArray[np.integer]) -> NDArray[np.int64]:
    """Of colours (…, 3)."""
    whole = colours.astype(np.int64)
    return whole[..., 0] << 16 | whole[..., 1] << 8 | whole[..., 2]


def colour_of(code: int) -> tuple[int, int, int]:
    """The way back, of one."""
    return code >> 16, code >> 8 & 255, code & 255
