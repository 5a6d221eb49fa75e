"""The one network class of every family: a stem, stages, a head, all made by the spec's kind, and a classifier."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pocketvision.errors import UsageError
from pocketvision.models.blocks import ConvNormAct
from pocketvision.models.convolutional import convolutional_parts
from pocketvision.models.spec import Architecture, ModelSpec
from pocketvision.models.timm_backbone import TimmBackbone
from pocketvision.models.timm_names import require_timm
from pocketvision.models.transformer import transformer_parts
from pocketvision.models.vit import VisionTransformer

# A stem (images to activations), stages (activations to activations) and a head (activations to pooled features).
Parts = tuple[nn.Module, list[nn.Module], nn.Module]


def _timm_parts(spec: TimmBackbone, in_channels: int) -> Parts:
    require_timm(spec.name)
    from pocketvision.models.timm_parts import timm_parts

    return timm_parts(spec, in_channels)


PARTS: dict[type, Callable[[Any, int], Parts]] = {
    Architecture: convolutional_parts,
    VisionTransformer: transformer_parts,
    TimmBackbone: _timm_parts,
}
"""What builds each kind of spec, from the spec and the number of input channels."""


class Network(nn.Module):
    """A classifier built from `architecture`, weights drawn from torch's global random state.

    A *cut* is the number of stages below it: `trunk(images, cut)` is what may be frozen and cached, `tail(activations,
    cut)` the rest up to the pooled features. `channels[cut]` and `strides[cut]` describe the activations at a cut.
    Activations are (N, channels, h, w); a transformer's are tokens, (N, 1 + h * w, channels), the class token first.
    `checkpointing`: in training, keep only the stages' ends and compute what lies between them again for the gradients
    (Chen et al., 2016): less memory, about a third more time, the same gradients.
    `dropout` None takes the architecture's.
    """

    def __init__(
        self, architecture: ModelSpec, *, num_classes: int = 1000, in_channels: int = 3, dropout: float | None = None
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.channels = architecture.trunk_channels()
        self.strides = architecture.trunk_strides()
        self.feature_channels = architecture.feature_channels()
        self.checkpointing = False
        stem, stages, head = PARTS[type(architecture)](architecture, in_channels)
        self.stem, self.stages, self.head = stem, nn.ModuleList(stages), head  # in the order they run
        self.cuts = range(len(stages) + 1)
        self.classifier = _classifier(
            self.feature_channels, num_classes, architecture.dropout if dropout is None else dropout
        )

    @property
    def num_classes(self) -> int:
        """Outputs of the classifier."""
        linear = self.classifier[1]
        assert isinstance(linear, nn.Linear)
        return linear.out_features

    def forward(self, images: Tensor) -> Tensor:
        """Preprocessed images (N, 3, H, W) to logits (N, classes)."""
        logits: Tensor = self.classifier(self.tail(self.trunk(images, 0), 0))
        return logits

    def trunk(self, images: Tensor, cut: int) -> Tensor:
        """The stem and the first `cut` stages: (N, 3, H, W) to activations."""
        self._check_cut(cut)
        activations: Tensor = self.stem(images)
        return self._through(activations, 0, cut)

    def tail(self, activations: Tensor, cut: int) -> Tensor:
        """From the trunk to the pooled features: activations to (N, feature_channels)."""
        self._check_cut(cut)
        features: Tensor = self.head(self._through(activations, cut, len(self.stages)))
        return features

    def pyramid(self, images: Tensor) -> dict[int, Tensor]:
        """The deepest activations at every stride, by stride, as (N, channels, ceil(H / stride), ceil(W / stride)): what
        detectors and segmenters are built on. A transformer has one level, its patches without the class token. Networks of
        timm's that do not pad (Inception) give some pixels less.

        Raises UsageError for one of timm's whose activations are no map (some keep the class token alone).
        """
        activations = self.trunk(images, 0)
        deepest = {self.strides[0]: (activations, self.channels[0])}
        for cut in self.cuts[1:]:
            activations = self._through(activations, cut - 1, cut)
            deepest[self.strides[cut]] = activations, self.channels[cut]
        levels = {}
        for stride, (activations, channels) in deepest.items():
            height, width = (-(-side // stride) for side in images.shape[2:])
            level = _as_map(activations, channels, height, width)
            if level is None:
                raise UsageError(
                    f"{self.architecture.name} has no pyramid: what comes out at stride {stride} is {tuple(activations.shape)}, "
                    f"no map of {channels} channels."
                )
            levels[stride] = level
        return levels

    def _through(self, activations: Tensor, first: int, last: int) -> Tensor:
        """Through the stages from `first` up to `last`."""
        for stage in self.stages[first:last]:
            if self.checkpointing and torch.is_grad_enabled():
                activations = checkpoint(stage, activations, use_reentrant=False)
            else:
                activations = stage(activations)
        return activations

    def _check_cut(self, cut: int) -> None:
        if cut not in self.cuts:
            raise UsageError(
                f"{self.architecture.name} has no cut {cut}. Expected 0 to {self.cuts[-1]} (stages below it)."
            )


def reset_classifier(network: Network, num_classes: int, dropout: float | None = None) -> None:
    """Give `network` a new, randomly initialised classifier; `dropout` None keeps its dropout probability."""
    current = network.classifier[0]
    if not isinstance(current, nn.Dropout):
        raise TypeError("the classifier is Sequential(Dropout, Linear)")
    device = next(network.parameters()).device
    network.classifier = _classifier(
        network.feature_channels, num_classes, current.p if dropout is None else dropout
    ).to(device)


def fold_norms(network: Network) -> Network:
    """A copy in eval mode with every batch norm folded into its convolution: what is exported. Same answers."""
    folded = copy.deepcopy(network).eval()
    for module in folded.modules():
        if isinstance(module, ConvNormAct):
            module.fold()
    return folded


def _as_map(activations: Tensor, channels: int, height: int, width: int) -> Tensor | None:
    """Tokens, but the class token, back in their places; channels from the last axis to the first. None when neither is it."""
    if activations.ndim == 4:
        if activations.shape[1] == channels:
            return activations
        return activations.permute(0, 3, 1, 2) if activations.shape[3] == channels else None
    if activations.shape[1] < height * width:
        return None
    tokens = activations[:, -height * width :].transpose(1, 2)
    return tokens.reshape(tokens.shape[0], channels, height, width)


def _classifier(feature_channels: int, num_classes: int, dropout: float) -> nn.Sequential:
    if num_classes < 1:
        raise UsageError(f"A classifier needs at least 1 class, not {num_classes}.")
    linear = nn.Linear(feature_channels, num_classes)
    # Small and centred: a new classifier on pre-trained features begins near equal probabilities.
    nn.init.normal_(linear.weight, std=0.01)
    nn.init.zeros_(linear.bias)
    return nn.Sequential(nn.Dropout(dropout), linear)
