"""The one network class of every family: a backbone (stem, stages and head, made by the spec's kind) and a head for each task."""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pocketvision.errors import UsageError, unknown_name
from pocketvision.models.blocks import Block, ConvNormAct
from pocketvision.models.convolutional import Head as ConvolutionalHead
from pocketvision.models.convolutional import convolutional_parts
from pocketvision.models.ensemble import Ensemble, Member
from pocketvision.models.ensemble_parts import ensemble_parts
from pocketvision.models.features import (
    CUT,
    EXPANSION,
    GRID,
    GRIDDED,
    HEAD_CONV,
    MAX,
    POOL,
    POOLED,
    Feature,
    features_of,
)
from pocketvision.models.frozen_statistics import frozen_statistics
from pocketvision.models.heads.catalog import head_named
from pocketvision.models.heads.head import Head, HeadModule, HeadSpec
from pocketvision.models.key_layouts import with_names_of_today
from pocketvision.models.spec import Architecture, ModelSpec
from pocketvision.models.timm_backbone import TimmBackbone
from pocketvision.models.timm_names import require_timm
from pocketvision.models.transformer import transformer_parts
from pocketvision.models.vit import VisionTransformer
from pocketvision.tasks.manifest import is_task_name, output_names

# A stem (images to activations), stages (activations to activations) and a head (activations to pooled features).
Parts = tuple[nn.Module, list[nn.Module], nn.Module]
ByTask = dict[str, dict[str, Tensor]]

CLASSIFICATION = "classification"


def _timm_parts(spec: TimmBackbone, in_channels: int) -> Parts:
    require_timm(spec.name)
    from pocketvision.models.timm_parts import timm_parts

    return timm_parts(spec, in_channels)


def _ensemble_parts(spec: Ensemble, in_channels: int) -> Parts:
    def network_of(member: Member) -> Network:
        heads = {task: HeadSpec(head.head, head.classes, features=head.features) for task, head in member.heads.items()}
        return Network(member.architecture, heads)

    return ensemble_parts(spec, in_channels, network_of)


PARTS: dict[type, Callable[[Any, int], Parts]] = {
    Architecture: convolutional_parts,
    VisionTransformer: transformer_parts,
    TimmBackbone: _timm_parts,
    Ensemble: _ensemble_parts,
}
"""What builds each kind of spec, from the spec and the number of input channels."""


