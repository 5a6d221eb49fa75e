"""What SimCLR minimises: two views of an image are to be more alike than any two views of different images."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pocketvision.errors import UsageError
from pocketvision.training.mixing import Mix, Mosaic
from pocketvision.training.objective import ByTask

CONTRAST, PROJECTED = "contrast", "projected"
"""The output that the loss is of, as if a task put it out."""


def alike(projected: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """From (2 N, D), the views of an image one after the other, to cosines over the temperature, (2 N, 2 N), minus infinity for a
    row with itself, and each row's partner, (2 N)."""
    directions = F.normalize(projected.float(), dim=1)
    cosines = directions @ directions.T / temperature
    rows = torch.arange(len(cosines))
    cosines = cosines.masked_fill(torch.eye(len(cosines), dtype=torch.bool), -torch.inf)
    return cosines, rows ^ 1


def nt_xent(projected: Tensor, temperature: float) -> Tensor:
    """The normalised, temperature-scaled cross-entropy (Chen et al. 2020, https://arxiv.org/abs/2002.05709, equation 1), in nats,
    the mean over all rows of (2 N, D). By logsumexp: small temperatures do not overflow."""
    cosines, partners = alike(projected, temperature)
    own = cosines.gather(1, partners[:, None])[:, 0]
    return (torch.logsumexp(cosines, dim=1) - own).mean()


@dataclass(frozen=True)
class NtXent:
    """The objective (engine.Minimised); it has no targets."""

    temperature: float

    def loss(self, outputs: ByTask, targets: Any) -> Tensor:
        del targets
        return nt_xent(outputs[CONTRAST][PROJECTED], self.temperature)

    def right(self, outputs: ByTask, targets: Any) -> tuple[int, int]:
        """Views whose nearest other view is of the same image."""
        del targets
        cosines, partners = alike(outputs[CONTRAST][PROJECTED].detach(), self.temperature)
        return int((cosines.argmax(dim=1) == partners).sum()), len(partners)

    def mixed(self, targets: Any, mix: Mix | Mosaic) -> Any:
        del targets, mix
        raise UsageError("Views without labels are not mixed: set mixup, cutmix and mosaic to 0.")
