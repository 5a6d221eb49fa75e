"""The building blocks all families share: padded convolution, convolution + norm + activation, squeeze-and-excitation,
and the block that a stage repeats. All tensors are (N, channels, height, width), in either memory format."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketvision.models.gradients import DepthwiseConvolution, InPlaceReLU6
from pocketvision.models.row_draws import drawn_by_row
from pocketvision.models.spec import Activation, Architecture, Gate, Padding, StageRow, has_shortcut

# In place where that saves memory: SiLU's gradient needs its input, so in place it would make a copy first.
ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    "relu": partial(nn.ReLU, inplace=True),
    "relu6": partial(nn.ReLU6, inplace=True),
    "silu": nn.SiLU,
    "hard_swish": nn.Hardswish,
}
GATES: dict[Gate, Callable[[], nn.Module]] = {"sigmoid": nn.Sigmoid, "hard_sigmoid": nn.Hardsigmoid}


class PaddedConv2d(nn.Conv2d):
    """A convolution without bias of an odd kernel whose output is ceil(input / stride) on either side.

    "symmetric" pads (kernel - 1) / 2 on every side. "same" is TensorFlow's: no more than is needed, the odd pixel to
    the right and the bottom, so it depends on the input's size. A padded copy is made only when there is an odd pixel.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int,
        groups: int,
        padding: Padding,
        dilation: int = 1,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel,
            stride,
            padding=dilation * (kernel - 1) // 2,
            dilation=dilation,
            groups=groups,
            bias=False,
        )
        self.pads_same = padding == "same" and stride > 1

    def forward(self, input: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, ceil(H / stride), ceil(W / stride)). Where it learns on a CPU, a depthwise one is the
        operation whose backward pass is cheap (gradients.py)."""
        learns = self.training and torch.is_grad_enabled() and input.device.type == "cpu"
        if learns and self.is_depthwise and self.dilation == (1, 1):
            dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else input.dtype
            images, padding = self.padded(input.to(dtype))
            bias = None if self.bias is None else self.bias.to(dtype)
            output: Tensor = DepthwiseConvolution.apply(images, self.weight.to(dtype), bias, self.stride[0], padding)
            return output
        return self.convolve(input, self.weight, self.bias)

    def convolve(self, images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """This convolution with other numbers in it: `weight` like self.weight, `bias` (out,) or None."""
        images, padding = self.padded(images)
        return F.conv2d(images, weight, bias, self.stride, padding, self.dilation, self.groups)

    def padded(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """The images, with a padding that is not the same on both sides put on, and the (vertical, horizontal) rest of it."""
        if not self.pads_same:
            return images, (self._symmetric, self._symmetric)
        top, bottom = self._same(images.shape[-2])
        left, right = self._same(images.shape[-1])
        if (top, left) == (bottom, right):
            return images, (top, left)
        return F.pad(images, (left, right, top, bottom)), (0, 0)

    @property
    def is_depthwise(self) -> bool:
        """Whether every channel has a kernel of its own."""
        return self.groups == self.in_channels == self.out_channels

    @property
    def _symmetric(self) -> int:
        return self.dilation[0] * (self.kernel_size[0] - 1) // 2

    def _same(self, size: int) -> tuple[int, int]:
        """TensorFlow's padding before and after an axis of `size` pixels."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        return total // 2, total - total // 2


