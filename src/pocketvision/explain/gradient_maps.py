"""Maps from gradients, in PyTorch: Grad-CAM, Grad-CAM++, integrated gradients, and a transformer's attention rolled out."""

import numpy as np
import torch
from torch import Tensor, nn

from pocketvision.errors import UsageError
from pocketvision.explain.choice import Choice
from pocketvision.explain.heat_map import Heat
from pocketvision.explain.watched import Watched
from pocketvision.models.transformer import Attention
from pocketvision.models.vit import VisionTransformer

STEPS = 32
"""Of integrated gradients, between the baseline and the image."""


def grad_cam(watched: Watched, image: Tensor, choice: Choice, layer: str) -> Heat:
    """(h, w) of one image (1, 3, H, W): the layer's channels, each weighed by the mean of the score's gradient over its places
    (Selvaraju et al., 2017, section 3, https://arxiv.org/abs/1610.02391). Before the ReLU. Raises UsageError for a layer that is
    not there or gives no map."""
    level, slope = watched.gradient(image, choice, layer)
    return _summed(level, slope.mean(dim=(1, 2)))


def grad_cam_plus_plus(watched: Watched, image: Tensor, choice: Choice, layer: str) -> Heat:
    """(h, w): weights that count places where the gradient is positive, so that several objects of a class all show (Chattopadhay
    et al., 2018, equation 19, https://arxiv.org/abs/1710.11063). Raises UsageError as grad_cam does."""
    level, slope = watched.gradient(image, choice, layer)
    second, third = slope**2, slope**3
    below = 2 * second + level.sum(dim=(1, 2), keepdim=True) * third
    share = torch.where(below.abs() > 1e-12, second / torch.where(below == 0, torch.ones_like(below), below), 0.0)
    return _summed(level, (share * slope.clamp(min=0)).sum(dim=(1, 2)))


def hires_cam(watched: Watched, image: Tensor, choice: Choice, layer: str) -> Heat:
    """(h, w): each place's activations times the score's gradient there, not its mean: of an answer that comes from one place,
    such as an object, it shows that place (Draelos & Carin, 2020, https://arxiv.org/abs/2011.08891). Raises
    UsageError as grad_cam does."""
    level, slope = watched.gradient(image, choice, layer)
    return np.asarray((level * slope).sum(dim=0), np.float32)


def integrated_gradients(watched: Watched, image: Tensor, choice: Choice, steps: int = STEPS) -> Heat:
    """(H, W): the score's gradient along the straight way from an input of zeros (the mean colour) to the image, times the way,
    summed over colours (Sundararajan et al., 2017, equation 1, https://arxiv.org/abs/1703.01365). Its sum is nearly the
    difference of the two scores. Raises UsageError for fewer than one step."""
    if steps < 1:
        raise UsageError(f"steps is {steps}; expected 1 or more.")
    total = torch.zeros_like(image)
    for step in range(steps):
        at = (image * ((step + 0.5) / steps)).requires_grad_()
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(watched.score(at, choice).sum(), at)
        total += slope
    found: Heat = (total / steps * image)[0].sum(dim=0).numpy()
    return found


def attention_rollout(watched: Watched, image: Tensor) -> Heat:
    """(h, w): how much of each patch reaches the class token through the attention of all blocks, half of each block's way being
    what is added past it (Abnar & Zuidema, 2020, section 3, https://arxiv.org/abs/2005.00928). The same for every class. Raises
    UsageError for a network without attention."""
    spec = watched.network.architecture
    if not isinstance(spec, VisionTransformer):
        raise UsageError(
            f"{spec.name} has no attention to roll out: that is of transformers (vit_…). Take grad-cam or occlusion."
        )
    shares: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
        assert isinstance(module, Attention)
        tokens = inputs[0]
        batch, count, _ = tokens.shape
        query, key, _ = module.qkv(tokens).reshape(batch, count, 3, module.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        shares.append(torch.softmax(query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5, dim=-1).mean(dim=1)[0])

    handles = [each.register_forward_hook(keep) for each in watched.network.modules() if isinstance(each, Attention)]
    try:
        with torch.no_grad():
            watched.graph(image)
    finally:
        for handle in handles:
            handle.remove()
    rolled = torch.eye(shares[0].shape[0])
    for share in shares:
        rolled = (share + torch.eye(share.shape[0])) / 2 @ rolled
    rows, columns = image.shape[2] // spec.patch, image.shape[3] // spec.patch
    found: Heat = rolled[0, -rows * columns :].reshape(rows, columns).numpy()
    return found


def _summed(level: Tensor, weights: Tensor) -> Heat:
    return np.asarray(torch.einsum("chw,c->hw", level, weights), np.float32)
