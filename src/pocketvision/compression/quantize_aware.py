"""Quantization-aware tuning: all weights learn on while 8 bits are played through in float32 (Jacob et al. 2018, section 3,
https://arxiv.org/abs/1712.05877). What comes of it is a float network again, which stands the static tools' rounding better."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from pocketvision.errors import MissingExtraError
from pocketvision.export.quiet import quiet
from pocketvision.models.network import Network, fold_norms
from pocketvision.progress import StepProgress
from pocketvision.training.objective import Objective, Targets
from pocketvision.training.tuning import TuneSettings, tune

OBSERVED = 0.7
"""The share of the steps in which the ranges of activations are followed; then they stand still, and the weights settle."""


class RoundingNetwork(nn.Module):
    """A network's graph with every weight and activation that 8-bit runtimes round put to the nearest of 256 steps, by torchao's
    fake quantization; gradients pass the rounding as if it were not there. Parameters keep the network's names.

    The network is traced as it answers: without dropout, and batch norms, where any are left, with their statistics as they are.
    Raises MissingExtraError without torchao.
    """

    def __init__(self, network: Network, size: tuple[int, int]) -> None:
        super().__init__()
        with quiet():
            try:
                from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e

                from pocketvision.compression.rounding import Rounding
            except ImportError:
                raise MissingExtraError("Tuning for 8 bits", "tune") from None
            program = torch.export.export(
                copy.deepcopy(network).eval(),
                (torch.zeros(2, 3, *size),),
                dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
            )
            self.graph = prepare_qat_pt2e(program.module(), Rounding())

    def forward(self, images: Tensor) -> Any:
        """(N, 3, H, W) to what the network's forward gives. Ranges follow what is seen until `stop_observing`."""
        return self.graph(images)

    def train(self, mode: bool = True) -> "RoundingNetwork":
        """As it is: a traced graph has its mode built in, and torchao's refuses to be asked."""
        del mode
        return self

    def stop_observing(self) -> None:
        """Leave the ranges of activations as they are. Those of weights, which the static tools take from the weights
        themselves, go on being followed."""
        from torchao.quantization.pt2e import FakeQuantizeBase

        for module in self.graph.modules():
            if isinstance(module, FakeQuantizeBase) and not module.is_per_channel:
                module.disable_observer()

    def weights(self) -> dict[str, Tensor]:
        """Every parameter, in float32, under its name in the network."""
        return {name: parameter.detach() for name, parameter in self.graph.named_parameters()}


def tune_for_8_bits(
    network: Network,
    batches: Iterable[tuple[Tensor, Targets]],
    settings: TuneSettings,
    *,
    objective: Objective,
    size: tuple[int, int],
    teacher: nn.Module | None = None,
    on_step: Callable[[StepProgress], None] = lambda _: None,
) -> Network:
    """A tuned copy of `network` in eval mode, batch norms folded into its convolutions; `network` stays as it is.

    objective, batches: what is learned, as in `tune`. size: height and width of the images. teacher: a network whose answers are
    half of what is learned. Raises MissingExtraError, TrainingError.
    """
    tuned = fold_norms(network).requires_grad_(True)
    rounding = RoundingNetwork(tuned, size)
    last_observed = round(OBSERVED * settings.steps)

    def after_each(step: StepProgress) -> None:
        if step.step == last_observed:
            rounding.stop_observing()
        on_step(step)

    tune(rounding, batches, settings, objective=objective, teacher=teacher, on_step=after_each)
    weights = rounding.weights()
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            parameter.copy_(weights[name])
    return tuned
