"""The cheap operations give the library's own results and gradients."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pocketvision.models.gradients import DepthwiseConvolution, InPlaceReLU6


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


@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_convolution_in_bfloat16_is_near_float32(stride: int) -> None:
    exact = [tensor.detach().float().requires_grad_() for tensor in operands(5, (9, 7), torch.channels_last)]
    short = [tensor.detach().bfloat16().requires_grad_() for tensor in exact]
    outputs = [DepthwiseConvolution.apply(*tensors, stride, (2, 2)) for tensors in (exact, short)]
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
