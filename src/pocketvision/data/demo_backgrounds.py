"""What stands behind the demo's scenes: backgrounds made of numbers alone, so that none of them is anybody's picture."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.float64]
"""(H, W, 3), 0 to 1 where nothing else is said."""

Random = np.random.Generator


def drawn_kind(random: Random) -> str:
    """One of KINDS by lot."""
    return tuple(KINDS)[int(random.integers(len(KINDS)))]


def background(random: Random, size: tuple[int, int], kind: str) -> NDArray[np.uint8]:
    """(H, W, 3) of a kind of KINDS; size: width and height."""
    pixels = KINDS[kind](random, size)
    grain = random.normal(0, random.uniform(0, 0.03), (size[1], size[0], 1))
    return _eight_bits(pixels + grain)


def gradient(random: Random, size: tuple[int, int]) -> Pixels:
    """Between two colours, in any direction."""
    across, down = _places(size)
    angle = random.uniform(0, 2 * np.pi)
    along = np.cos(angle) * across + np.sin(angle) * down
    return _between(random, (along - along.min()) / np.ptp(along))


def clouds(random: Random, size: tuple[int, int]) -> Pixels:
    """Smooth noise of two colours."""
    return _between(random, _ranked(_spectrum(random, size, random.uniform(1.2, 2.2))))


def ground(random: Random, size: tuple[int, int]) -> Pixels:
    """Like a photograph of earth, bark or a wall: noise whose power falls with its frequency as that of natural scenes does
    (Field 1987), the colours nearly alike, and lit from one side."""
    grey = _spectrum(random, size, random.uniform(0.7, 1.3))
    tints = np.stack([_spectrum(random, size, 1.5) for _ in range(3)], axis=-1)
    across, down = _places(size)
    light = across * random.uniform(-0.3, 0.3) + down * random.uniform(-0.3, 0.3)
    contrast = random.uniform(0.08, 0.22)
    return _colour(random) + contrast * grey[..., None] + 0.03 * tints + light[..., None]


def stones(random: Random, size: tuple[int, int]) -> Pixels:
    """Cells around scattered points, each with a colour of its own: pebbles, tiles, leaves."""
    across, down = _places(size)
    points = random.uniform(0, 1, (int(random.integers(8, 60)), 2)) * [across.max(), down.max()]
    far = (across[..., None] - points[:, 0]) ** 2 + (down[..., None] - points[:, 1]) ** 2
    nearest = np.sqrt(np.partition(far, 1, axis=-1)[..., :2])
    colours = _colour(random) + random.normal(0, 0.12, (len(points), 3))
    joints = np.clip(np.ptp(nearest, axis=-1) * 12, 0.35, 1)
    pixels: Pixels = colours[far.argmin(axis=-1)] * joints[..., None]
    return pixels + 0.05 * _spectrum(random, size, 1.0)[..., None]


def stripes(random: Random, size: tuple[int, int]) -> Pixels:
    """Boards or cloth: waves that noise has bent."""
    across, down = _places(size)
    angle, bend = random.uniform(0, np.pi), random.uniform(0, 0.12)
    along = np.cos(angle) * across + np.sin(angle) * down + bend * _spectrum(random, size, 2.0)
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * random.uniform(2, 12) * along)
    return _between(random, np.clip(0.5 + random.uniform(1, 3) * (wave - 0.5), 0, 1))


def lights(random: Random, size: tuple[int, int]) -> Pixels:
    """Discs out of focus, as behind a portrait at night: round, bright, and no objects."""
    pixels = clouds(random, size) * random.uniform(0.3, 0.9)
    across, down = _places(size)
    for _ in range(int(random.integers(6, 22))):
        x, y, radius = random.uniform(0, across.max()), random.uniform(0, down.max()), random.uniform(0.02, 0.15)
        inside = np.hypot(across - x, down - y) < radius
        pixels[inside] += random.uniform(0.3, 0.9) * (_colour(random) - pixels[inside])
    blurred = Image.fromarray(_eight_bits(pixels)).filter(ImageFilter.GaussianBlur(random.uniform(0.5, 4)))
    return np.asarray(blurred, np.float64) / 255


KINDS: dict[str, Callable[[Random, tuple[int, int]], Pixels]] = {
    each.__name__: each for each in (gradient, clouds, ground, stones, stripes, lights)
}
"""What may stand behind a scene, by its name."""


def _places(size: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(H, W) each: where a pixel is from left to right and from top to bottom, the longer side from 0 to 1."""
    down, across = np.mgrid[: size[1], : size[0]] / max(size)
    return across, down


def _colour(random: Random) -> NDArray[np.float64]:
    """(3) any colour, dull ones more often than bright ones."""
    grey = random.uniform(0.1, 0.9)
    return np.clip(grey + random.normal(0, 0.18, 3), 0, 1)


def _between(random: Random, share: NDArray[np.float64]) -> Pixels:
    """From one colour to another. share: (H, W) of the second."""
    one, other = _colour(random), _colour(random)
    mixed: Pixels = np.multiply.outer(share, other - one) + one
    return mixed


def _spectrum(random: Random, size: tuple[int, int], power: float) -> NDArray[np.float64]:
    """(H, W) noise whose amplitude is 1 / frequency^power: mean 0, deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(size[1])[:, None], np.fft.rfftfreq(size[0])[None])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(random.normal(size=(size[1], size[0]))) / frequency**power
    noise = np.fft.irfft2(spectrum, s=(size[1], size[0]))
    return np.asarray((noise - noise.mean()) / noise.std(), np.float64)


def _ranked(noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Noise from 0 to 1."""
    return np.asarray((noise - noise.min()) / np.ptp(noise), np.float64)


def _eight_bits(pixels: Pixels) -> NDArray[np.uint8]:
    return np.round(255 * np.clip(pixels, 0, 1)).astype(np.uint8)
