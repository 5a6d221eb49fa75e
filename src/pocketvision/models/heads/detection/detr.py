"""DETR (Carion et al., 2020, https://arxiv.org/abs/2005.12872): a transformer reads the deepest map and answers a fixed number of
questions, each with one object or none, so that nothing has to be suppressed.

As in the paper, section 3.2 and appendix A.3: 256 channels, 8 heads, 2,048 hidden numbers, 100 queries, sines for places, norms
after each sum. It has 3 + 3 layers here, and the paper's 6 + 6 as `detr_6`. Two things that can not change an answer are left
out: biases of keys, and the first attention of the first decoder layer, whose input is 0.
"""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketvision.errors import UsageError
from pocketvision.models.features import Feature
from pocketvision.models.heads.detection.yolo_v1 import deepest
from pocketvision.models.heads.head import Head

WIDTH, HEADS, HIDDEN = 256, 8, 2048
QUERIES = 100
TEMPERATURE = 10_000
"""How much slower the slowest sine of a place is than the fastest."""

REMARK = (
    "The head detr needs much data and long training: its paper's is 118,000 pictures for 500 epochs, and of a few hundred it "
    "finds little (docs/detection.md has curves). Give it more pictures and phases.1.epochs=500, or take the head grid."
)
"""Said when its training begins."""

RATE = 2e-4
"""The paper takes 1e-4 for steps of 64 pictures; docs/detection.md has a curve at this one for steps of 16."""


class Attention(nn.Module):
    """What each query takes of the values, by how well their keys fit it (Vaswani et al., 2017, section 3.2.2)."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH, bias=False)
        self.value, self.project = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """(N, q, WIDTH), (N, k, WIDTH) and as many values to (N, q, WIDTH)."""
        query, key, value = self.query(queries), self.key(keys), self.value(values)
        apart = (each.unflatten(2, (HEADS, -1)).transpose(1, 2) for each in (query, key, value))
        taken = F.scaled_dot_product_attention(*apart)
        output: Tensor = self.project(taken.transpose(1, 2).flatten(2))
        return output


class Thought(nn.Sequential):
    """Two layers for each token."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(WIDTH, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, WIDTH))


