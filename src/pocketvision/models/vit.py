"""The Vision Transformer (Dosovitskiy et al., 2020, https://arxiv.org/abs/2010.11929), as widths: a teacher and a reference.

The image is cut into patches, each becomes a token, and every block lets all tokens look at each other. No convolution but the
one that cuts, no down-sampling: all cuts have the patch's stride. The sizes Ti and S are DeiT's (Touvron et al., 2020, table 1).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pocketvision.errors import UsageError
from pocketvision.models.spec import StageLine, checked

# Smallest and largest value of a number; those that have to fit each other are checked together.
_RANGES: dict[str, tuple[float, float]] = {
    "mlp_ratio": (0.05, 64),
    "norm_epsilon": (1e-12, 1),
    "input_size": (1, 4096),
    "dropout": (0, 0.95),
    "drop_path": (0, 0.95),
}


@dataclass(frozen=True)
class VisionTransformer:
    """A ViT as data: patches of `patch` pixels, `depth` blocks of `heads` attention heads on tokens of `width` numbers.

    `mlp_ratio` widens a token inside a block's two-layer network. The position embedding is learned for `input_size`; other
    multiples of the patch take it resampled. `drop_path` as in Architecture.
    """

    name: str
    width: int
    depth: int
    heads: int
    patch: int = 16
    mlp_ratio: float = 4.0
    norm_epsilon: float = 1e-6
    input_size: int = 224
    dropout: float = 0.0
    drop_path: float = 0.0
    family: str = "vit"

    def stage_lines(self) -> tuple[StageLine, ...]:
        """Each block is a stage of its own, of linear layers: without a kernel."""
        return (StageLine("transformer", None, 1, self.mlp_ratio, self.width, 1),) * self.depth

    def trunk_channels(self) -> tuple[int, ...]:
        """A token's numbers, at every cut."""
        return (self.width,) * (self.depth + 1)

    def trunk_strides(self) -> tuple[int, ...]:
        """Pixels a token, along a side, at every cut."""
        return (self.patch,) * (self.depth + 1)

    def feature_channels(self) -> int:
        """The class token's numbers."""
        return self.width

    def hidden_channels(self) -> int:
        """Inside a block's two-layer network."""
        return max(1, int(self.width * self.mlp_ratio))

    def check_size(self, height: int, width: int) -> None:
        """Patches fill the image, or UsageError."""
        if height >= self.patch and width >= self.patch and height % self.patch == width % self.patch == 0:
            return
        near = sorted({max(1, side // self.patch + more) * self.patch for side in (height, width) for more in (0, 1)})
        raise UsageError(
            f"{self.name} cuts an image into patches of {self.patch} pixels, which {width} x {height} is no multiple of. "
            f"Sizes near it that work: {', '.join(str(side) for side in near)}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data; `from_dict` gives the same back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "VisionTransformer":
        """Rebuild from `to_dict`'s data; fields that have a default may be left out. UsageError that names a missing, unknown or
        wrong field."""
        found = cls(**checked(cls, content, "the transformer", _RANGES))
        if min(found.width, found.depth, found.heads, found.patch) < 1 or found.width % found.heads:
            raise UsageError(
                f"The transformer {found.name} has width {found.width}, depth {found.depth}, heads {found.heads}, patch "
                f"{found.patch}; each has to be 1 or more, and the width a multiple of the heads."
            )
        if found.input_size % found.patch:
            raise UsageError(
                f"In the transformer 'input_size' is {found.input_size}, expected a multiple of the patch, {found.patch}."
            )
        return found


ROWS: tuple[VisionTransformer, ...] = (
    VisionTransformer("vit_tiny_16", width=192, depth=12, heads=3),
    VisionTransformer("vit_small_16", width=384, depth=12, heads=6),
    VisionTransformer("vit_base_16", width=768, depth=12, heads=12),
)
