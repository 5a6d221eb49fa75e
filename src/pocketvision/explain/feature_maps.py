"""What layers see in one image, channel by channel, and the filters of the first layer, as sheets of small pictures."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from pocketvision.errors import UsageError
from pocketvision.explain.heat_map import coloured
from pocketvision.explain.watched import Watched, as_map

MOST = 64
"""Channels on a sheet: those that vary most."""
TILE, GAP = 96, 4
"""Pixels of a channel, and between two."""


def feature_maps(
    watched: Watched, image: NDArray[np.float32], layers: tuple[str, ...] | None
) -> dict[str, NDArray[np.float32]]:
    """(channels, h, w) of each layer for one image (1, 3, H, W). layers: None takes the stem and each stage that runs: above what
    the heads read none does. Raises UsageError with near matches for a layer that is not there, and for one that gives no map."""
    named = ("stem", *(f"stage{place}" for place in range(len(watched.network.stages)))) if layers is None else layers
    with watched.seen(named) as seen, torch.no_grad():
        watched.graph(torch.from_numpy(image))
        missing = [name for name in named if name not in seen]
        if missing and layers is not None:
            raise UsageError(f"The layer {missing[0]} does not run by itself. Name the one around it.")
        size = (image.shape[2], image.shape[3])
        return {name: as_map(seen[name], size, name, watched.network).numpy().copy() for name in named if name in seen}


def sheet(level: NDArray[np.float32]) -> tuple[NDArray[np.uint8], list[int]]:
    """Channels (channels, h, w) as one picture, the MOST that vary most, each from its own least to its largest; and which they
    are. A channel that is the same everywhere is dark."""
    kept = np.argsort(-level.std(axis=(1, 2)), kind="stable")[:MOST]
    tiles = []
    for channel in level[kept]:
        low, high = float(channel.min()), float(channel.max())
        scaled = (channel - low) / (high - low) if high > low else np.zeros_like(channel)
        tiles.append(_enlarged(coloured(scaled)))
    return _grid(tiles), kept.tolist()


def first_filters(watched: Watched) -> NDArray[np.uint8]:
    """The first convolution's filters as colours: 0 is grey. Raises UsageError for a network whose first layer does not see
    colours."""
    convolutions = (each for each in watched.network.stem.modules() if isinstance(each, nn.Conv2d))
    first = next(convolutions, None)
    if first is None or first.weight.shape[1] != 3:
        raise UsageError("The first layer is no convolution of three colours, so its filters are no pictures.")
    weights = first.weight.detach().numpy()
    tiles = []
    for kernel in weights[:256]:
        most = float(np.abs(kernel).max())
        scaled = kernel / most if most > 0 else kernel
        tiles.append(_enlarged(np.rint(127.5 + 127.5 * scaled.transpose(1, 2, 0)).astype(np.uint8)))
    return _grid(tiles)


def _enlarged(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(pixels).resize((TILE, TILE), Image.Resampling.NEAREST))


def _grid(tiles: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    across = min(len(tiles), 8)
    down = -(-len(tiles) // across)
    found = np.full((down * (TILE + GAP) + GAP, across * (TILE + GAP) + GAP, 3), 255, np.uint8)
    for place, tile in enumerate(tiles):
        top, left = GAP + place // across * (TILE + GAP), GAP + place % across * (TILE + GAP)
        found[top : top + TILE, left : left + TILE] = tile
    return found
