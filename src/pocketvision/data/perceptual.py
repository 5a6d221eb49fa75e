"""A perceptual hash of 16 bytes, and how far a picture at hand is from one: for near-duplicates without thumbnails.

Of the numbers that fingerprints.py finds near-duplicates with, 32 are kept: 24 of brightness, and the lowest 2 x 2 of both
colours. Each is rounded to 4 bits, finer near zero (the square root is rounded). The picture at hand is not rounded: its
distance is to the nearest of all pictures that the hash may stand for, so rounding hides no copy.

Measured on real pictures at the limit of 0.002: every re-encoded, resized or exposed copy of benchmarks/near_duplicates.py is
found, 65 to 73 % of those cropped by up to 3 % a side, 1 to 91 % of those with a mark. Of pictures that are no copies, taken
for one: 0 of 631 photos of clothes, 0.9 % of 688 hands before one wall, 29 % of 472 drawn faces, which differ in a mouth. So
the limit of a set of pictures is found on these themselves (learned_from.py).
"""

import numpy as np
from numpy.typing import NDArray

from pocketvision.data.fingerprints import perceptual_hashes

LENGTH = 32
BYTES = 16

# Of the 42 numbers: brightness, then the lowest 2 x 2 of 3 x 3 of each colour.
_KEPT = np.array([*range(24), *(start + place for start in (24, 33) for place in (0, 1, 3, 4))])
_LEVELS = 16
_RANGE = 60.0  # grey levels at which the scale ends
_STEP = _LEVELS / 2 / np.sqrt(_RANGE)
_NOISE = 4.0


def frequencies(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, 32) float32 of (n, 2400) thumbnails: what is rounded to a hash, in grey levels."""
    kept: NDArray[np.float32] = perceptual_hashes(thumbnails)[:, _KEPT]
    return kept


def hashed(numbers: NDArray[np.floating]) -> NDArray[np.uint8]:
    """(n, 16) uint8: the hashes of (n, 32) frequencies, two to a byte."""
    levels = np.clip(np.floor(np.sign(numbers) * np.sqrt(np.abs(numbers)) * _STEP), -_LEVELS // 2, _LEVELS // 2 - 1)
    whole = (levels + _LEVELS // 2).astype(np.uint8)
    packed: NDArray[np.uint8] = whole[:, ::2] << 4 | whole[:, 1::2]
    return packed


def distances(numbers: NDArray[np.floating], hashes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(m, n) float32: the squared distance of (m, 32) frequencies to the nearest that each of (n, 16) hashes may stand for, as a
    share of their own squared length."""
    low, high = _cells(hashes)
    found = np.empty((len(numbers), len(hashes)), np.float32)
    for place, asked in enumerate(numbers.astype(np.float32)):
        outside = np.maximum(np.maximum(low - asked, asked - high), 0)
        found[place] = np.einsum("ij,ij->i", outside, outside) / ((asked**2).sum() + _NOISE)
    return found


def _cells(hashes: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(n, 32) each: between which numbers a hash's frequencies were. The outermost reach to infinity."""
    levels = np.empty((len(hashes), LENGTH), np.int64)
    levels[:, ::2], levels[:, 1::2] = hashes >> 4, hashes & 15
    borders = (np.arange(_LEVELS + 1) - _LEVELS // 2) / _STEP
    borders = np.sign(borders) * borders**2
    borders[0], borders[-1] = -np.inf, np.inf
    edges = borders.astype(np.float32)
    return edges[levels], edges[levels + 1]
