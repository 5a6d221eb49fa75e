"""Optimizers by name, and what they are given: parameters in groups by weight decay and by depth."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from pocketvision.errors import MissingExtraError, UsageError, unknown_name
from pocketvision.training.settings import OF_TIMM, OptimizerSettings

Groups = list[dict[str, Any]]

HEADS = "network.heads."
"""What the names of parameters begin with that are a task's own; the others are shared."""


class RMSprop(torch.optim.Optimizer):
    """RMSprop as TensorFlow computes it and EfficientNet's and MobileNet's papers trained with it: the mean of squared gradients
    begins at one, epsilon stands inside the root, and the rate is in the momentum (Tieleman & Hinton 2012, lecture 6.5)."""

    def __init__(self, groups: Groups, *, lr: float, squares: float, momentum: float, eps: float) -> None:
        super().__init__(groups, {"lr": lr, "squares": squares, "momentum": momentum, "eps": eps, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        del closure
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)

    def _update(self, parameter: Tensor, group: Mapping[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["square"], state["momentum"] = torch.ones_like(parameter), torch.zeros_like(parameter)
        gradient = parameter.grad
        assert gradient is not None
        if group["weight_decay"]:
            gradient = gradient.add(parameter, alpha=group["weight_decay"])
        square, momentum = state["square"], state["momentum"]
        square.lerp_(gradient.square(), 1 - group["squares"])
        momentum.mul_(group["momentum"]).addcdiv_(gradient, (square + group["eps"]).sqrt(), value=group["lr"])
        parameter.sub_(momentum)


def _adamw(groups: Groups, lr: float, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Loshchilov & Hutter (2019), https://arxiv.org/abs/1711.05101."""
    return torch.optim.AdamW(groups, lr=lr, betas=_betas(settings), eps=settings.eps or 1e-8, fused=True)


def _adam(groups: Groups, lr: float, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Kingma & Ba (2015), https://arxiv.org/abs/1412.6980; the decay is a part of the gradient."""
    return torch.optim.Adam(groups, lr=lr, betas=_betas(settings), eps=settings.eps or 1e-8, fused=True)


def _sgd(groups: Groups, lr: float, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """With Nesterov's momentum, Sutskever et al. (2013)."""
    return torch.optim.SGD(groups, lr=lr, momentum=settings.momentum, nesterov=settings.momentum > 0, fused=True)


def _rmsprop(groups: Groups, lr: float, settings: OptimizerSettings) -> torch.optim.Optimizer:
    return RMSprop(groups, lr=lr, squares=settings.squares, momentum=settings.momentum, eps=settings.eps or 1e-3)


def _of_timm(groups: Groups, lr: float, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """By timm's factory; what the settings leave as it is, is as timm has it. LAMB: You et al. (2020),
    https://arxiv.org/abs/1904.00962."""
    factory = timm_for(f"optimizer.name {settings.name}").optim
    known = factory.get_optimizer_info(settings.name)
    given: dict[str, Any] = {} if settings.eps is None else {"eps": settings.eps}
    if settings.betas != OptimizerSettings.betas:
        given["betas"] = _betas(settings)
    for name, taken in (("betas", known.has_betas), ("eps", known.has_eps)):
        if name in given and not taken:
            raise UsageError(f"optimizer.name {settings.name} takes no {name}; leave optimizer.{name} out.")
    made = factory.create_optimizer_v2(groups, opt=settings.name, lr=lr, momentum=settings.momentum, **given)
    assert isinstance(made, torch.optim.Optimizer)
    return made


_MAKERS: dict[str, Callable[[Groups, float, OptimizerSettings], torch.optim.Optimizer]] = {
    "adamw": _adamw,
    "adam": _adam,
    "sgd": _sgd,
    "rmsprop": _rmsprop,
}


def make_optimizer(
    trained: Mapping[str, Tensor],
    settings: OptimizerSettings,
    *,
    lr: float,
    depth_of: Callable[[str], int] = lambda _: 0,
) -> torch.optim.Optimizer:
    """Over named parameters. Vectors (biases and norm scales) are not decayed, as is the custom of the field.

    depth_of: how many stages stand above a parameter, by its name: its rate is `layer_decay` to that power of the whole.
    An unknown optimizer is a UsageError.
    """
    if settings.name not in (*_MAKERS, *OF_TIMM):
        raise unknown_name("optimizer", settings.name, (*_MAKERS, *OF_TIMM))
    by_kind: dict[tuple[float, bool], list[Tensor]] = {}
    for name, parameter in trained.items():
        scale = 1.0 if settings.layer_decay == 1 else settings.layer_decay ** depth_of(name)
        by_kind.setdefault((scale, parameter.ndim > 1), []).append(parameter)
    # Matrices first, as ever: a checkpoint counts parameters in this order.
    kinds = sorted(by_kind, key=lambda kind: (not kind[1], -kind[0]))
    groups = [
        {"params": by_kind[kind], "weight_decay": settings.weight_decay if kind[1] else 0.0, "scale": kind[0]}
        for kind in kinds
    ]
    maker = _MAKERS.get(settings.name, _of_timm)
    return maker(groups, lr, settings)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """The rate of the next step; groups have their shares of it."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["scale"]


def current_lr(optimizer: torch.optim.Optimizer) -> float:
    """The highest learning rate in force."""
    return max(float(group["lr"]) for group in optimizer.param_groups)


def clip_gradients(trained: Mapping[str, Tensor], settings: OptimizerSettings) -> None:
    """Scale gradients down: those of each unit to a share of its weights' norm (Brock et al. 2021, equation 3,
    https://arxiv.org/abs/2102.06171; not of heads, section 4.1), then all together to a norm; by what the settings have."""
    if settings.adaptive_clip is not None:
        adaptive_clip_grad = timm_for("optimizer.adaptive_clip").utils.adaptive_clip_grad
        own = [parameter for name, parameter in trained.items() if not name.startswith(HEADS)]
        adaptive_clip_grad(own, settings.adaptive_clip)
    if settings.clip is not None:
        torch.nn.utils.clip_grad_norm_(trained.values(), settings.clip)


def timm_for(what: str) -> Any:
    """timm. Raises MissingExtraError, which names `what` needs it, where it is not installed."""
    try:
        import timm
        import timm.optim
        import timm.utils
    except ImportError:
        raise MissingExtraError(what, "timm") from None
    return timm


def restore_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, object]) -> None:
    """Load copies of a state_dict's, its moments laid out in memory like their parameters: the fused update walks both as flat
    memory."""
    optimizer.load_state_dict(dict(state))
    for parameter, entries in optimizer.state.items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                alike = value.shape == parameter.shape
                entries[key] = torch.empty_like(parameter).copy_(value) if alike else value.clone()


def _betas(settings: OptimizerSettings) -> tuple[float, float]:
    first, second = settings.betas
    return first, second
