"""models: what can be trained, what it costs, how to scale it, and where its weights come from. Needs no torch."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pocketvision.atomic_files import replacing
from pocketvision.errors import UsageError, unknown_name
from pocketvision.models.catalog import architecture
from pocketvision.models.cost import Cost, layers, total
from pocketvision.models.drawing import draw
from pocketvision.models.layer import Layer
from pocketvision.models.published_networks import published_network
from pocketvision.models.published_weights import PUBLISHED_WEIGHTS, PublishedWeights
from pocketvision.models.spec import ModelSpec
from pocketvision.models.stage_table import StageInfo, stage_infos
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
    return ModelInfo(row, side, total(found), stage_infos(row, found, side), found)


def model_weights(name: str) -> tuple[PublishedWeights, ...]:
    """Every published set of weights of an architecture, a detector or a segmenter, the first choice
    first. UsageError for an unknown name."""
    named = published_network(name)
    if named is not None:
        return (named.weights,)
    spec = architecture(name)
    if isinstance(spec, TimmBackbone):
        published = timm_weights(spec)
        return () if published is None else (published,)
    return PUBLISHED_WEIGHTS.get(name, ())
