"""The Vision Transformer's parts, on one page: patches, blocks, head. Tokens are (N, 1 + h * w, width), the class token first.

Weights stay in their precision and are cast to that of the tokens, so that a bfloat16 training needs nothing else (blocks.py
does the same for convolutions); norms and the position embedding are computed in float32.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketvision.models.blocks import drop_branch
from pocketvision.models.vit import VisionTransformer


class Patches(nn.Module):
    """Cut the image into patches, one token each; put the class token before them and add where each one stands."""

    def __init__(self, spec: VisionTransformer, in_channels: int) -> None:
        super().__init__()
        self.spec = spec
        self.conv = nn.Conv2d(in_channels, spec.width, spec.patch, spec.patch)
        side = spec.input_size // spec.patch
        self.class_token = nn.Parameter(torch.zeros(1, 1, spec.width))
        self.positions = nn.Parameter(torch.empty(1, 1 + side * side, spec.width))
        nn.init.normal_(self.class_token, std=1e-6)
        nn.init.trunc_normal_(self.positions, std=0.02)

    def forward(self, images: Tensor) -> Tensor:
        """(N, in, H, W) to (N, 1 + H/patch * W/patch, width). UsageError when patches do not fill the image."""
        self.spec.check_size(int(images.shape[2]), int(images.shape[3]))
        grid = self.conv(images)
        tokens = torch.cat([self.class_token.expand(images.shape[0], -1, -1), grid.flatten(2).transpose(1, 2)], dim=1)
        return tokens + self._positions(int(grid.shape[2]), int(grid.shape[3]))

    def _positions(self, height: int, width: int) -> Tensor:
        """The embedding for a grid of that many patches: as learned, or resampled (bicubic, antialiased)."""
        side = self.spec.input_size // self.spec.patch
        if (height, width) == (side, side):
            return self.positions
        first, rest = self.positions[:, :1], self.positions[:, 1:]
        grid = rest.reshape(1, side, side, -1).permute(0, 3, 1, 2)
        grid = F.interpolate(grid, size=(height, width), mode="bicubic", antialias=True)
        return torch.cat([first, grid.permute(0, 2, 3, 1).reshape(1, height * width, -1)], dim=1)


class TokenLinear(nn.Linear):
    """A linear layer in the precision of its input."""

    def forward(self, input: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        return F.linear(input, self.weight.to(input.dtype), self.bias.to(input.dtype))


class TokenNorm(nn.LayerNorm):
    """Layer norm over a token's numbers, computed in the weights' precision, given back in the input's."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, tokens, width) to the same shape."""
        return super().forward(input.to(self.weight.dtype)).to(input.dtype)


class Attention(nn.Module):
    """Multi-head self-attention: what every token takes from every other (Vaswani et al., 2017)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = TokenLinear(width, 3 * width)
        self.project = TokenLinear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, tokens, width) to the same shape."""
        batch, count, width = tokens.shape
        query, key, value = self.qkv(tokens).reshape(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value)
        output: Tensor = self.project(mixed.transpose(1, 2).reshape(batch, count, width))
        return output


class TransformerBlock(nn.Module):
    """Attention, then a two-layer network for each token, each on normed tokens and added to them (pre-norm)."""

    def __init__(self, spec: VisionTransformer, drop_path: float) -> None:
        super().__init__()
        self.norm1 = TokenNorm(spec.width, eps=spec.norm_epsilon)
        self.attention = Attention(spec.width, spec.heads)
        self.norm2 = TokenNorm(spec.width, eps=spec.norm_epsilon)
        self.widen = TokenLinear(spec.width, spec.hidden_channels())
        self.narrow = TokenLinear(spec.hidden_channels(), spec.width)
        self.drop_path = drop_path

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, tokens, width) to the same shape."""
        tokens = tokens + drop_branch(self.attention(self.norm1(tokens)), self.drop_path, self.training)
        thought = self.narrow(F.gelu(self.widen(self.norm2(tokens))))
        return tokens + drop_branch(thought, self.drop_path, self.training)


class ClassTokenHead(nn.Module):
    """The features are the class token's, normed."""

    def __init__(self, spec: VisionTransformer) -> None:
        super().__init__()
        self.norm = TokenNorm(spec.width, eps=spec.norm_epsilon)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, tokens, width) to (N, width)."""
        features: Tensor = self.norm(tokens[:, 0])
        return features


def transformer_parts(spec: VisionTransformer, in_channels: int) -> tuple[nn.Module, list[nn.Module], nn.Module]:
    """Stem, stages (a block each) and head."""
    blocks: list[nn.Module] = [
        TransformerBlock(spec, spec.drop_path * index / spec.depth) for index in range(spec.depth)
    ]
    head = ClassTokenHead(spec)
    for module in (module for block in blocks for module in block.modules()):
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
    return Patches(spec, in_channels), blocks, head
