"""What a phase trains of a network, from features by name to what the heads put out, and which of it learns.

Normalisation statistics stay as they were pre-trained: batches of a small data set estimate them badly, and with them fixed every
norm folds into its convolution (models/blocks.py). From a random start there is nothing to keep: the whole network learns,
statistics too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from pocketvision.errors import UsageError
from pocketvision.models.features import CUT
from pocketvision.models.network import Network, fold_norms
from pocketvision.training.averaging import load, require_same_shapes
from pocketvision.training.device import returned, sent
from pocketvision.training.growing import grows_alone
from pocketvision.training.inputs import IMAGES, Names
from pocketvision.training.objective import ByTask
from pocketvision.training.optimizer import HEADS
from pocketvision.training.settings import PhaseSettings

WHOLE = -1
"""Not a cut: everything learns, the stem too, from images."""


class PhaseModel(nn.Module):
    """From inputs by name to what the heads put out, by task and role. Heads alone have a training mode: the backbone's norms
    keep the statistics they came with."""

    learning_norms = HEADS
    """What the names of the norms begin with that learn their statistics."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def train(self, mode: bool = True) -> "PhaseModel":
        super().train(False)
        self.network.heads.train(mode)
        return self

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        return next(self.network.parameters()).device

    def forward(self, inputs: Mapping[str, Tensor]) -> ByTask:
        """What the heads put out for a batch; both are on the CPU, wherever the network lies."""
        device = self.device
        return self.outputs(inputs) if device.type == "cpu" else returned(self.outputs(sent(inputs, device)))

    def outputs(self, inputs: Mapping[str, Tensor]) -> ByTask:
        """The same on the network's device."""
        return self.network.on_features(self.features(inputs))

    def features(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """What the heads read of a batch, by name."""
        raise NotImplementedError

    def for_validation(self) -> "PhaseModel":
        """What is validated: a model of the same function that runs fast without gradients."""
        return self

    def statistics(self) -> dict[str, Tensor]:
        """The running means and variances of the norms that learn them, by name."""
        return {
            name: buffer
            for name, buffer in self.named_buffers()
            if buffer.is_floating_point() and name.startswith(self.learning_norms)
        }

    def load_trained(self, weights: Mapping[str, Tensor]) -> None:
        """Raises TrainingError for weights of other shapes."""
        own = {name: each for name, each in (*self.named_parameters(), *self.named_buffers()) if name in weights}
        require_same_shapes(own, weights)
        load(own, weights)


class HeadsOnFeatures(PhaseModel):
    """The heads alone, on features that the frozen backbone gives."""

    def features(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return inputs


class TailOnActivations(PhaseModel):
    """What lies above a cut, on activations there. size: the images' height and width."""

    def __init__(self, network: Network, cut: int, precision: torch.dtype, size: tuple[int, int]) -> None:
        super().__init__(network)
        self.cut = cut
        self.precision = precision
        self.size = size

    def for_validation(self) -> "TailOnActivations":
        """As it will be shipped: norms folded, in float32."""
        return TailOnActivations(fold_norms(self.network), self.cut, torch.float32, self.size)

    def features(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        cast = {**inputs, CUT: inputs[CUT].to(self.precision)}
        return self.network.above(cast, self.cut, self.network.features_read, size=self.size)


class FromImages(PhaseModel):
    """The whole network, whose backbone's norms keep their statistics."""

    def __init__(self, network: Network, precision: torch.dtype = torch.float32) -> None:
        super().__init__(network)
        self.precision = precision

    def laid_out(self, images: Tensor) -> Tensor:
        """As the network's weights are in memory; pictures come channels-last."""
        weight = next((each for each in self.network.stem.parameters() if each.ndim == 4), None)
        plain = weight is not None and not weight.is_contiguous(memory_format=torch.channels_last)
        return images.contiguous() if plain else images

    def for_validation(self) -> "FromImages":
        """As it will be shipped: norms folded, in float32."""
        return FromImages(fold_norms(self.network))

    def features(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        images = self.laid_out(inputs[IMAGES]).to(self.precision)
        return self.network.features(images, self.network.features_read)


class FromScratch(FromImages):
    """The whole network, statistics too. precision: of its convolutions; in bfloat16 u_net_small learns from a picture of 512
    pixels in 0.47 s of one core, in float32 in 1.0 s."""

    learning_norms = "network."

    def features(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return self.network.features(self.laid_out(inputs[IMAGES]), self.network.features_read)

    def outputs(self, inputs: Mapping[str, Tensor]) -> ByTask:
        device = inputs[IMAGES].device.type
        with torch.autocast(device, self.precision, enabled=self.precision != torch.float32):
            made = super().outputs(inputs)
        if self.precision == torch.float32:
            return made
        return {task: {role: _full(values) for role, values in roles.items()} for task, roles in made.items()}

    def train(self, mode: bool = True) -> "FromScratch":
        nn.Module.train(self, mode)
        return self


def _full(values: Tensor) -> Tensor:
    """In float32 where they are in half precision: in that a loss would tell three digits, and scaled it would overflow."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


@dataclass(frozen=True, eq=False)
class Part:
    """What a phase trains, and the names of what it is fed."""

    settings: PhaseSettings
    model: PhaseModel
    names: Names

    @property
    def learns_statistics(self) -> bool:
        return self.names == [IMAGES] or bool(self.model.statistics())

    def depth_of(self, parameter: str) -> int:
        """How many stages stand above a parameter of the model; the heads and the backbone's own head stand above all."""
        part, _, rest = parameter.removeprefix("network.").partition(".")
        stages = len(self.model.network.stages)
        return {"heads": 0, "head": 0, "stem": stages + 1}.get(part) or (
            stages - int(rest.split(".")[0]) if part == "stages" else 0
        )


def part_of(
    network: Network, settings: PhaseSettings, *, from_scratch: bool, precision: torch.dtype, size: tuple[int, int]
) -> Part:
    """What this phase trains; what is trainable of `network` is set. size: the images' height and width."""
    network.checkpointing = settings.checkpointing
    if from_scratch:
        network.requires_grad_(True)
        return Part(settings, FromScratch(network, precision), [IMAGES])
    if settings.unfreeze == 0:
        network.requires_grad_(False)
        network.heads.requires_grad_(True)
        return Part(settings, HeadsOnFeatures(network), network.features_read)
    cut = cut_for(network, settings.unfreeze)
    if cut == WHOLE:
        network.requires_grad_(True)
        return Part(settings, FromImages(network, precision), [IMAGES])
    freeze_below(network, cut)
    below = [name for name in network.features_read if network.feature(name).is_below(cut)]
    return Part(settings, TailOnActivations(network, cut, precision, size), [CUT, *below])


def freeze_below(network: Network, cut: int) -> None:
    """Let only stages[cut:], the backbone's head and the tasks' heads learn."""
    network.requires_grad_(False)
    for module in (*network.stages[cut:], network.head, network.heads):
        module.requires_grad_(True)


def cut_for(network: Network, unfreeze: int) -> int:
    """The cut below which everything is frozen when the last `unfreeze` stages learn, WHOLE for one more than there are.
    UsageError for more than that."""
    stages = len(network.stages)
    if not 0 <= unfreeze <= stages + 1:
        raise UsageError(
            f"unfreeze is {unfreeze}: {network.architecture.name} has {stages} stages; expected 0 to {stages}, or "
            f"{stages + 1} for the stem as well."
        )
    return stages - unfreeze


def cuts_of(network: Network, phases: Sequence[PhaseSettings], *, from_scratch: bool) -> list[int]:
    """The cut at which each phase is fed, WHOLE where another model learns. Heads alone are fed from the cut of the next phase,
    so that both share what is cached; from the last one where no phase with a cut follows.

    Raises UsageError for phases that learn less than one before them, and for mosaics of cached features.
    """
    if from_scratch:
        return [WHOLE] * len(phases)
    for before, after in pairwise(phase for phase in phases if phase.model is None):
        if after.unfreeze < before.unfreeze:
            raise UsageError(
                f"phases.{after.number}.unfreeze is {after.unfreeze}, less than the {before.unfreeze} of phase {before.number}: "
                "what has learned already can not be cached again. Expected as many or more."
            )
    own = [cut_for(network, phase.unfreeze) if phase.model is None else WHOLE for phase in phases]
    deeper = [cut for cut, phase in zip(own, phases, strict=True) if phase.unfreeze and cut != WHOLE]
    shared = deeper[0] if deeper else len(network.stages)
    cuts = [cut if phase.unfreeze or phase.model else shared for cut, phase in zip(own, phases, strict=True)]
    for cut, phase in zip(cuts, phases, strict=True):
        if cut != WHOLE and (phase.size, phase.size_from, phase.strength_from) != (None, None, 1.0):
            raise UsageError(grows_alone(phase.number))
    if WHOLE not in cuts and any(phase.regularisation.mosaic for phase in phases):
        raise UsageError(
            "Mosaics are made of images, and every phase here learns from what the frozen stages make of them. Let a phase learn "
            f"everything (phases.{phases[-1].number}.unfreeze={len(network.stages) + 1}), or set regularisation.mosaic to 0."
        )
    return cuts
