"""The one network class of every family: a stem, stages built from an architecture's rows, a head and a classifier."""

import copy
import math

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pocketvision.errors import UsageError
from pocketvision.models.blocks import ACTIVATIONS, Block, ConvNormAct
from pocketvision.models.spec import Architecture, StageRow


class Network(nn.Module):
    """A classifier built from `architecture`, weights drawn from torch's global random state.

    A *cut* is the number of stages below it: `trunk(images, cut)` is what may be frozen and cached, `tail(activations,
    cut)` the rest up to the pooled features. `channels[cut]` and `strides[cut]` describe the activations at a cut.
    `checkpointing`: in training, keep only the stages' ends and compute what lies between them again for the gradients
    (Chen et al., 2016): less memory, about a third more time, the same gradients.
    `dropout` None takes the architecture's.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        dropout: float | None = None,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.channels = architecture.trunk_channels()
        self.strides = architecture.trunk_strides()
        self.cuts = range(len(architecture.stages) + 1)
        self.feature_channels = architecture.feature_channels()

        self.checkpointing = False

        self.stem = _conv_norm_act(
            architecture, in_channels, self.channels[0], kernel=3, stride=architecture.stem_stride
        )
        rows, drop_paths = architecture.scaled_stages(), architecture.drop_paths()
        self.stages = nn.ModuleList(
            _stage(architecture, inputs, row, drops)
            for inputs, row, drops in zip(self.channels, rows, drop_paths, strict=False)
        )
        self.head = Head(architecture)
        for module in self.modules():
            _initialise(module)
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
        """The stem and the first `cut` stages: (N, 3, H, W) to (N, channels[cut], ceil(H / strides[cut]), ...)."""
        self._check_cut(cut)
        activations: Tensor = self.stem(images)
        return self._through(activations, 0, cut)

    def tail(self, activations: Tensor, cut: int) -> Tensor:
        """From the trunk to the pooled features: (N, channels[cut], h, w) to (N, feature_channels)."""
        self._check_cut(cut)
        features: Tensor = self.head(self._through(activations, cut, len(self.stages)))
        return features

    def pyramid(self, images: Tensor) -> dict[int, Tensor]:
        """The deepest activations at every stride, by stride: what detectors and segmenters are built on."""
        activations = self.trunk(images, 0)
        levels = {self.strides[0]: activations}
        for cut in self.cuts[1:]:
            activations = levels[self.strides[cut]] = self._through(activations, cut - 1, cut)
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


def _conv_norm_act(
    architecture: Architecture, in_channels: int, out_channels: int, *, kernel: int, stride: int
) -> ConvNormAct:
    return ConvNormAct(
        in_channels,
        out_channels,
        kernel,
        stride=stride,
        padding=architecture.padding,
        norm_epsilon=architecture.norm_epsilon,
        activation=architecture.activation,
    )


def _stage(architecture: Architecture, in_channels: int, row: StageRow, drop_paths: tuple[float, ...]) -> nn.Sequential:
    """The `row.repeats` blocks of a (scaled) row: the first takes the stride and the change of channels."""
    return nn.Sequential(
        *(
            Block(
                architecture,
                row,
                in_channels if index == 0 else row.channels,
                stride=row.stride if index == 0 else 1,
                drop_path=drop_paths[index],
            )
            for index in range(row.repeats)
        )
    )


class Head(nn.Module):
    """From the last stage's activations to pooled features: a 1x1 convolution or none, the mean over the image, and in
    MobileNetV3 a linear layer after it (section 5.1: the same function before pooling would cost 49 times as much)."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        channels, wide = architecture.trunk_channels()[-1], architecture.scaled_head_channels()
        self.conv = _conv_norm_act(architecture, channels, wide, kernel=1, stride=1) if wide else nn.Identity()
        hidden = architecture.hidden_channels
        self.linear = nn.Linear(wide or channels, hidden) if hidden else nn.Identity()
        self.act = ACTIVATIONS[architecture.activation]() if hidden else nn.Identity()

    def forward(self, activations: Tensor) -> Tensor:
        """(N, channels, h, w) to (N, features)."""
        pooled = self.conv(activations).mean((2, 3))
        features: Tensor = self.act(self.linear(pooled.to(_dtype_of(self.linear, pooled))))
        return features


def _dtype_of(module: nn.Module, otherwise: Tensor) -> torch.dtype:
    """The precision of a layer's weights, or of `otherwise` when it has none."""
    return module.weight.dtype if isinstance(module, nn.Linear) else otherwise.dtype


def _classifier(feature_channels: int, num_classes: int, dropout: float) -> nn.Sequential:
    if num_classes < 1:
        raise UsageError(f"A classifier needs at least 1 class, not {num_classes}.")
    linear = nn.Linear(feature_channels, num_classes)
    # Small and centred: a new classifier on pre-trained features begins near equal probabilities.
    nn.init.normal_(linear.weight, std=0.01)
    nn.init.zeros_(linear.bias)
    return nn.Sequential(nn.Dropout(dropout), linear)


@torch.no_grad()
def _initialise(module: nn.Module) -> None:
    """EfficientNet's start: convolutions normal with variance 2 / fan-out, where fan-out counts a group's outputs."""
    if isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
