"""Networks of another library's with random weights, built without a random start that would be drawn twice."""

from collections.abc import Callable
from typing import Any

import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator


def with_random_weights(build: Callable[[], Any], seed: int = 0) -> Any:
    """What `build` gives, in eval mode, its norms' statistics random too; activations keep their size from layer to layer."""
    network = on_no_device(build)
    generator = torch.Generator().manual_seed(seed)

    def drawn(name: str, like: torch.Tensor) -> torch.Tensor:
        if not like.is_floating_point():
            return torch.zeros(like.shape, dtype=like.dtype)
        if name.endswith("running_var"):
            return torch.rand(like.shape, generator=generator) + 0.5
        if like.ndim == 1 and name.endswith("weight"):
            return torch.rand(like.shape, generator=generator) * 0.5 + 0.25
        spread = 0.1 if like.ndim < 2 else (2 / like[0].numel()) ** 0.5
        return torch.randn(like.shape, generator=generator) * spread

    network.load_state_dict({name: drawn(name, each) for name, each in network.state_dict().items()}, assign=True)
    return network


def on_no_device(build: Callable[[], Any]) -> Any:
    """What `build` gives, in eval mode, with weights that have shapes and no numbers."""
    with torch.device("meta"):
        network = build().eval()
    for module in network.modules():  # what they lay out is no weight
        if isinstance(module, AnchorGenerator):
            sizes = zip(module.sizes, module.aspect_ratios, strict=True)
            module.cell_anchors = [module.generate_anchors(*each) for each in sizes]
        elif isinstance(module, DefaultBoxGenerator):
            module._wh_pairs = module._generate_wh_pairs(len(module.aspect_ratios))
    return network
