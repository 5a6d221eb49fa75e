"""Padding, folding and the block, each against its definition."""

from collections.abc import Callable
from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketvision.models.blocks import Block, ConvNormAct, PaddedConv2d, SqueezeExcite
from pocketvision.models.catalog import ARCHITECTURES
from pocketvision.models.spec import Block as BlockKind
from pocketvision.models.spec import Gate, Padding, StageRow


def tensorflow_convolution(images: Tensor, weight: Tensor, stride: int) -> Tensor:
    """TensorFlow's "same", by its documentation, one output pixel after another. images: (1, 1, H, W)."""
    kernel, (height, width) = weight.shape[-1], images.shape[-2:]
    output = torch.zeros(-(-height // stride), -(-width // stride))

    def first(size: int, index: int) -> int:
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        return index * stride - total // 2

    for row in range(output.shape[0]):
        for column in range(output.shape[1]):
            for y in range(kernel):
                for x in range(kernel):
                    line, dot = first(height, row) + y, first(width, column) + x
                    if 0 <= line < height and 0 <= dot < width:
                        output[row, column] += images[0, 0, line, dot] * weight[0, 0, y, x]
    return output[None, None]


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(6, 7), (7, 6), (1, 2), (8, 8)])
def test_same_padding_is_tensorflows(kernel: int, stride: int, size: tuple[int, int]) -> None:
    convolution = PaddedConv2d(1, 1, kernel, stride=stride, groups=1, padding="same")
    images = torch.randn(1, 1, *size)
    with torch.no_grad():
        expected = tensorflow_convolution(images, convolution.weight, stride)
        assert torch.allclose(convolution(images), expected, atol=1e-6)


def test_symmetric_padding_is_pytorchs() -> None:
    convolution = PaddedConv2d(4, 8, 5, stride=2, groups=1, padding="symmetric")
    images = torch.randn(2, 4, 14, 15)
    expected = F.conv2d(images, convolution.weight, stride=2, padding=2)
    assert torch.equal(convolution(images), expected)


