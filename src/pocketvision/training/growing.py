"""Progressive learning: small pictures, weakly augmented, at the beginning of a phase, larger and stronger ones later (Tan & Le
2021, EfficientNetV2, section 4 and table 6, https://arxiv.org/abs/2104.00298)."""

from dataclasses import dataclass, replace

from torch import nn

from pocketvision.data.augment import augmentation_named
from pocketvision.errors import UsageError
from pocketvision.training.inputs import Inputs, PlainInputs
from pocketvision.training.settings import PhaseSettings

STAGES = 4
"""As many sizes as the paper takes."""
_GRID = 32
"""Pixels that sizes on the way are multiples of, where the last one is."""


@dataclass(frozen=True, eq=False)
class Growth:
    """Of a phase. dropouts: the modules and their probabilities at full strength."""

    settings: PhaseSettings
    dropouts: tuple[tuple[nn.Dropout, float], ...]

    @classmethod
    def of(cls, settings: PhaseSettings, model: nn.Module) -> "Growth":
        return cls(settings, tuple((each, each.p) for each in model.modules() if isinstance(each, nn.Dropout)))

    def share(self, epoch: int) -> float:
        """How far it has grown in an epoch (from 1), in [0, 1], in STAGES steps."""
        stages = min(STAGES, self.settings.epochs)
        return 1.0 if stages < 2 else min((epoch - 1) * stages // self.settings.epochs, stages - 1) / (stages - 1)

    def strength(self, epoch: int) -> float:
        """Of augmentation and dropout, as a share of the whole."""
        first = self.settings.strength_from
        return first + (1 - first) * self.share(epoch)

    def size(self, epoch: int, whole: int) -> int:
        """Of the pictures; `whole` is that of the validation."""
        last = self.settings.size or whole
        first = last if self.settings.size_from is None else min(self.settings.size_from, last)
        grown = first + (last - first) * self.share(epoch)
        return last if grown == last else max(first, int(grown // _GRID * _GRID))

    def inputs(self, inputs: Inputs, epoch: int) -> Inputs:
        """Of an epoch; dropout is set for it. UsageError where pictures are fed from a cache of one size."""
        settings = self.settings
        if settings.size is None and settings.size_from is None and settings.strength_from == 1:
            return inputs
        if not isinstance(inputs, PlainInputs):
            raise UsageError(grows_alone(settings.number))
        for module, probability in self.dropouts:
            module.p = probability * self.strength(epoch)
        images = inputs.images
        side = self.size(epoch, max(images.preprocessing.width, images.preprocessing.height))
        ranges = images.augmentation
        ranges = (augmentation_named(ranges) if isinstance(ranges, str) else ranges).at(self.strength(epoch))
        return inputs.showing(replace(images, preprocessing=images.preprocessing.with_size(side), augmentation=ranges))

    def ended(self) -> None:
        """Full strength again."""
        for module, probability in self.dropouts:
            module.p = probability


def grows_alone(number: int) -> str:
    """Why a phase on cached features can not grow, and what can."""
    return (
        f"phases.{number}.size, size_from and strength_from are of phases that learn from pictures: this one learns from what "
        f"frozen stages make of them at one size. Let it learn everything (phases.{number}.unfreeze=-1), or start at random."
    )
