"""What each architecture costs and how well its published weights do, for a table on the screen. Needs no torch."""

from dataclasses import asdict, dataclass
from typing import Any

from pocketvision.models.catalog import ARCHITECTURES, architecture
from pocketvision.models.cost import cost
from pocketvision.models.published_weights import PUBLISHED_WEIGHTS

KINDS = {"package": "PyPI", "hub": "Hugging Face", "torchvision": "torchvision"}


@dataclass(frozen=True)
class ModelSummary:
    """One line of the models table, at `input_size` pixels and 1000 classes.

    `activations` are numbers put out by all convolutions. `top1` in percent is that of the first published weights, None
    when there are none; `weights` names every place they are published, the first choice first.
    """

    name: str
    family: str
    input_size: int
    parameters: int
    macs: int
    activations: int
    top1: float | None
    weights: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data."""
        return {**asdict(self), "weights": list(self.weights)}


def summaries() -> tuple[ModelSummary, ...]:
    """Every architecture of the catalogue, in its order."""
    return tuple(summary(name) for name in ARCHITECTURES)


def summary(name: str) -> ModelSummary:
    """The line of one architecture. UsageError for an unknown name."""
    row, published = architecture(name), PUBLISHED_WEIGHTS.get(name, ())
    counted = cost(row)
    return ModelSummary(
        name=name,
        family=row.family,
        input_size=row.input_size,
        parameters=counted.parameters,
        macs=counted.macs,
        activations=counted.activations,
        top1=published[0].top1 if published else None,
        weights=tuple(f"{KINDS[each.kind]}: {each.location}" for each in published),
    )