@pytest.mark.parametrize(
    ("padding", "stride", "size", "copies"),
    [("symmetric", 2, 8, 0), ("same", 1, 8, 0), ("same", 2, 7, 0), ("same", 2, 8, 1)],
)
def test_a_padded_copy_is_made_only_where_padding_is_uneven(
    padding: Padding, stride: int, size: int, copies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []
    pad = F.pad
    monkeypatch.setattr(F, "pad", lambda *arguments: calls.append(arguments) or pad(*arguments))
    PaddedConv2d(1, 1, 3, stride=stride, groups=1, padding=padding)(torch.zeros(1, 1, size, size))
    assert len(calls) == copies


def plain(block: ConvNormAct, images: Tensor) -> Tensor:
    """The block by its definition, without folding."""
    return block.act(block.norm(block.conv(images)))


@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_folding_keeps_values_and_all_gradients(padding: Padding) -> None:
    torch.manual_seed(3)
    block = ConvNormAct(6, 6, 3, stride=2, groups=6, padding=padding, norm_epsilon=1e-3, activation="silu").double()
    for tensor in (block.norm.weight, block.norm.bias, block.norm.running_mean):
        tensor.data.normal_()
    block.norm.running_var.uniform_(0.2, 2)
    block.eval()
    gradients: list[list[Tensor]] = []
    outputs: list[Tensor] = []
    images = torch.randn(2, 6, 8, 8, dtype=torch.float64, requires_grad=True)
    for forward in (block, lambda inputs: plain(block, inputs)):
        output = forward(images)
        wanted = [images, block.conv.weight, block.norm.weight, block.norm.bias]
        gradients.append(list(torch.autograd.grad(output.pow(3).sum(), wanted)))
        outputs.append(output.detach())
    assert torch.allclose(*outputs, rtol=1e-12)
    for folded, expected in zip(*gradients, strict=True):
        assert torch.allclose(folded, expected, rtol=1e-10)


def test_training_mode_uses_and_moves_batch_statistics_and_eval_mode_does_not() -> None:
    block = ConvNormAct(3, 8, 3, padding="same", norm_epsilon=1e-3, activation="relu6")
    images = torch.randn(4, 3, 8, 8)
    before = block.norm.running_mean.clone()
    block.eval()(images)
    assert torch.equal(block.norm.running_mean, before)
    output = block.train()(images)
    assert not torch.equal(block.norm.running_mean, before)
    normalised = F.batch_norm(block.conv(images), None, None, training=True, eps=1e-3)
    assert torch.allclose(output, F.relu6(normalised), atol=1e-6)


def test_fold_for_good_keeps_the_answer() -> None:
    block = ConvNormAct(3, 8, 3, padding="same", norm_epsilon=1e-3, activation=None).eval()
    block.norm.running_mean.normal_()
    images = torch.randn(1, 3, 8, 8)
    before = block(images)
    block.fold()
    block.fold()
    assert isinstance(block.norm, nn.Identity)
    assert torch.allclose(block(images), before, atol=1e-6)


@pytest.mark.parametrize(("gate", "function"), [("sigmoid", torch.sigmoid), ("hard_sigmoid", F.hardsigmoid)])
def test_squeeze_and_excitation_by_its_definition(gate: Gate, function: Callable[[Tensor], Tensor]) -> None:
    layer = SqueezeExcite(8, 2, "silu", gate)
    images = torch.randn(3, 8, 5, 4)
    means = images.mean((2, 3))
    hidden = F.silu(means @ layer.reduce.weight[:, :, 0, 0].T + layer.reduce.bias)
    gates = function(hidden @ layer.expand.weight[:, :, 0, 0].T + layer.expand.bias)
    assert torch.allclose(layer(images), images * gates[:, :, None, None], atol=1e-6)


def a_block(row: StageRow, in_channels: int = 8, drop_path: float = 0.0) -> Block:
    return Block(ARCHITECTURES["efficientnet_b0"], row, in_channels, stride=row.stride, drop_path=drop_path)


@pytest.mark.parametrize("kind", get_args(BlockKind))
@pytest.mark.parametrize(
    ("stride", "channels", "residual", "adds"),
    [(1, 8, True, True), (2, 8, True, False), (1, 16, True, False), (1, 8, False, False)],
)
def test_the_input_is_added_only_when_the_shape_stays(
    kind: BlockKind, stride: int, channels: int, residual: bool, adds: bool
) -> None:
    block = a_block(StageRow(3, stride, 6, channels, 1, 0.25, block=kind, residual=residual)).eval()
    nn.init.zeros_(block.project.norm.weight)
    images = torch.randn(1, 8, 6, 6)
    output = block(images)
    assert output.shape == (1, channels, 6 // stride, 6 // stride)
    assert torch.equal(output, images) if adds else bool((output == 0).all())


def test_the_parts_of_each_kind_of_block() -> None:
    def parts(row: StageRow) -> dict[str, tuple[int, int]]:
        block = a_block(row)
        layers = {name: getattr(block, name) for name in ("expand", "depthwise", "project")}
        return {
            name: (layer.conv.kernel_size[0], layer.conv.groups)
            for name, layer in layers.items()
            if isinstance(layer, ConvNormAct)
        }

    assert parts(StageRow(5, 1, 4, 8, 1)) == {"expand": (1, 1), "depthwise": (5, 32), "project": (1, 1)}
    assert parts(StageRow(5, 1, 1, 8, 1)) == {"depthwise": (5, 8), "project": (1, 1)}
    assert parts(StageRow(5, 1, 4, 8, 1, block="fused")) == {"expand": (5, 1), "project": (1, 1)}
    assert parts(StageRow(5, 1, 1, 8, 1, block="fused")) == {"expand": (5, 1)}
    separable = a_block(StageRow(3, 1, 1, 8, 1, block="separable"))
    assert isinstance(separable.project.act, nn.SiLU)
    assert isinstance(a_block(StageRow(3, 1, 1, 8, 1)).project.act, nn.Identity)
    assert isinstance(a_block(StageRow(3, 1, 1, 8, 1, activation="relu")).depthwise.act, nn.ReLU)


def test_squeeze_and_excitation_after_one_fused_convolution_sees_its_outputs() -> None:
    block = a_block(StageRow(3, 1, 1, 24, 1, 0.25, block="fused"), in_channels=16)
    assert block(torch.zeros(1, 16, 6, 6)).shape == (1, 24, 6, 6)
    assert block.squeeze.reduce.in_channels == 24


def test_a_tiny_ratio_still_squeezes() -> None:
    assert a_block(StageRow(3, 1, 6, 8, 1, 0.01)).squeeze.reduce.out_channels == 1


def test_stochastic_depth_leaves_branches_out_in_training_only() -> None:
    torch.manual_seed(0)
    block = a_block(StageRow(3, 1, 6, 8, 1), drop_path=0.25)
    image = torch.randn(1, 8, 6, 6).expand(4000, 8, 6, 6)
    block.eval()
    with torch.no_grad():
        whole = block(image[:1]) - image[:1]
        for module in block.modules():  # the branch itself stays as in eval mode
            module.training = module is block
        branches = block(image) - image
    kept = branches.abs().sum((1, 2, 3)) > 0
    assert kept.float().mean().item() == pytest.approx(0.75, abs=0.03)
    torch.testing.assert_close(branches[kept], (whole / 0.75).expand_as(branches[kept]))


def test_stochastic_depth_rises_linearly_with_depth() -> None:
    drops = [drop for stage in ARCHITECTURES["efficientnet_b0"].drop_paths() for drop in stage]
    assert len(drops) == 16 and drops[0] == 0
    assert drops == pytest.approx([0.2 * index / 16 for index in range(16)])
