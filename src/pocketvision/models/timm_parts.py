"""How a network of timm's is taken apart into stem, stages and head, so that it can be frozen below any of its stages.

timm tells after which modules its features come out (`feature_info`), and most of its networks run their modules in the order
they are registered. Whether one does is not believed but tried: its parts in a row have to give what the whole gives.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, Protocol

import timm
import torch
from torch import Tensor, nn

from pocketvision.errors import UsageError
from pocketvision.models.layer import CLASSIFIER, Layer
from pocketvision.models.timm_names import PREFIX

NamedModules = list[tuple[str, nn.Module]]


class TimmSpec(Protocol):
    """What is asked of a spec here (timm_backbone.py): its names, and the channels at its cuts."""

    @property
    def name(self) -> str: ...
    @property
    def timm_name(self) -> str: ...
    @property
    def channels(self) -> tuple[int, ...]: ...
    def __hash__(self) -> int: ...


class ForeignModules(nn.Sequential):
    """Modules of another library, one after the other. Half-precision activations are computed with their weights cast."""

    def forward(self, input: Tensor) -> Tensor:
        """Activations to activations."""
        return _in_its_precision(super().forward, input)


class _Features(nn.Module):
    """All of a network up to its pooling."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.model.forward_features(images)  # type: ignore[operator]
        return features


class _Pooling(nn.Module):
    """The rest of it, in half precision as ForeignModules. Its tensors belong to _Features and are not registered here again."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._model = (model,)

    def forward(self, features: Tensor) -> Tensor:
        return _in_its_precision(self._model[0].forward_head, features)  # type: ignore[arg-type]


def _in_its_precision(run: Callable[[Tensor], Tensor], input: Tensor) -> Tensor:
    if input.dtype != torch.bfloat16:
        return run(input)
    with torch.autocast(input.device.type, dtype=torch.bfloat16):
        output = run(input)
    return output.to(input.dtype)


def timm_parts(spec: TimmSpec, in_channels: int) -> tuple[nn.Module, list[nn.Module], nn.Module]:
    """Stem, stages and head of timm's network with random weights."""
    model = timm.create_model(spec.timm_name, pretrained=False, num_classes=0, in_chans=in_channels)
    if len(spec.channels) == 1:
        return _Features(model), [], _Pooling(model)
    stem, *stages, head = (_sequential(part) for part in _split(model))
    return stem, list(stages), head


def inspected(name: str) -> tuple[tuple[int, ...], tuple[int, ...], int, int]:
    """Channels and strides at the cuts, channels of the features, and the input size in pixels of timm's network `name`.

    Raises UsageError for a network that is made for oblong images, or does not pool one tensor to one row of features an image.
    """
    with torch.device("meta"):
        _, size, width = _settings(timm.create_model(name, pretrained=False, num_classes=0))["input_size"]
    if size != width:
        raise UsageError(f"{PREFIX}{name} can be no backbone here: it is made for images of {width} x {size} pixels.")
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = timm.create_model(name, pretrained=False, num_classes=0).eval()
        images = torch.randn(1, 3, size, size)
        features = model(images)
        if _runs_in_parts(model, images, features):
            info = _feature_info(model)
            channels, strides = [int(each["num_chs"]) for each in info], [int(each["reduction"]) for each in info]
        else:
            channels, strides = _before_pooling(name, model, images, features)
    return tuple(channels), tuple(strides), int(features.shape[1]), size


def refusal(spec: TimmSpec, height: int, width: int) -> str | None:
    """Why the network can not run on that many pixels; None when it can."""
    with torch.device("meta"), torch.no_grad():
        model = timm.create_model(spec.timm_name, pretrained=False, num_classes=0).eval()
        try:
            model(torch.zeros(1, 3, height, width))
        except (RuntimeError, AssertionError, ValueError) as error:
            return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    return None


