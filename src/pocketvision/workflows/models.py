"""models: what can be trained, what it costs, how to scale it, and where its weights come from. Needs no torch."""

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from pocketvision.atomic_files import replacing
from pocketvision.errors import UsageError, unknown_name
from pocketvision.models import efficientnet
from pocketvision.models.catalog import architecture
from pocketvision.models.cost import Cost, cost, layers, separable_share, total
from pocketvision.models.drawing import draw
from pocketvision.models.layer import Layer
from pocketvision.models.published_weights import PUBLISHED_WEIGHTS, PublishedWeights
from pocketvision.models.scaling import ALPHA, BETA, GAMMA, CompoundScale, fit_coefficients, fit_phi, fit_width, scaled
from pocketvision.models.spec import Architecture, ModelSpec, StageLine
from pocketvision.models.summary import ModelSummary, summaries
from pocketvision.models.timm_backbone import TimmBackbone, timm_weights

SORT_KEYS = ("name", "family", "input_size", "parameters", "macs", "activations", "top1")


def models(
    *,
    family: str | None = None,
    max_parameters: float | None = None,
    max_macs: float | None = None,
    with_weights: bool = False,
    sort: str | None = None,
) -> tuple[ModelSummary, ...]:
    """The architectures of the catalogue, in its order or sorted (by accuracy the best first, else the smallest first).

    family: only this one. max_parameters and max_macs: at most so many. with_weights: only those with published weights.
    Raises UsageError for an unknown family or sort key.
    """
    lines = list(summaries())
    families = dict.fromkeys(line.family for line in lines)
    if family is not None and family not in families:
        raise unknown_name("family", family, families)
    if sort is not None and sort not in SORT_KEYS:
        raise unknown_name("sort key", sort, SORT_KEYS)
    lines = [
        line
        for line in lines
        if (family is None or line.family == family)
        and (max_parameters is None or line.parameters <= max_parameters)
        and (max_macs is None or line.macs <= max_macs)
        and (line.weights or not with_weights)
    ]
    if sort == "top1":
        lines.sort(key=lambda line: -(line.top1 or 0.0))
    elif sort is not None:
        lines.sort(key=lambda line: getattr(line, sort))
    return tuple(lines)


@dataclass(frozen=True)
class StageInfo:
    """One line of `models info`: the stem, a stage or the head.

    `kernel` is its side, None where there is none, none that is square, or not one alone; `expansion` is None where it is not
    known. Both are so inside of timm's stages.
    `size` is its output's side in pixels. `separable_macs` are of its depthwise-separable pairs (a depthwise convolution and the
    1x1 after it), `standard_macs` of the standard convolutions that they stand for, 0 where it has none; `separable_theory` is
    what the former should be of the latter, 1/N + 1/k^2.
    """

    name: str
    block: str
    kernel: int | None
    stride: int
    expansion: float | None
    channels: int
    repeats: int
    size: int
    parameters: int
    macs: int
    separable_macs: int
    standard_macs: int
    separable_theory: float | None


@dataclass(frozen=True)
class ModelInfo:
    """An architecture, taken apart for an input of `size` pixels."""

    architecture: ModelSpec
    size: int
    cost: Cost
    stages: tuple[StageInfo, ...]
    layers: tuple[Layer, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "architecture": self.architecture.to_dict(),
            "size": self.size,
            "cost": asdict(self.cost),
            "stages": [asdict(stage) for stage in self.stages],
            "layers": [
                {**asdict(layer), "parameters": layer.parameters, "macs": layer.macs, "activations": layer.activations}
                for layer in self.layers
            ],
        }


def model_info(name: str, *, size: int | None = None, drawing: str | Path | None = None) -> ModelInfo:
    """The stages of an architecture (a name, or a JSON or TOML file of rows) with what each costs.

    drawing: write an SVG of it to this file. Raises UsageError for an unknown name or a size out of 8 to 4096.
    """
    row = architecture(name)
    side = row.input_size if size is None else size
    if not 8 <= side <= 4096:
        raise UsageError(f"--size is {side}; expected a number from 8 to 4096.")
    found = layers(row, size=side)
    if drawing is not None:
        path = Path(drawing)
        if path.suffix.lower() != ".svg":
            raise UsageError(f"--draw {path}: the drawing is an SVG file; let the name end in .svg.")
        with replacing(path) as temporary:
            temporary.write_text(draw(row, size=side), encoding="utf-8")
    return ModelInfo(row, side, total(found), _stage_infos(row, found, side), found)


