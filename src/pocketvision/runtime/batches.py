"""What every backend asks of its input and gives for none: the same words whichever runs."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Outputs = dict[str, NDArray[np.float32]]
"""A graph's outputs by name, batch first."""

Shapes = Mapping[str, tuple[int, ...]]
"""The shape of each output for one image, by name, in the graph's order."""


def checked(images: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """The images as one block of memory. Raises ValueError unless they are float32 and (N, 3, height, width)."""
    expected = (3, *size)
    if images.dtype != np.float32 or images.ndim != 4 or images.shape[1:] != expected:
        raise ValueError(
            f"the input is {images.dtype} with the shape {images.shape}; expected float32 with (images, "
            f"{', '.join(map(str, expected))})"
        )
    return np.ascontiguousarray(images)


def one_by_one(run: Callable[[NDArray[np.float32]], Outputs], images: NDArray[np.float32]) -> Outputs:
    """The outputs for N >= 1 images of a graph that takes one at a time."""
    found = [run(images[place : place + 1]) for place in range(len(images))]
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


def writable(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """The images, copied when they may only be read: torch warns of such arrays, though it would not write to them here."""
    return images if images.flags.writeable else images.copy()


def no_answers(shapes: Shapes, images: int = 0) -> Outputs:
    """What a batch of no images is answered with; for more, zeros in the place of answers."""
    return {name: np.zeros((images, *shape), np.float32) for name, shape in shapes.items()}
