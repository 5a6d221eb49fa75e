"""What an audit has to say about masks once they are read: classes that are rare, alone, or not there."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.finding import Finding
from pocketvision.data.inspection import Inspection
from pocketvision.data.masks.neighbours import neighbour_findings
from pocketvision.data.samples import Samples
from pocketvision.printable import counted, quoted
from pocketvision.tasks.segmentation.truth import SEGMENTATION, MaskLabels

RARE = 0.005
"""Of all pixels, below which a class is hardly learned without a weight."""

UNMARKED = 0.05
"""Of all pixels that are of no class, from which on it is worth telling."""

_FILES = 10
_NAMED = 4


def mask_findings(samples: Samples, inspection: Inspection) -> Iterator[Finding]:
    """None for samples without masks."""
    truth = samples.truth.get(SEGMENTATION)
    if isinstance(truth, MaskLabels):
        yield from _pixels(truth)
        yield from _images(truth, samples)
        yield from _rare(truth, inspection)
        yield from neighbour_findings(samples, inspection)


def _pixels(truth: MaskLabels) -> Iterator[Finding]:
    counts = truth.pixel_counts()
    total = int(counts.sum())
    shares = counts / max(total, 1)
    rare = np.flatnonzero(shares < RARE)
    if len(rare):
        names = ", ".join(f"{quoted(truth.class_names[place])} ({shares[place]:.2%})" for place in rare[:_NAMED])
        yield Finding(
            "unequal_pixels",
            f"{counted(len(rare), 'class')} with less than {RARE:.1%} of the pixels: {names}. Class weights and the Dice loss "
            "help; look at their own figures, not at the share of pixels that is right.",
            count=len(rare),
        )
    nothing = int(truth.pixels[:, -1].sum())
    if nothing >= UNMARKED * (total + nothing):
        share = nothing / (total + nothing)
        yield Finding(
            "unmarked_pixels", f"{share:.0%} of the pixels are of no class. They are neither learned nor measured."
        )


def _images(truth: MaskLabels, samples: Samples) -> Iterator[Finding]:
    shown = (truth.pixels[:, :-1] > 0).sum(axis=1)
    empty = np.flatnonzero(truth.present & (shown == 0))
    if len(empty):
        yield Finding(
            "empty_masks",
            f"{counted(len(empty), 'mask')} without a pixel of any class. Nothing is learned from them: draw or remove them.",
            _some(samples, empty),
            len(empty),
        )
    alone = np.flatnonzero(truth.present & (shown == 1) & (truth.pixels[:, 0] > 0))
    name = quoted(truth.class_names[0])
    if len(alone) and len(alone) + len(empty) == int(truth.present.sum()):
        yield Finding(
            "nothing_but_background",
            f"All masks show {name} alone, so there is nothing to learn.",
            _some(samples, alone),
        )
    elif len(alone):
        yield Finding(
            "background_alone",
            f"{counted(len(alone), 'mask')} showing {name} alone. They are learned as they are; were they forgotten?",
            _some(samples, alone),
            len(alone),
        )


def _rare(truth: MaskLabels, inspection: Inspection) -> Iterator[Finding]:
    images = truth.select(np.flatnonzero(inspection.readable)).class_counts()
    rare = np.flatnonzero(images < 2)
    if len(rare):
        names = ", ".join(f"{quoted(truth.class_names[place])} ({images[place]})" for place in rare[:_NAMED])
        message = (
            f"{counted(len(rare), 'class')} in fewer than 2 readable images: {names}. They can be learned or measured, not both: "
            "add images of them."
        )
        yield Finding("rare_classes", message, count=len(rare))


def _some(samples: Samples, images: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(samples.paths[image] for image in images[:_FILES].tolist())