class ConvNormAct(nn.Module):
    """Convolution, batch norm (or, with an epsilon of 0, a bias), activation (or none).

    Where gradients are recorded while the norm is in eval mode, its affine map is folded into the convolution on the
    fly: same function and same gradients for the convolution's weight and the norm's scale and shift, without the norm's
    own pass over the activations, forward and backward. That is what makes fine-tuning with frozen statistics cheap.
    Without gradients nothing is folded, so that answers equal other libraries' to the last bits; `fold` is for export.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        padding: Padding,
        norm_epsilon: float,
        activation: Activation | None,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        self.conv = PaddedConv2d(
            in_channels, out_channels, kernel, stride=stride, groups=groups, padding=padding, dilation=dilation
        )
        self.norm: nn.BatchNorm2d | nn.Identity = nn.Identity()
        if norm_epsilon:
            self.norm = nn.BatchNorm2d(out_channels, eps=norm_epsilon)
        else:
            self.conv.bias = nn.Parameter(torch.zeros(out_channels))
        self.act: nn.Module = nn.Identity() if activation is None else ACTIVATIONS[activation]()

    def forward(self, images: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, ceil(H / stride), ceil(W / stride))."""
        if isinstance(self.norm, nn.BatchNorm2d) and not self.norm.training and torch.is_grad_enabled():
            return self._with_gradients(images)
        output: Tensor = self.act(self.norm(self.conv(images)))
        return output

    def _with_gradients(self, images: Tensor) -> Tensor:
        """The folded form in the images' precision, by operations whose backward passes are cheap (gradients.py)."""
        weight, bias = (tensor.to(images.dtype) for tensor in self.folded())
        images, padding = self.conv.padded(images)
        if self.conv.is_depthwise and self.conv.dilation == (1, 1):
            activations = DepthwiseConvolution.apply(images, weight, bias, self.conv.stride[0], padding)
        else:
            conv = self.conv
            activations = F.conv2d(images, weight, bias, conv.stride, padding, conv.dilation, conv.groups)
        output: Tensor = InPlaceReLU6.apply(activations) if isinstance(self.act, nn.ReLU6) else self.act(activations)
        return output

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight (out, in / groups, k, k) and bias (out,) of the convolution that equals conv and eval-mode norm."""
        norm = self.norm
        if not isinstance(norm, nn.BatchNorm2d) or norm.running_var is None or norm.running_mean is None:
            raise TypeError("folded() needs a batch norm with running statistics")
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        return self.conv.weight * scale.view(-1, 1, 1, 1), norm.bias - norm.running_mean * scale

    def fold(self) -> None:
        """Replace conv and norm by that one convolution for good: for export and inference, not for training."""
        if not isinstance(self.norm, nn.Identity):
            weight, bias = self.folded()
            self.conv.weight = nn.Parameter(weight.detach())
            self.conv.bias = nn.Parameter(bias.detach())
            self.norm = nn.Identity()
        if isinstance(self.act, nn.ReLU | nn.ReLU6):
            self.act.inplace = False  # The ONNX exporter takes twice as long over operations in place.


class Stem(ConvNormAct):
    """The first convolution; `pool`: a 3x3 max-pooling of stride 2 after it."""

    def __init__(self, architecture: Architecture, in_channels: int) -> None:
        super().__init__(
            in_channels,
            architecture.scaled_stem_channels(),
            architecture.stem_kernel,
            stride=architecture.stem_stride,
            padding=architecture.padding,
            norm_epsilon=architecture.norm_epsilon,
            activation=architecture.activation,
        )
        self.pool = nn.MaxPool2d(3, stride=2, padding=1) if architecture.stem_pool else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """(N, in, H, W) to (N, channels, ceil(H / stride), ceil(W / stride))."""
        output: Tensor = self.pool(super().forward(images))
        return output


class SqueezeExcite(nn.Module):
    """Channel attention: every channel times a gate in [0, 1] computed from all channels' means (Hu et al., 2018)."""

    def __init__(self, channels: int, squeezed: int, activation: Activation, gate: Gate) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.act = ACTIVATIONS[activation]()
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.gate = GATES[gate]()

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape. The gates are computed in the weights' precision."""
        means = images.mean((2, 3), keepdim=True).to(self.reduce.weight.dtype)
        gates: Tensor = self.gate(self.expand(self.act(self.reduce(means))))
        return images * gates.to(images.dtype)


def drop_branch(branch: Tensor, probability: float, training: bool) -> Tensor:
    """In training, leave a residual branch out for each image with that probability, and make up for it when it stays
    (stochastic depth, Huang et al., 2016)."""
    if not training or probability == 0:
        return branch
    ones = [1 for _ in branch.shape[1:]]
    drawn = drawn_by_row(lambda rows: torch.rand((rows, *ones), device=branch.device, dtype=branch.dtype), len(branch))
    kept = drawn >= probability
    return branch * kept / (1 - probability)


def set_drop_path(network: nn.Module, probability: float) -> None:
    """Leave block i of n, counted from 0, out with probability * i / n in training, as the rows' `drop_path` does."""
    blocks = [each for each in network.modules() if isinstance(getattr(each, "drop_path", None), float)]
    for place, block in enumerate(blocks):
        block.drop_path = probability * place / len(blocks)  # type: ignore[assignment]