def timm_keys(spec: TimmSpec) -> dict[str, str]:
    """{our module path: timm's} of all modules that hold tensors; whole keys where the network is in one piece."""
    with torch.device("meta"):
        model = timm.create_model(spec.timm_name, pretrained=False, num_classes=0)
    paths = {CLASSIFIER: _classifier(spec)[0]}
    if len(spec.channels) == 1:
        return {**{f"stem.model.{key}": key for key in model.state_dict()}, **paths}
    for number, part in enumerate(_split(model)):
        place = "stem" if number == 0 else f"stages.{number - 1}" if number < len(spec.channels) else "head"
        for path, module in part:
            for inner, holder in module.named_modules():
                if any("." not in key for key in holder.state_dict()):
                    paths[".".join(filter(None, (place, _flat(path), inner)))] = ".".join(filter(None, (path, inner)))
    return paths


def timm_convolutions(spec: TimmSpec) -> frozenset[str]:
    """Our linear layers that are 1x1 convolutions in timm's network: the classifier, or none."""
    return frozenset({CLASSIFIER} if _classifier(spec)[1] else ())


@lru_cache(maxsize=8)
def _classifier(spec: TimmSpec) -> tuple[str, bool]:
    """Its path in timm's network, and whether it is a convolution there. UsageError when it is more than one linear layer."""
    with torch.device("meta"):
        without, whole = (timm.create_model(spec.timm_name, pretrained=False, num_classes=count) for count in (0, 1000))
    path = _settings(whole)["classifier"]
    refused = "its weights can not be taken over. It can start from random ones."
    if not isinstance(path, str):
        raise UsageError(f"{spec.name} has several classifiers ({', '.join(path)}); {refused}")
    before = without.state_dict().keys()
    added = {key: value for key, value in whole.state_dict().items() if key not in before}
    weight = added.get(f"{path}.weight")
    if weight is None or added.keys() != {f"{path}.weight", f"{path}.bias"} or weight.shape[2:].numel() != 1:
        raise UsageError(f"{spec.name}'s classifier is more than a linear layer ({', '.join(added)}); {refused}")
    return path, weight.ndim == 4


def timm_layers(spec: TimmSpec, side: int) -> list[Layer]:
    """Its convolutions and linear layers in the order they run, for a square input; other parameters of a part are counted with
    the part's last layer. What attention multiplies is not counted."""
    with torch.device("meta"):
        stem, stages, head = timm_parts(spec, 3)
        model = nn.ModuleDict({"stem": stem, "stages": nn.ModuleList(stages), "head": head}).eval()
        found: dict[str, list[Layer]] = {name: [] for name in ("stem", *map(str, range(len(stages))), "head")}
        hooks = []
        for name, module in model.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                stage = int(name.split(".")[1]) if name.startswith("stages.") else None
                part = found[name.split(".")[0] if stage is None else str(stage)]

                def note(
                    layer: nn.Module,
                    _: object,
                    output: Tensor,
                    name: str = name,
                    stage: int | None = stage,
                    part: list[Layer] = part,
                ) -> None:
                    part.append(_layer(layer, output, name, stage))

                hooks.append(module.register_forward_hook(note))
        activations = torch.zeros(1, 3, side, side)
        with torch.no_grad():
            for part_module in (stem, *stages, head):
                activations = part_module(activations)
    layers = [layer for part in found.values() for layer in part]
    for name, part in found.items():
        module = model.get_submodule(name if name in ("stem", "head") else f"stages.{name}")
        rest = sum(each.numel() for each in module.parameters()) - sum(each.parameters for each in part)
        last = layers.index(part[-1]) if part else -1
        layers[last] = replace(layers[last], more_parameters=layers[last].more_parameters + rest)
    return layers


