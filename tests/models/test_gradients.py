"""The cheap operations give the library's own results and gradients."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pocketvision.models.blocks import ConvNormAct
from pocketvision.models.gradients import DepthwiseConvolution, InPlaceReLU6
from pocketvision.models.spec import Padding


def operands(kernel: int, size: tuple[int, int], memory_format: torch.memory_format) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    images = torch.randn(3, 6, *size, dtype=torch.float64).to(memory_format=memory_format).requires_grad_()
    weight = torch.randn(6, 1, kernel, kernel, dtype=torch.float64, requires_grad=True)
    return images, weight, torch.randn(6, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(9, 7), (8, 8), (3, 2), (1, 1)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_depthwise_convolution(
    kernel: int, stride: int, size: tuple[int, int], memory_format: torch.memory_format
) -> None:
    tensors = operands(kernel, size, memory_format)
    padding = (kernel // 2, kernel // 2)
    ours = DepthwiseConvolution.apply(*tensors, stride, padding)
    theirs = F.conv2d(*tensors, stride, padding, groups=6)
    torch.testing.assert_close(ours, theirs)
    upstream = torch.randn_like(theirs)
    for one, other in zip(
        torch.autograd.grad(ours, tensors, upstream), torch.autograd.grad(theirs, tensors, upstream), strict=True
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(5, 2, (0, 0)), (5, 1, (1, 0)), (3, 2, (0, 1))])
def test_depthwise_convolution_of_padded_images(kernel: int, stride: int, padding: tuple[int, int]) -> None:
    tensors = operands(kernel, (9, 11), torch.channels_last)
    ours = DepthwiseConvolution.apply(*tensors, stride, padding)
    theirs = F.conv2d(*tensors, stride, padding, groups=6)
    upstream = torch.randn_like(theirs)
    for one, other in zip(
        torch.autograd.grad(ours, tensors, upstream), torch.autograd.grad(theirs, tensors, upstream), strict=True
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("padding", [(2, 2), (0, 1)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_depthwise_convolution_in_bfloat16_is_near_float32(stride: int, padding: tuple[int, int]) -> None:
    exact = [tensor.detach().float().requires_grad_() for tensor in operands(5, (9, 8), torch.channels_last)]
    short = [tensor.detach().bfloat16().requires_grad_() for tensor in exact]
    outputs = [DepthwiseConvolution.apply(*tensors, stride, padding) for tensors in (exact, short)]
    upstream = torch.randn_like(outputs[0])
    wanted = torch.autograd.grad(outputs[0], exact, upstream)
    found = torch.autograd.grad(outputs[1], short, upstream.bfloat16())
    for one, other in zip(wanted, found, strict=True):
        assert other.dtype == torch.bfloat16
        assert (one - other.float()).norm() < 0.01 * one.norm()


def test_depthwise_convolution_of_images_without_gradient() -> None:
    weight = torch.randn(2, 1, 3, 3, requires_grad=True)
    DepthwiseConvolution.apply(torch.randn(1, 2, 5, 5), weight, torch.zeros(2), 1, (1, 1)).sum().backward()
    assert weight.grad is not None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, "symmetric"), (5, 2, "symmetric"), (3, 2, "same")])
def test_a_norm_that_learns_has_the_library_s_gradients_before_it(
    kernel: int, stride: int, padding: Padding, dtype: torch.dtype
) -> None:
    """Under autocast too, of pictures of an even side, which "same" pads on one side alone."""
    torch.manual_seed(0)
    block = ConvNormAct(4, 4, kernel, stride=stride, groups=4, padding=padding, norm_epsilon=1e-5, activation="relu6")
    images = torch.randn(3, 4, 8, 8, requires_grad=True)
    found = []
    for ours in (True, False):
        block.conv.train(ours)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            made: Tensor = block(images)
        name = type(block.conv(images).grad_fn).__name__
        assert name == ("DepthwiseConvolutionBackward" if ours else "ConvolutionBackward0")
        upstream = torch.linspace(-1, 1, made.numel()).reshape(made.shape).to(made.dtype)
        found.append((made, *torch.autograd.grad(made, [images, *block.parameters()], upstream)))
    for one, other in zip(*found, strict=True):
        assert one.dtype == other.dtype
        assert (one - other).float().norm() <= (0.02 if dtype == torch.bfloat16 else 1e-5) * other.float().norm()


def test_in_place_relu6_also_at_its_bounds() -> None:
    values = torch.tensor([-1.0, 0.0, 1e-6, 3.0, 6.0, 6.5], requires_grad=True)
    before = values * 1  # a tensor that may be overwritten, as a convolution's output may
    ours = InPlaceReLU6.apply(before)
    assert ours.data_ptr() == before.data_ptr()
    theirs = F.relu6(values)
    assert torch.equal(ours, theirs)
    upstream = torch.arange(1.0, 7.0)
    (one,) = torch.autograd.grad(ours, values, upstream)
    (other,) = torch.autograd.grad(theirs, values, upstream)
    assert torch.equal(one, other)