class Network(nn.Module):
    """A backbone built from `architecture` and a head for each task, weights drawn from torch's global random state.

    A *cut* is the number of stages below it: `trunk(images, cut)` is what may be frozen and cached, `tail(activations,
    cut)` the rest up to the pooled features. `channels[cut]` and `strides[cut]` describe the activations at a cut.
    Activations are (N, channels, h, w); a transformer's are tokens, (N, 1 + h * w, channels), the class token first.
    `heads` are by the task's name, each built from its HeadSpec in `head_specs`. `features_read`: the names of the backbone's
    features (features.py) that they read; one pass through the backbone serves all.
    `checkpointing`: in training, keep only the stages' ends and compute what lies between them again for the gradients
    (Chen et al., 2016): less memory, about a third more time, the same gradients.
    """

    def __init__(self, architecture: ModelSpec, heads: Mapping[str, HeadSpec], *, in_channels: int = 3) -> None:
        super().__init__()
        self.architecture = architecture
        self.channels = architecture.trunk_channels()
        self.strides = architecture.trunk_strides()
        self.feature_channels = architecture.feature_channels()
        self.checkpointing = False
        stem, stages, head = PARTS[type(architecture)](architecture, in_channels)
        self.stem, self.stages, self.head = stem, nn.ModuleList(stages), head  # in the order they run
        self.cuts = range(len(stages) + 1)
        self.declared = features_of(architecture)
        self.set_heads(heads)
        self.register_load_state_dict_pre_hook(_rename)  # type: ignore[no-untyped-call]

    @property
    def num_classes(self) -> int:
        """Outputs of the classifier."""
        if (
            CLASSIFICATION not in self.head_specs
        ):  # what walks over a module's attributes, as torch.jit does, knows this error
            raise AttributeError("this network has no classifier")
        return self.head_specs[CLASSIFICATION].classes

    def set_heads(self, heads: Mapping[str, HeadSpec]) -> None:
        """New, randomly initialised heads in place of those it has. Raises UsageError for one that this backbone can not feed."""
        rows = {task: head_named(spec.head) for task, spec in heads.items()}
        specs = {task: self._with_features(spec, rows[task]) for task, spec in heads.items()}
        built = nn.ModuleDict()
        for task, row in rows.items():
            if not is_task_name(task) or hasattr(built, task):
                raise UsageError(
                    f"A task can not be called {task!r}; expected small letters, digits and _, as in defects."
                )
            spec = specs[task]
            read = tuple(self.feature(name) for name in spec.features or row.features)
            dropout = self.architecture.dropout if spec.dropout is None else spec.dropout
            built[task] = row.build(read, spec.classes, dropout)
        device = next(self.parameters()).device
        self.heads, self.head_specs, self.head_rows = built.to(device), specs, rows
        reading = (specs[task].features or row.features for task, row in rows.items())
        self.features_read = tuple(dict.fromkeys(name for names in reading for name in names))
        self._bare = [row.kind for row in rows.values()] == [CLASSIFICATION]

    def _with_features(self, spec: HeadSpec, row: Head) -> HeadSpec:
        """The spec with the features that its head reads, where the row has none."""
        if spec.features or row.features:
            return spec
        return replace(spec, features=row.chosen(self.architecture))

    def feature(self, name: str) -> Feature:
        """The backbone's feature of that name. Raises UsageError that lists near matches."""
        if name not in self.declared:
            raise unknown_name(f"feature of {self.architecture.name}", name, self.declared)
        return self.declared[name]

    def forward(self, images: Tensor) -> Any:
        """Preprocessed images (N, 3, H, W) to logits (N, classes) where classification is alone, else to `outputs`."""
        outputs = self.outputs(images)
        return outputs["logits"] if self._bare else outputs

    def outputs(self, images: Tensor) -> dict[str, Tensor]:
        """Preprocessed images (N, 3, H, W) to what every head learns from, as TASK.ROLE (`named`)."""
        return self.named(self.on_features(self.features(images, self.features_read)))

    def on_features(self, features: Mapping[str, Tensor]) -> ByTask:
        """The heads alone: from their features to what they learn from, by task and role."""
        return {task: head(features) for task, head in self._head_modules()}

    def decoded(self, outputs: ByTask, postprocessing: Mapping[str, Mapping[str, Any]]) -> ByTask:
        """From what heads learn from to what ships, by task and role; postprocessing is by task."""
        return {task: head.decode(outputs[task], postprocessing.get(task, {})) for task, head in self._head_modules()}

    def named(self, outputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """By task and role to one name each: TASK.ROLE, or the role's alone where classification is alone."""
        found = {}
        for task, roles in outputs.items():
            names = output_names(task, tuple(roles), alone=self._bare)
            found.update({names[role]: value for role, value in roles.items()})
        return found

    def at_cut(self, names: Iterable[str], cut: int) -> tuple[str, ...]:
        """Those of the features `names` that are the very activations at that cut. A transformer's tokens are no map."""
        maps = isinstance(self.architecture, Architecture)
        found = {name: self.feature(name) for name in names}
        return tuple(
            name
            for name, each in found.items()
            if maps and each.cut == cut and each.stride is not None and not name.startswith(EXPANSION)
        )

    def trunk(self, images: Tensor, cut: int) -> Tensor:
        """The stem and the first `cut` stages: (N, 3, H, W) to activations."""
        self._check_cut(cut)
        activations: Tensor = self.stem(images)
        return self._through(activations, 0, cut)

    def tail(self, activations: Tensor, cut: int) -> Tensor:
        """From the trunk to the pooled features: activations to (N, feature_channels)."""
        return self.above({CUT: activations}, cut, [POOLED])[POOLED]

    def features(self, images: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
        """The features `names` (features.py) of preprocessed images (N, 3, H, W), in one pass through as much of the backbone as
        they need: (N, channels), or maps (N, channels, ceil(H / stride), ceil(W / stride)).

        A transformer's maps are its patches without the class token. Networks of timm's that do not pad (Inception) give some
        pixels less. Raises UsageError for a name that the architecture has not, and for one of timm's whose activations are no
        map (some keep the class token alone).
        """
        return self.above({CUT: self.stem(images)}, 0, names, size=(images.shape[2], images.shape[3]))

    def below(self, images: Tensor, cut: int, names: Iterable[str]) -> dict[str, Tensor]:
        """What to keep of images (N, 3, H, W) when all below `cut` is frozen: `cut`, the activations there, and those of `names`
        that the activations do not tell. One pass through the trunk; raises as `features` does."""
        self._check_cut(cut)
        wanted = {name: self.feature(name) for name in names}
        low = {name: feature for name, feature in wanted.items() if feature.is_below(cut)}
        size = (images.shape[2], images.shape[3])
        activations, reached, found = self._walked(self.stem(images), 0, low, size)
        return {CUT: self._through(activations, reached, cut), **{name: found[name] for name in low}}

    def above(
        self, kept: Mapping[str, Tensor], cut: int, names: Iterable[str], *, size: tuple[int, int] | None = None
    ) -> dict[str, Tensor]:
        """The features `names` from what `below` keeps at that cut. size: the images' height and width, which a transformer's
        tokens do not tell. Raises as `features` does, and UsageError for a feature below the cut that was not kept."""
        self._check_cut(cut)
        wanted = {name: self.feature(name) for name in names}
        low = [name for name, feature in wanted.items() if feature.is_below(cut)]
        lost = [name for name in low if name not in kept]
        if lost:
            raise UsageError(f"The activations of {self.architecture.name} at cut {cut} do not tell {', '.join(lost)}.")
        rest = {name: feature for name, feature in wanted.items() if name not in low}
        activations, reached, found = self._walked(kept[CUT], cut, rest, size)
        if any(feature.cut is None for feature in rest.values()):
            found |= self._last_features(rest, self._through(activations, reached, len(self.stages)))
        return {name: kept[name] if name in low else found[name] for name in wanted}

    def pyramid(self, images: Tensor) -> dict[int, Tensor]:
        """The deepest activations at every stride, by stride: what detectors and segmenters are built on. A transformer has one
        level. Raises as `features` does."""
        levels = self.features(images, (f"stride{stride}" for stride in dict.fromkeys(self.strides)))
        return {stride: levels[f"stride{stride}"] for stride in dict.fromkeys(self.strides)}

    def _walked(
        self, activations: Tensor, reached: int, wanted: Mapping[str, Feature], size: tuple[int, int] | None
    ) -> tuple[Tensor, int, dict[str, Tensor]]:
        """Up to the last of the `wanted` features that stages give: the activations and the cut there, and the features."""
        found: dict[str, Tensor] = {}
        for end in sorted({feature.cut for feature in wanted.values() if feature.cut is not None}):
            activations, reached = self._through(activations, reached, end), end
            own = [feature for feature in wanted.values() if feature.cut == end]
            for feature in own:
                if not feature.name.startswith(EXPANSION):
                    found[feature.name] = self._formed(feature, activations, size)
            for feature in own:
                if feature.name.startswith(EXPANSION):
                    found[feature.name], activations = self._expanded(activations, end)
                    reached = end + 1
        return activations, reached, found

    def _expanded(self, activations: Tensor, stage: int) -> tuple[Tensor, Tensor]:
        """What the stage's first block widens its input to, computed once, and what the stage gives."""
        first, *rest = cast(nn.Sequential, self.stages[stage])
        block = cast(Block, first)
        widened: Tensor = block.expand(activations)
        activations = block.narrowed(activations, widened)
        for each in rest:
            activations = each(activations)
        return widened, activations

    def _formed(self, feature: Feature, activations: Tensor, size: tuple[int, int] | None) -> Tensor:
        """A feature from the activations at its cut."""
        assert feature.cut is not None
        stride, channels = self.strides[feature.cut], self.channels[feature.cut]
        grid = None if size is None else tuple(-(-side // stride) for side in size)
        level = _as_map(activations, channels, grid)
        if level is None:
            raise UsageError(
                f"{self.architecture.name} has no pyramid: what comes out at stride {stride} is {tuple(activations.shape)}, "
                f"no map of {channels} channels."
            )
        return level if feature.stride is not None else _pooled(level, feature.name)

    def _last_features(self, wanted: Iterable[str], activations: Tensor) -> dict[str, Tensor]:
        """Those of `wanted` that the backbone's head makes of the last stage's activations."""
        head = self.head
        if isinstance(self.architecture, Ensemble):
            return dict(head(activations))
        if not isinstance(head, ConvolutionalHead):
            return {POOLED: head(activations)}
        level = head.conv(activations)
        made: dict[str, Callable[[], Tensor]] = {
            HEAD_CONV: lambda: level,
            POOL + HEAD_CONV: lambda: _pooled(level, POOL),
            MAX + HEAD_CONV: lambda: _pooled(level, MAX),
            GRIDDED + HEAD_CONV: lambda: _pooled(level, GRIDDED),
            POOLED: lambda: head.pool(level),
        }
        return {name: made[name]() for name in wanted if name in made}

    def _through(self, activations: Tensor, first: int, last: int) -> Tensor:
        """Through the stages from `first` up to `last`."""
        for stage in self.stages[first:last]:
            if self.checkpointing and torch.is_grad_enabled():
                activations = checkpoint(stage, activations, use_reentrant=False, context_fn=partial(_once, stage))
            else:
                activations = stage(activations)
        return activations

    def _head_modules(self) -> Iterable[tuple[str, HeadModule]]:
        return ((task, cast(HeadModule, head)) for task, head in self.heads.items())

    def _check_cut(self, cut: int) -> None:
        if cut not in self.cuts:
            raise UsageError(
                f"{self.architecture.name} has no cut {cut}. Expected 0 to {self.cuts[-1]} (stages below it)."
            )


class Decoded(nn.Module):
    """The graph that ships: a network whose heads' outputs are decoded. `names` are those of what it puts out, in their order.

    postprocessing: the settings of each task. Numbers and lists of them are tensors in the graph, so that its structure does not
    depend on them.
    """

    def __init__(self, network: Network, postprocessing: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__()
        self.network = network
        self._settings: dict[str, dict[str, Any]] = {task: dict(own) for task, own in postprocessing.items()}
        self._buffer_names: dict[str, dict[str, str]] = {task: {} for task in postprocessing}
        for task, own in self._settings.items():
            for name in [name for name, value in own.items() if _is_numbers(value)]:
                buffer = f"setting_{len(self._buffers)}"
                self.register_buffer(buffer, torch.tensor(own.pop(name), dtype=torch.float32))
                self._buffer_names[task][name] = buffer
        roles = {task: dict.fromkeys(row.roles) for task, row in network.head_rows.items()}
        self.names = tuple(network.named(roles))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) preprocessed images to a tensor for each of `names`, a batch first."""
        network = self.network
        return self.of_learned(network.on_features(network.features(images, network.features_read)))

    def of_learned(self, outputs: ByTask) -> tuple[Tensor, ...]:
        """The same from what the heads put out, by task and role."""
        network = self.network
        return tuple(network.named(network.decoded(outputs, self._postprocessing())).values())

    def _postprocessing(self) -> dict[str, dict[str, Any]]:
        return {
            task: {**own, **{name: getattr(self, buffer) for name, buffer in self._buffer_names[task].items()}}
            for task, own in self._settings.items()
        }


def _is_numbers(value: object) -> bool:
    """Whether a setting is a number that is no count, or a list of such."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return len(value) > 0 and all(isinstance(each, float) for each in value)
    return isinstance(value, float)


def fold_norms(network: Network) -> Network:
    """A copy in eval mode with every batch norm folded into its convolution: what is exported. Same answers."""
    folded = copy.deepcopy(network).eval()
    for module in folded.modules():
        if isinstance(module, ConvNormAct):
            module.fold()
    return folded


def _pooled(level: Tensor, name: str) -> Tensor:
    """A map (N, channels, h, w) to its mean, its maximum or its grid, by the feature's name (features.py)."""
    if name.startswith(GRIDDED):
        return nn.functional.adaptive_avg_pool2d(level, GRID).flatten(1)
    return level.amax((2, 3)) if name.startswith(MAX) else level.mean((2, 3))


def _as_map(activations: Tensor, channels: int, grid: tuple[int, ...] | None) -> Tensor | None:
    """Tokens, but the class token, back in their places on the grid (height, width); channels from the last axis to the first.
    None when neither is it."""
    if activations.ndim == 4:
        if activations.shape[1] == channels:
            return activations
        return activations.permute(0, 3, 1, 2) if activations.shape[3] == channels else None
    if grid is None:
        raise ValueError("tokens have to be told the size of the images that they come from")
    height, width = grid
    if activations.ndim != 3 or activations.shape[1] < height * width:
        return None
    tokens = activations[:, -height * width :].transpose(1, 2)
    return tokens.reshape(tokens.shape[0], channels, height, width)


def _once(stage: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Around a stage, and around its second run: norms remember a batch once."""
    return nullcontext(), frozen_statistics(stage)


def _rename(_module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """Weights of older versions, in place."""
    renamed = with_names_of_today(state, prefix)
    state.clear()
    state.update(renamed)