def _settings(model: nn.Module) -> dict[str, Any]:
    settings: dict[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
    return settings


def _feature_info(model: nn.Module) -> list[dict[str, Any]]:
    info: list[dict[str, Any]] = list(model.feature_info)  # type: ignore[arg-type]
    return info


def _layer(module: nn.Module, output: Tensor, name: str, stage: int | None) -> Layer:
    """As it was seen to run. Its bias is the part's rest when it has none: Layer counts one for each output."""
    if isinstance(module, nn.Conv2d):
        (kernel, wide), stride = module.kernel_size, module.stride[0]
        layer = Layer(
            name,
            stage,
            module.in_channels,
            module.out_channels,
            kernel,
            stride,
            module.groups,
            output.shape[-1],
            False,
            kernel_width=None if wide == kernel else wide,
        )
    else:
        assert isinstance(module, nn.Linear)
        tokens = output.numel() // module.out_features
        layer = Layer(name, stage, module.in_features, module.out_features, 1, 1, 1, 1, False, tokens)
    return layer if module.bias is not None else replace(layer, more_parameters=-layer.out_channels)


def _runs_in_parts(model: nn.Module, images: Tensor, features: Tensor) -> bool:
    """Whether its parts in a row give the features, and channels stand where they should in the activations between them."""
    shapes: list[tuple[int, ...]] = []
    activations = images
    try:
        *trunk, head = _split(model)
        for part in trunk:
            activations = _sequential(part)(activations)
            shapes.append(tuple(activations.shape))
        same = features.ndim == 2 and torch.equal(_sequential(head)(activations), features)
    except (RuntimeError, TypeError, ValueError, AttributeError, LookupError):
        return False
    declared = [int(info["num_chs"]) for info in _feature_info(model)]
    return same and all(len(shape) == 4 for shape in shapes) and [shape[1] for shape in shapes] == declared


def _before_pooling(name: str, model: nn.Module, images: Tensor, features: Tensor) -> tuple[list[int], list[int]]:
    """Channels and stride of what a network in one piece pools: tokens, or a map with its channels first or last."""
    activations = model.forward_features(images)  # type: ignore[operator]
    single = isinstance(activations, Tensor) and activations.ndim in (3, 4) and features.ndim == 2
    if not single or not torch.equal(model.forward_head(activations), features):  # type: ignore[operator]
        raise UsageError(
            f"{PREFIX}{name} can be no backbone here: it does not pool one tensor to one row of features an image."
        )
    stride = int(_feature_info(model)[-1]["reduction"])
    if activations.ndim == 3:
        return [activations.shape[2]], [stride]
    size, (_, first, height, last) = images.shape[2], activations.shape  # the images are square, so the map is
    channels, side = (first, height) if height == last else (last, height)
    return [channels], [stride if -(-size // stride) == side else round(size / side)]


def _split(model: nn.Module) -> list[NamedModules]:
    """The network's modules in their order, cut after each that timm's features come out of; the last part is the rest.

    Raises LookupError when a feature's module is not among them, or a tensor belongs to none.
    """
    ends = [str(info["module"]) for info in _feature_info(model)]
    modules = list(_flattened(model, "", ends))
    held = sum(parameter.numel() for _, module in modules for parameter in module.parameters())
    if held != sum(parameter.numel() for parameter in model.parameters()):
        raise LookupError("tensors outside of the modules")
    places = [path for path, _ in modules]
    cuts = [0, *(places.index(end) + 1 if end in places else -1 for end in ends), len(modules)]
    if -1 in cuts or cuts != sorted(set(cuts)):
        raise LookupError("features that come out inside of a module")
    return [modules[first:last] for first, last in pairwise(cuts)]


def _flattened(module: nn.Module, path: str, ends: list[str]) -> Iterator[tuple[str, nn.Module]]:
    """Children in order; those that features come out of the inside of are opened."""
    for name, child in module.named_children():
        place = f"{path}.{name}" if path else name
        if any(end.startswith(f"{place}.") for end in ends):
            yield from _flattened(child, place, ends)
        else:
            yield place, child


def _sequential(part: NamedModules) -> ForeignModules:
    return ForeignModules(OrderedDict((_flat(path), module) for path, module in part))


def _flat(path: str) -> str:
    return path.replace(".", "_")