def model_weights(name: str) -> tuple[PublishedWeights, ...]:
    """Every published set of weights of an architecture, the first choice first. UsageError for an unknown name."""
    spec = architecture(name)
    if isinstance(spec, TimmBackbone):
        published = timm_weights(spec)
        return () if published is None else (published,)
    return PUBLISHED_WEIGHTS.get(name, ())


@dataclass(frozen=True)
class ScaledModel:
    """A scaled architecture, its multipliers over the base and its cost.

    `alpha`, `beta` and `gamma` are the coefficients that phi was raised on. They and `phi` are None where a width was fitted,
    and for the published networks, whose multipliers their authors rounded.
    """

    architecture: Architecture
    base: str
    phi: float | None
    depth: float
    width: float
    resolution: float
    cost: Cost
    alpha: float | None = None
    beta: float | None = None
    gamma: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `architecture` is what --model takes as a file."""
        return {**asdict(self), "architecture": self.architecture.to_dict()}


def scale_model(
    base: str = "efficientnet_b0",
    *,
    phi: float | None = None,
    alpha: float | None = None,
    beta: float | None = None,
    gamma: float | None = None,
    width: bool = False,
    depth: float = 1.0,
    coefficients: bool = False,
    max_macs: float | None = None,
    max_parameters: float | None = None,
) -> ScaledModel:
    """`base` scaled by `phi`; or, without phi, to what fits a budget of macs or parameters.

    With a budget the largest phi is sought, or with `width` the largest width at `depth` times the repeats, or with
    `coefficients` those alpha, beta and gamma whose network at `phi` (None: 1) uses most of `max_macs`.
    alpha, beta, gamma: None takes the paper's.
    Raises UsageError for coefficients that break alpha * beta^2 * gamma^2 = 2, for a budget that nothing fits, and for options
    that do not go together.
    """
    row = architecture(base)
    if not isinstance(row, Architecture):
        raise UsageError(f"{base} is not made of convolutional rows, which are what is scaled here.")
    macs, parameters = _budget("--max-macs", max_macs), _budget("--max-parameters", max_parameters)
    given = {"--alpha": alpha, "--beta": beta, "--gamma": gamma}
    own = [option for option, value in given.items() if value is not None]
    if coefficients:
        _check_coefficients(own, phi=phi, width=width, depth=depth, macs=macs, parameters=parameters)
    else:
        _check_scaling(own, phi=phi, width=width, depth=depth, budget=macs is not None or parameters is not None)
    scale: CompoundScale | None = None
    if coefficients and macs is not None:
        scale, found = fit_coefficients(row, macs=macs, phi=1.0 if phi is None else phi)
    elif phi is not None:
        scale = CompoundScale(
            phi, ALPHA if alpha is None else alpha, BETA if beta is None else beta, GAMMA if gamma is None else gamma
        )
        found = scaled(row, scale)
    elif width:
        found = fit_width(row, macs=macs, parameters=parameters, depth=depth)
    else:
        largest, found = fit_phi(row, macs=macs, parameters=parameters)
        scale = CompoundScale(largest)
    return ScaledModel(
        found,
        base,
        None if scale is None else scale.phi,
        found.depth / row.depth,
        found.width / row.width,
        found.input_size / row.input_size,
        cost(found),
        *((None, None, None) if scale is None else (scale.alpha, scale.beta, scale.gamma)),
    )


def _check_coefficients(
    own: Sequence[str], *, phi: float | None, width: bool, depth: float, macs: int | None, parameters: int | None
) -> None:
    """UsageError when `--coefficients` stands beside what it seeks, or without its budget. `own`: the coefficients given."""
    if own:
        raise UsageError(
            f"--coefficients seeks alpha, beta and gamma; {own[0]} gives one already. Leave one of them out."
        )
    if width:
        raise UsageError(
            "--coefficients seeks depth, width and resolution; --width the width alone. Leave one of them out."
        )
    if depth != 1.0:
        raise UsageError("--depth is for --width; with --coefficients alpha scales the depth.")
    if parameters is not None:
        raise UsageError("--coefficients has a budget of --max-macs; leave --max-parameters out.")
    if macs is None:
        raise UsageError("--coefficients needs a budget: give --max-macs as well.")
    if phi == 0:
        raise UsageError(
            "--coefficients changes nothing at --phi 0, which is the base network; expected a phi above 0."
        )


def _check_scaling(own: Sequence[str], *, phi: float | None, width: bool, depth: float, budget: bool) -> None:
    """UsageError for options that do not go together, without `--coefficients`. `own`: the coefficients given."""
    if phi is not None and budget:
        raise UsageError(
            "Give --phi or a budget (--max-macs, --max-parameters), not both; --coefficients alone takes --phi with --max-macs."
        )
    if phi is None and not budget:
        raise UsageError("Say how large: --phi, --max-macs or --max-parameters.")
    if phi is not None and width:
        raise UsageError("--width seeks the width for a budget; --phi gives it already. Leave one of them out.")
    if depth != 1.0 and not width:
        raise UsageError("--depth is for --width; else phi scales the depth.")
    if phi is None and own:
        raise UsageError("--alpha, --beta and --gamma are for --phi; a budget is searched with the paper's.")
    if not 0.01 <= depth <= 100:
        raise UsageError(f"--depth is {depth}; expected a number from 0.01 to 100.")


def _budget(option: str, value: float | None) -> int | None:
    if value is None:
        return None
    if not 0 < value < 1e15:
        raise UsageError(f"{option} is {value:g}; expected a number above 0.")
    return int(value)


def published_scales() -> tuple[ScaledModel, ...]:
    """EfficientNet B0 to B7, to lay a scaled network beside."""
    rows = [row for row in efficientnet.ROWS if re.fullmatch(r"efficientnet_b\d", row.name)]
    base = rows[0]
    return tuple(
        ScaledModel(row, base.name, None, row.depth, row.width, row.input_size / base.input_size, cost(row))
        for row in rows
    )


def _stage_infos(row: ModelSpec, found: Sequence[Layer], side: int) -> tuple[StageInfo, ...]:
    channels, strides = row.trunk_channels(), row.trunk_strides()
    stem = [layer for layer in found if layer.name.startswith("stem.")]
    ends = [layer for layer in found if layer.stage is None and layer not in stem]
    one = len(stem) == 1  # timm's may have blocks in it, or be the whole network
    stem_line = StageLine(
        "convolution" if one else "timm",
        _kernel_of(stem),
        stem[0].stride if one else strides[0],
        1.0 if one else None,
        channels[0],
        1,
    )
    convolutions = [layer for layer in ends if layer.name.startswith("head.") and layer.name != "head.linear"]
    kernel = _kernel_of(convolutions)
    head_line = StageLine("linear" if kernel is None else "convolution", kernel, 1, 1.0, row.feature_channels(), 1)
    return (
        _line("stem", stem_line, stem, -(-side // strides[0])),
        *(
            _line(f"stage {number}", line, [layer for layer in found if layer.stage == number], -(-side // stride))
            for number, (line, stride) in enumerate(zip(row.stage_lines(), strides[1:], strict=True))
        ),
        _line("head", head_line, ends, 1),
    )


def _kernel_of(own: Sequence[Layer]) -> int | None:
    """The side of the convolutions' one square kernel. Linear layers on tokens have none."""
    sides = {layer.kernel_sides for layer in own if layer.tokens is None}
    height, width = sides.pop() if len(sides) == 1 else (0, 1)
    return height if height == width else None


