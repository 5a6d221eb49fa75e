"""How bright spots are learned: what a cell of each level should say, the loss, and the threshold that ships."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from bright_spots.head import LEVELS
from bright_spots.truth import Points
from pocketvision.errors import UsageError
from pocketvision.preprocessing import Placement
from pocketvision.training.learner import LearnerOptions, LearnerRow, Outputs, Validated
from pocketvision.training.mixing import Mix

Cells = Mapping[str, Tensor]
"""By role (N, h, w): 1 where a spot is."""


@dataclass(frozen=True)
class SpotLearner:
    """spots: how much more a cell with one weighs."""

    spots: float = 4.0

    def targets(self, truth: Points, rows: NDArray[np.int64], placements: Sequence[Placement]) -> Cells:
        width, height = placements[0].input_size
        found = {role: torch.zeros(len(rows), height // each, width // each) for role, (_, each) in LEVELS.items()}
        for place, (row, placement) in enumerate(zip(rows.tolist(), placements, strict=True)):
            for x, y in truth.through(row, placement).rows.columns["xy"].tolist():
                if 0 <= x < width and 0 <= y < height:
                    for role, (_, stride) in LEVELS.items():
                        found[role][place, int(y // stride), int(x // stride)] = 1
        return found

    def loss(self, outputs: Outputs, targets: Cells) -> dict[str, Tensor]:
        weight = torch.tensor(self.spots)
        return {
            role: F.binary_cross_entropy_with_logits(outputs[role], targets[role], pos_weight=weight) for role in LEVELS
        }

    def right(self, outputs: Outputs, targets: Cells) -> tuple[int, int]:
        same = (outputs["fine"] > 0) == (targets["fine"] > 0)
        return int(same.sum()), same.numel()

    def mixed(self, targets: Cells, mix: Mix) -> Cells:
        del targets, mix
        raise UsageError("Spots of two images can not be mixed: leave MixUp and CutMix out.")

    def record(self, outputs: Outputs, targets: Cells) -> tuple[float, Tensor, Tensor]:
        loss = sum(part.item() for part in self.loss(outputs, targets).values())
        return loss, outputs["fine"].flatten(), targets["fine"].flatten() > 0

    def validated(self, records: Sequence[tuple[float, Tensor, Tensor]]) -> Validated:
        """The loss, and the F1 at the threshold that would ship."""
        scores, there = self._joined(records)
        found = scores.sigmoid() > self.calibrate(records)["threshold"]
        return Validated(sum(loss for loss, *_ in records) / len(records), _f1(found, there), "F1")

    def calibrate(self, records: Sequence[tuple[float, Tensor, Tensor]]) -> dict[str, Any]:
        """The threshold of the best F1."""
        scores, there = self._joined(records)
        return {
            "threshold": max((step / 10 for step in range(1, 10)), key=lambda at: _f1(scores.sigmoid() > at, there))
        }

    def score_of(self, outputs: Outputs, choice: int) -> Tensor:
        """Of a coarse cell."""
        return outputs["coarse"].flatten(1)[:, choice]

    def _joined(self, records: Sequence[tuple[float, Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        return torch.cat([scores for _, scores, _ in records]), torch.cat([there for *_, there in records])


def _f1(found: Tensor, there: Tensor) -> float:
    return 2 * int((found & there).sum()) / max(int(found.sum()) + int(there.sum()), 1)


def _make(options: LearnerOptions, truth: Points) -> SpotLearner:
    del options, truth
    return SpotLearner()


LEARNER = LearnerRow("spots", "two_levels", _make, fit="pad")