class EncoderLayer(nn.Module):
    """The places of the map told of each other."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.attention, self.thought = Attention(), Thought()
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, places: Tensor) -> Tensor:
        """(N, h * w, WIDTH) and where each is, (1, h * w, WIDTH), to as many tokens."""
        first, second = self.norms
        asked = tokens + places
        tokens = first(tokens + self.dropout(self.attention(asked, asked, tokens)))
        output: Tensor = second(tokens + self.dropout(self.thought(tokens)))
        return output


class DecoderLayer(nn.Module):
    """The answers told of each other, where they `talk`, and of the map."""

    def __init__(self, dropout: float, *, talk: bool) -> None:
        super().__init__()
        self.talk = Attention() if talk else None
        self.talk_norm = nn.LayerNorm(WIDTH) if talk else None
        self.look, self.thought = Attention(), Thought()
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, answers: Tensor, queries: Tensor, tokens: Tensor, placed: Tensor) -> Tensor:
        """Answers and queries (N, QUERIES, WIDTH), tokens alone and with their places (N, h * w, WIDTH), to answers."""
        if self.talk is not None and self.talk_norm is not None:
            asked = answers + queries
            answers = self.talk_norm(answers + self.dropout(self.talk(asked, asked, answers)))
        first, second = self.norms
        answers = first(answers + self.dropout(self.look(answers + queries, placed, tokens)))
        output: Tensor = second(answers + self.dropout(self.thought(answers)))
        return output


class DetrHead(nn.Module):
    """From one map to `query_logits` (N, QUERIES, classes + 1), the last of them for nothing, and `query_boxes`
    (N, QUERIES, 4): centre x and y, width and height in shares of the input; the same of the decoder's earlier layers,
    `auxiliary_logits` and `auxiliary_boxes` (N, layers - 1, QUERIES, …); and `sides` (N, 2), the input's in pixels.

    layers: of the encoder, and of the decoder, at least 2. Raises UsageError for no classes, and for what is not one map.
    """

    def __init__(self, features: tuple[Feature, ...], classes: int, dropout: float, layers: int) -> None:
        super().__init__()
        if classes < 1:
            raise UsageError(f"A detector needs at least 1 class, not {classes}.")
        if len(features) != 1 or features[0].stride is None:
            named = ", ".join(each.name for each in features)
            raise UsageError(f"DETR reads one map; it was given {named}.")
        self.name, self.stride = features[0].name, features[0].stride
        self.narrow = nn.Conv2d(features[0].channels, WIDTH, 1)
        self.encoder = nn.ModuleList(EncoderLayer(dropout) for _ in range(layers))
        self.decoder = nn.ModuleList(DecoderLayer(dropout, talk=place > 0) for place in range(layers))
        self.norm = nn.LayerNorm(WIDTH)
        self.queries = nn.Parameter(torch.randn(1, QUERIES, WIDTH))
        self.classify = nn.Linear(WIDTH, classes + 1)
        self.locate = nn.Sequential(
            nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 4)
        )
        for layer in (*self.encoder.modules(), *self.decoder.modules()):
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """In the precision of the weights; sides always in float32."""
        level = self.narrow(features[self.name].to(self.queries.dtype))
        count, _, height, width = level.shape
        places = sines(height, width).to(level)[None]
        tokens = level.flatten(2).transpose(1, 2)
        for layer in self.encoder:
            tokens = layer(tokens, places)
        queries, placed, layers = self.queries.expand(count, -1, -1), tokens + places, []
        answers = torch.zeros_like(queries)
        for layer in self.decoder:
            answers = layer(answers, queries, tokens, placed)
            normed = self.norm(answers)
            layers.append((self.classify(normed), torch.sigmoid(self.locate(normed))))
        (*earlier, (logits, boxes)) = layers
        sides = torch.tensor([width * self.stride, height * self.stride], dtype=torch.float32, device=level.device)
        return {
            "query_logits": logits,
            "query_boxes": boxes,
            "auxiliary_logits": torch.stack([each for each, _ in earlier], dim=1),
            "auxiliary_boxes": torch.stack([each for _, each in earlier], dim=1),
            "sides": sides.expand(count, -1),
        }

    def decode(self, outputs: Mapping[str, Tensor], postprocessing: Mapping[str, Any]) -> dict[str, Tensor]:
        """`boxes` (N, QUERIES, 4), left, top, right and bottom in the input's pixels, and `scores` (N, QUERIES, classes): each
        class's share beside the others' and that of nothing."""
        del postprocessing
        return shipped(outputs)


def shipped(outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`boxes` and `scores` of what the head gives to learn from."""
    boxes = corners(outputs["query_boxes"].float()) * outputs["sides"].repeat(1, 2)[:, None]
    return {"boxes": boxes, "scores": outputs["query_logits"].float().softmax(dim=2)[..., :-1]}


def corners(boxes: Tensor) -> Tensor:
    """(..., 4) centre and sides to left, top, right and bottom."""
    centres, halves = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centres - halves, centres + halves], dim=-1)


def sines(height: int, width: int) -> Tensor:
    """(height * width, WIDTH) where each place of a map is, row by row: half of the numbers say how far down and half how far to
    the right, as sines and cosines in turn of 2 pi times the share of the map that ends there, each pair slower than the one
    before (appendix A.4 of the paper, normalised as in its code)."""
    half = WIDTH // 2
    slower = TEMPERATURE ** (2 * torch.arange(half // 2) / half)
    down, across = (2 * math.pi * torch.arange(1, side + 1) / side for side in (height, width))
    said = [
        torch.stack([angles.sin(), angles.cos()], -1).flatten(1)
        for angles in (down[:, None] / slower, across[:, None] / slower)
    ]
    rows = said[0][:, None].expand(-1, width, -1)
    columns = said[1][None].expand(height, -1, -1)
    return torch.cat([rows, columns], dim=2).flatten(0, 1)


def _row(name: str, layers: int) -> Head:
    return Head(name, "detection", (), ("boxes", "scores"), partial(DetrHead, layers=layers), deepest, REMARK, RATE)


ROWS = (_row("detr", 3), _row("detr_6", 6))
"""With 3 + 3 layers, and with the paper's 6 + 6."""
