"""The cheap operations give the library's own results and gradients."""

import pytest
import torch
from torch.nn import functional as F

from pocketvision.models.gradients import DepthwiseConvolution, InPlaceReLU6


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kernel", [3, 5])
def test_depthwise_convolution(kernel: int, memory_format: torch.memory_format) -> None:
    torch.manual_seed(0)
    images = torch.randn(3, 6, 9, 7, dtype=torch.float64).to(memory_format=memory_format).requires_grad_()
    weight = torch.randn(6, 1, kernel, kernel, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(6, dtype=torch.float64, requires_grad=True)
    ours = DepthwiseConvolution.apply(images, weight, bias)
    theirs = F.conv2d(images, weight, bias, padding=kernel // 2, groups=6)
    torch.testing.assert_close(ours, theirs)
    upstream = torch.randn_like(theirs)
    for one, other in zip(
        torch.autograd.grad(ours, (images, weight, bias), upstream),
        torch.autograd.grad(theirs, (images, weight, bias), upstream),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_depthwise_convolution_of_images_without_gradient() -> None:
    weight = torch.randn(2, 1, 3, 3, requires_grad=True)
    DepthwiseConvolution.apply(torch.randn(1, 2, 5, 5), weight, torch.zeros(2)).sum().backward()
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
