"""Whether two thumbnails show the same picture: align one with the other, then look at what is left of the difference.

"The same picture" means one of the two after re-encoding, resizing, a small crop (up to 3 % off each side), a change of
brightness or contrast (up to about 10 %), and at most one mark (a logo, a date) in one corner. Another expression of
the same face, another skin tone, a mirrored or turned picture, the next frame in which something moved: not the same.

Both steps are needed. Without alignment a crop of 3 % differs more than another face does; and on average, instead of
where it is largest, a face with another mouth differs less than a crop.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.fingerprints import SIDE, luma_chroma

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

# How far the second may be a crop, a shift or a re-exposure of the first: scale and shift across, the same down, gain,
# offset. A fit that ends at a limit is none: two clear skies match whatever they show, when stretched far enough.
_START = np.array([1, 0, 1, 0, 1, 0], dtype=np.float32)
_REACH = np.array([0.075, 0.03 * SIDE, 0.075, 0.03 * SIDE, 0.15, 20], dtype=np.float32)
_STEPS = 3  # 8 change no answer in a hundred
_OUTLIER = 15.0  # grey levels; a pixel that is further off, such as a logo's, has little say in the fit

# What may be left after alignment, in grey levels: the noise of re-encoding and, where resampling shows most, a share
# of the slope per pixel. Colour is compared more coarsely, as JPEG keeps it.
_LUMA_NOISE, _LUMA_SHARE = 9.0, 0.45
_CHROMA_NOISE, _CHROMA_SHARE = 10.0, 0.3

# Slopes of brightness, in grey levels a pixel: without any spread there is nothing to recognise a picture by.
_LEAST_DETAIL = 0.5
_LEAST_CORRELATION = 0.9

_RIM = 4  # pixels along the border, which a crop takes away and the fit makes up
_INNER = (..., slice(_RIM, -_RIM), slice(_RIM, -_RIM))
_MARK = (7, 10)  # rows and columns inside the rim: a mark fills at most a quarter by a third of the picture

_GRID = (np.arange(SIDE) - (SIDE - 1) / 2).astype(np.float32)
_SMOOTH = (np.eye(SIDE, k=-1) + 2 * np.eye(SIDE) + np.eye(SIDE, k=1)).astype(np.float32)
_SMOOTH /= _SMOOTH.sum(1, keepdims=True)
_PAIRS_AT_ONCE = 128


def same_picture(
    first: NDArray[np.uint8],
    second: NDArray[np.uint8],
    *,
    slack: NDArray[np.floating[Any]] | float = 1.0,
    marks: bool = True,
) -> Mask:
    """(p) answers for p pairs of thumbnails, (p, 2400) uint8 each.

    slack: one or (p) factors of the difference tolerated. marks: whether one corner may hold anything.
    """
    answers = np.zeros(len(first), dtype=np.bool_)
    limits = np.broadcast_to(np.asarray(slack, dtype=np.float32), len(first))
    for start in range(0, len(first), _PAIRS_AT_ONCE):
        rows = slice(start, start + _PAIRS_AT_ONCE)
        answers[rows] = _same(_blur(luma_chroma(first[rows])), _blur(luma_chroma(second[rows])), limits[rows], marks)
    return answers


def has_detail(thumbnails: NDArray[np.uint8]) -> Mask:
    """(n) whether (n, 2400) thumbnails show enough to be recognised by; a blank page or a clear sky does not."""
    slopes = _slopes(_blur(luma_chroma(thumbnails)[0]))
    everywhere = np.ones(slopes.shape[1:], dtype=np.bool_)
    spread, _, _ = _spread(slopes, slopes, everywhere)
    answers: Mask = spread >= _LEAST_DETAIL**2
    return answers


def _same(first: Floats, second: Floats, limit: Floats, marks: bool) -> Mask:
    """Answers for planes (3, p, 40, 40), brightness and two colours; `limit` (p) of what may differ."""
    fit, settled = _align(first[0], second[0])
    moved = _moved(first, fit)
    slopes, other_slopes = _slopes(moved[0]), _slopes(second[0])
    slope = np.sqrt(np.minimum((slopes**2).sum(0), (other_slopes**2).sum(0)))
    luma = np.abs(second[0] - moved[0])[_INNER] / (_LUMA_NOISE + _LUMA_SHARE * slope)
    colours = np.abs(_blur(_blur(second[1:] - moved[1:]))).max(0)
    chroma = colours[_INNER] / (_CHROMA_NOISE + _CHROMA_SHARE * slope)
    difference, compared = _largest(np.maximum(luma, chroma), _CORNERS if marks else _NOWHERE)
    spread, other_spread, product = _spread(slopes, other_slopes, compared)
    alike = product > _LEAST_CORRELATION * np.sqrt(spread * other_spread)
    detailed = np.minimum(spread, other_spread) >= _LEAST_DETAIL**2
    answers: Mask = settled & (difference < limit) & alike & detailed
    return answers


def _align(first: Floats, second: Floats) -> tuple[Floats, Mask]:
    """The fit (p, 6) that takes `first` to `second`, (p, 40, 40) brightness, and whether it lies within the limits (p).

    Gauss-Newton on the squared difference (Lucas and Kanade, 1981), each pixel weighted by how well it fits already.
    """
    fit: Floats = np.tile(_START, (len(first), 1))
    low, high = _START - _REACH, _START + _REACH
    for _ in range(_STEPS):
        moved = _resample(first, fit)
        down, across = np.gradient(moved, axis=(1, 2))
        gain, offset = fit[:, 4, None, None], fit[:, 5, None, None]
        columns = (
            gain * across * _GRID,
            gain * across,
            gain * down * _GRID[:, None],
            gain * down,
            moved,
            np.ones_like(moved),
        )
        change = np.stack([column[_INNER].reshape(len(first), -1) for column in columns], axis=1)
        exposed = (gain * moved + offset)[_INNER].reshape(len(first), 1, -1)
        error = second[_INNER].reshape(len(first), 1, -1) - np.clip(exposed, 0, 255)
        # Where brightness is at its end, black or white, it says nothing about exposure.
        weight = ((exposed > 0) & (exposed <= 255)) / (1 + (error / _OUTLIER) ** 2)
        weighted = change * weight.astype(np.float32)
        normal = weighted @ change.transpose(0, 2, 1)
        # Damped a little, so that a picture without slopes in one direction has an answer too.
        normal += np.eye(6, dtype=np.float32) * (1e-4 * np.diagonal(normal, axis1=1, axis2=2)[:, :, None] + 1e-2)
        step = np.linalg.solve(normal, weighted @ error.transpose(0, 2, 1))[:, :, 0]
        fit = np.clip(fit + step, low, high)
    settled: Mask = np.all((fit > low) & (fit < high), axis=1)
    return fit, settled


def _moved(planes: Floats, fit: Floats) -> Floats:
    """(3, p, 40, 40) planes, resampled and exposed as `fit` says."""
    moved = _resample(planes, fit) * fit[:, 4, None, None]
    moved[0] = np.clip(moved[0] + fit[:, 5, None, None], 0, 255)
    return moved


def _resample(planes: Floats, fit: Floats) -> Floats:
    """(..., p, 40, 40) planes scaled and shifted: two matrices a pair, as the move is one across and one down."""
    across, down = _cubic(fit[:, 0], fit[:, 1]), _cubic(fit[:, 2], fit[:, 3])
    return np.asarray(down @ planes @ across.transpose(0, 2, 1), dtype=np.float32)


def _cubic(scale: Floats, shift: Floats) -> Floats:
    """(p, 40, 40) weights by which 40 samples become those at scale * position + shift (Keys, 1981, a = -1/2)."""
    places = np.clip(scale[:, None] * _GRID + shift[:, None] - _GRID[0], 0, SIDE - 1)
    before = places.astype(np.int64)
    step = (places - before)[:, :, None]
    taps = np.concatenate(
        [
            ((-0.5 * step + 1) * step - 0.5) * step,
            (1.5 * step - 2.5) * step**2 + 1,
            ((-1.5 * step + 2) * step + 0.5) * step,
            (0.5 * step - 0.5) * step**2,
        ],
        axis=2,
    )
    weights = np.zeros((*places.shape, SIDE + 3), dtype=np.float32)
    np.put_along_axis(weights, before[:, :, None] + np.arange(4), taps, axis=2)
    weights = weights[:, :, 1 : SIDE + 1]
    weights /= weights.sum(2, keepdims=True)  # at the border a neighbour is missing
    return weights


def _largest(difference: Floats, excused: Mask) -> tuple[Floats, Mask]:
    """The largest difference (p) outside that of the `excused` areas (k, 32, 32) that differs most, and what is outside."""
    outside = np.where(excused[:, None], np.float32(0), difference).max((2, 3))
    return outside.min(0), ~excused[outside.argmin(0)]


def _corners() -> Mask:
    """(4, 32, 32), each true in one corner."""
    masks = np.zeros((4, SIDE - 2 * _RIM, SIDE - 2 * _RIM), dtype=np.bool_)
    rows, columns = _MARK
    for mask, (down, across) in zip(masks, [(1, 1), (1, -1), (-1, 1), (-1, -1)], strict=True):
        mask[::down, ::across][:rows, :columns] = True
    return masks


_CORNERS = _corners()
_NOWHERE = np.zeros_like(_CORNERS[:1])


def _slopes(luma: Floats) -> Floats:
    """(2, p, 32, 32) slopes of (p, 40, 40) brightness down and across, without the rim."""
    down, across = np.gradient(luma, axis=(1, 2))
    return np.stack([down, across])[_INNER]


def _spread(slopes: Floats, other: Floats, compared: Mask) -> tuple[Floats, Floats, Floats]:
    """(p) variances of both slopes and their covariance, where `compared` (p, 32, 32) is true."""
    weight = compared / compared.sum((1, 2), keepdims=True, dtype=np.float32)
    centred = [values - (values * weight).sum((2, 3), keepdims=True) for values in (slopes, other)]
    variances = [(values**2 * weight).sum((0, 2, 3)) / 2 for values in centred]
    covariance = (centred[0] * centred[1] * weight).sum((0, 2, 3)) / 2
    return variances[0], variances[1], covariance


def _blur(planes: Floats) -> Floats:
    """Planes (..., 40, 40) smoothed by 1-2-1 both ways: what lies between two pixels would not survive resampling."""
    return np.asarray(_SMOOTH @ planes @ _SMOOTH.T, dtype=np.float32)
