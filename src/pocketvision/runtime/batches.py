"""What every backend asks of its input and gives for none: the same words whichever runs."""

import numpy as np
from numpy.typing import NDArray

Outputs = dict[str, NDArray[np.float32]]
OUTPUTS = ("logits", "probabilities")


def checked(images: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """The images as one block of memory. Raises ValueError unless they are float32 and (N, 3, height, width)."""
    expected = (3, *size)
    if images.dtype != np.float32 or images.ndim != 4 or images.shape[1:] != expected:
        raise ValueError(
            f"the input is {images.dtype} with the shape {images.shape}; expected float32 with (images, "
            f"{', '.join(map(str, expected))})"
        )
    return np.ascontiguousarray(images)


def writable(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """The images, copied when they may only be read: torch warns of such arrays, though it would not write to them here."""
    return images if images.flags.writeable else images.copy()


def no_answers(classes: int) -> Outputs:
    """What a batch of no images is answered with: (0, classes) each."""
    return {name: np.zeros((0, classes), np.float32) for name in OUTPUTS}
