"""What a network does inside on pictures of its training: channels that say nothing, gradients that vanish or explode."""

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pocketvision.costs.counting import part_name, units
from pocketvision.diagnosis.finding import Finding
from pocketvision.models.network import Network
from pocketvision.training.objective import Objective

DEAD, MANY = 0.25, 0.02
"""The share of a layer's channels that are constant from which the layer is named, and of the network's from which it matters."""

APART = 1e4
"""Between the largest and the smallest gradient of the parts that learn, each relative to its weights."""

CONSTANT = 1e-6
"""Of the layer's largest number, by which a channel varies less over all places and pictures."""


@torch.no_grad()
def dead_channels(network: Network, images: NDArray[np.float32]) -> Finding:
    """Channels of convolutions that put out one number everywhere, on all of `images` (N, 3, H, W): they cost time and say
    nothing."""
    about, seen = "dead channels", dict[str, tuple[Tensor, Tensor]]()
    hooks = [
        module.register_forward_hook(_extremes(path, seen))
        for path, module in units(network)
        if not path.startswith("heads.")
    ]
    try:
        for start in range(0, len(images), 8):
            network.outputs(torch.from_numpy(images[start : start + 8]))
    finally:
        for hook in hooks:
            hook.remove()
    if not seen:
        return Finding(about, "unknown", "The backbone has no layer that puts out maps.")
    dead = {path: _constant(low, high) for path, (low, high) in seen.items()}
    channels, total = sum(map(len, dead.values())), sum(int(each.sum()) for each in dead.values())
    named = sorted(
        ((path, int(each.sum()), len(each)) for path, each in dead.items() if float(each.float().mean()) >= DEAD),
        key=lambda row: -row[1] / row[2],
    )
    text = f"{total} of {channels} channels put out one number everywhere on {len(images)} training pictures"
    figures = {"dead": total, "channels": channels, "layers": [list(row) for row in named]}
    if named:
        text += "; most in " + ", ".join(f"{path} ({count} of {of})" for path, count, of in named[:3])
    if total > MANY * channels or any(count == of for _, count, of in named):
        step = "They cost time and say nothing: pocketvision prune RUN/bundle takes them out."
        return Finding(about, "look", f"{text}.", step, figures)
    return Finding(about, "fine", f"{text}.", figures=figures)


def _extremes(path: str, seen: dict[str, tuple[Tensor, Tensor]]) -> Callable[[nn.Module, Any, Any], None]:
    def look(_module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] * output.shape[3] > 1:
            low, high = output.amin((0, 2, 3)), output.amax((0, 2, 3))
            if path in seen and len(seen[path][0]) == len(low):
                low, high = torch.minimum(low, seen[path][0]), torch.maximum(high, seen[path][1])
            seen[path] = (low, high)

    return look


def _constant(low: Tensor, high: Tensor) -> Tensor:
    scale = max(float(high.abs().max()), float(low.abs().max()), 1e-12)
    return (high - low) <= CONSTANT * scale


def gradients(network: Network, objective: Objective, images: NDArray[np.float32], placements: Any) -> Finding:
    """Of the loss on one batch of training pictures with the shipped weights, by parts of the network that learned, each as a
    share of its weights' norm. What does not require gradients is left out. The backbone's norms keep their statistics."""
    about = "vanishing or exploding gradients"
    network.zero_grad(set_to_none=True)
    with torch.enable_grad():
        named = network.features(torch.from_numpy(images), network.features_read)
        loss = objective.loss(network.on_features(named), objective.targets(np.arange(len(images)), placements))
        loss.backward()  # type: ignore[no-untyped-call]
    squares: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for name, parameter in network.named_parameters():
        if parameter.grad is not None:
            squares[part_name(name)][0] += float(parameter.grad.square().sum())
            squares[part_name(name)][1] += float(parameter.detach().square().sum())
    network.zero_grad(set_to_none=True)
    norms = {part: math.sqrt(gradient / max(weight, 1e-30)) for part, (gradient, weight) in squares.items()}
    value = float(loss.detach())
    figures = {"loss": value, "gradient_by_weight": norms}
    wrong = [part for part, each in norms.items() if not math.isfinite(each)]
    if wrong or not math.isfinite(value):
        step = "Lower the learning rate and clip gradients (optimizer.clip); look for pictures or labels that are not numbers."
        return Finding(
            about, "problem", f"Not a number in the loss or in {', '.join(wrong) or 'no part'}.", step, figures
        )
    told = ", ".join(f"{part} {each:.2g}" for part, each in norms.items())
    text = f"Norm of the gradient by that of the weights: {told}"
    most, least = max(norms.values(), default=0.0), min(norms.values(), default=0.0)
    if most > APART * max(least, 1e-30) and most > 1e-6:
        weak = min(norms, key=lambda part: norms[part])
        step = f"Little of the error reaches {weak}: let it start from trained weights, warm up longer, or give it a higher rate."
        return Finding(about, "look", f"{text}.", step, figures)
    return Finding(about, "fine", f"{text}.", figures=figures)