class Block(nn.Module):
    """Widen, filter, squeeze-and-excite, narrow; added to its input where the shape stays and `residual` asks for it.
    A row's `pool` stands before all, in place of the stride.

    The parts a row's kind does not have are identities: `expand` (kxk in a "fused" block, else 1x1), `depthwise` (not in
    "fused"), `squeeze`, `project` (1x1 without an activation; with one in "separable"; none in a "fused" block of expansion 1).
    In training a residual branch is left out with probability `drop_path` (drop_branch).

    Sources: Sandler et al. 2018, figure 3 (inverted); Gupta & Tan 2019 and EfficientNetV2, figure 2 (fused); Howard et al. 2017,
    figure 3 (separable).
    """

    def __init__(
        self, architecture: Architecture, row: StageRow, in_channels: int, *, stride: int, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        pools = row.pool and stride > 1
        self.pool = nn.MaxPool2d(stride, ceil_mode=True) if pools else nn.Identity()
        stride = 1 if pools else stride
        wide = architecture.expanded_channels(in_channels, row)
        activation = row.activation or architecture.activation
        conv = partial(ConvNormAct, padding=architecture.padding, norm_epsilon=architecture.norm_epsilon)
        widens, out = row.expansion != 1, row.channels
        if row.block == "fused":
            self.expand: nn.Module = conv(in_channels, wide, row.kernel, stride=stride, activation=activation)
            self.depthwise: nn.Module = nn.Identity()
            self.project: nn.Module = conv(wide, out, 1, activation=None) if widens else nn.Identity()
        else:
            self.expand = conv(in_channels, wide, 1, activation=activation) if widens else nn.Identity()
            self.depthwise = conv(
                wide, wide, row.kernel, stride=stride, groups=wide, activation=activation, dilation=row.dilation
            )
            self.project = conv(wide, out, 1, activation=activation if row.block == "separable" else None)
        squeezed = architecture.squeezed_channels(in_channels, row)
        squeeze_activation = architecture.squeeze_activation or activation
        self.squeeze = (
            SqueezeExcite(wide, squeezed, squeeze_activation, architecture.gate) if squeezed else nn.Identity()
        )
        self.residual = row.residual and stride == 1 and in_channels == out and not pools
        self.drop_path = drop_path

    def forward(self, images: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, ceil(H / stride), ceil(W / stride))."""
        images = self.pool(images)
        return self.narrowed(images, self.expand(images))

    def narrowed(self, images: Tensor, widened: Tensor) -> Tensor:
        """What follows `expand`, whose output `widened` is, where something else reads that as well."""
        output: Tensor = self.project(self.squeeze(self.depthwise(widened)))
        return images + drop_branch(output, self.drop_path, self.training) if self.residual else output


class ResidualBlock(nn.Module):
    """ResNet's: two kxk convolutions ("basic") or 1x1, kxk, 1x1 ("bottleneck"), added to the input before the last activation.

    The input is projected by `shortcut`, a 1x1 convolution without an activation, where the shape changes. A bottleneck has its
    stride in the middle, as every library's weights do, not in the first convolution as in the paper.

    Source: He et al. 2015, https://arxiv.org/abs/1512.03385, figure 5.
    """

    def __init__(
        self, architecture: Architecture, row: StageRow, in_channels: int, *, stride: int, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        activation = row.activation or architecture.activation
        conv = partial(ConvNormAct, padding=architecture.padding, norm_epsilon=architecture.norm_epsilon)
        inner, out = architecture.expanded_channels(in_channels, row), row.channels
        if row.block == "basic":
            self.conv1 = conv(in_channels, inner, row.kernel, stride=stride, activation=activation)
            self.conv2 = conv(inner, out, row.kernel, activation=None, dilation=row.dilation)
            self.conv3: nn.Module = nn.Identity()
        else:
            self.conv1 = conv(in_channels, inner, 1, activation=activation)
            middle = row.blocks[0].middle if row.blocks else inner
            self.conv2 = conv(inner, middle, row.kernel, stride=stride, activation=activation, dilation=row.dilation)
            self.conv3 = conv(middle, out, 1, activation=None)
        changes = has_shortcut(row, in_channels, stride)
        self.shortcut = conv(in_channels, out, 1, stride=stride, activation=None) if changes else nn.Identity()
        self.act = ACTIVATIONS[activation]()
        self.drop_path = drop_path

    def forward(self, images: Tensor) -> Tensor:
        """(N, in, H, W) to (N, out, ceil(H / stride), ceil(W / stride))."""
        branch = drop_branch(self.conv3(self.conv2(self.conv1(images))), self.drop_path, self.training)
        output: Tensor = self.act(self.shortcut(images) + branch)
        return output


BLOCKS: dict[str, type[Block | ResidualBlock]] = {
    "inverted": Block,
    "fused": Block,
    "separable": Block,
    "basic": ResidualBlock,
    "bottleneck": ResidualBlock,
}
"""What builds a row's block."""