def _line(name: str, line: StageLine, own: list[Layer], pixels: int) -> StageInfo:
    """`pixels`: the output's side by the stride, for parts whose convolutions do not tell it."""
    sums = total(own)
    separable = standard = 0
    theory = None
    for first, second in _separable_pairs(own):
        if theory is None:
            theory = separable_share(first.kernel, second.out_channels, first.kernel_width)
        separable += first.macs + second.macs
        # A standard convolution of the depthwise kernel and stride, with the pair's inputs and outputs.
        standard += math.prod(first.kernel_sides) * first.in_channels * second.out_channels * first.size**2
    # Not those of squeeze-and-excitation, after pooling, nor linear layers on tokens.
    sizes = [layer.size for layer in own if layer.tokens is None and layer.size > 1]
    return StageInfo(
        name,
        line.block,
        line.kernel,
        line.stride,
        line.expansion,
        line.channels,
        line.repeats,
        sizes[-1] if sizes and name != "head" else pixels,
        sums.parameters,
        sums.macs,
        separable,
        standard,
        theory,
    )


def _separable_pairs(own: list[Layer]) -> list[tuple[Layer, Layer]]:
    """Every depthwise convolution with the 1x1 convolution that mixes its channels, squeeze-and-excitation (ours, timm's) between
    them or not."""
    kept = [layer for layer in own if ".squeeze." not in layer.name and ".se." not in layer.name]
    return [
        (first, second)
        for first, second in pairwise(kept)
        if first.groups == first.in_channels > 1 and second.kernel_sides == (1, 1) and first.size == second.size
    ]
