"""A convolution or linear layer as it is counted: its shape, and what follows from it. Needs no torch."""

import math
from dataclasses import dataclass

CLASSIFIER = "heads.classification.linear"
"""The path of the layer that published classifiers end in."""


@dataclass(frozen=True)
class Layer:
    """One convolution or linear layer (kernel 1).

    `kernel` is its side; where it is not square its height, and `kernel_width` (None: as high) its width.
    `size` is the side of its output in pixels, `tokens` how many of them a transformer's linear layer maps (None: size x size).
    `norm` says whether a batch norm follows in place of a bias. `more_parameters` are those of layer norms, class token and
    position embedding that go with it, `more_macs` those of attention's two products. `name` is its module's path in the
    network; `stage` the row's index, None outside the stages.
    """

    name: str
    stage: int | None
    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    groups: int
    size: int
    norm: bool
    tokens: int | None = None
    more_parameters: int = 0
    more_macs: int = 0
    kernel_width: int | None = None

    @property
    def kernel_sides(self) -> tuple[int, int]:
        """Height and width of its kernel."""
        return self.kernel, self.kernel if self.kernel_width is None else self.kernel_width

    @property
    def parameters(self) -> int:
        """Weights, and the norm's scale and shift or the bias."""
        return self._weights + self.out_channels * (2 if self.norm else 1) + self.more_parameters

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return self._weights * self._positions + self.more_macs

    @property
    def activations(self) -> int:
        """Numbers it puts out for one image."""
        return self.out_channels * self._positions

    @property
    def _positions(self) -> int:
        return self.size**2 if self.tokens is None else self.tokens

    @property
    def _weights(self) -> int:
        return self.out_channels * (self.in_channels // self.groups) * math.prod(self.kernel_sides)
