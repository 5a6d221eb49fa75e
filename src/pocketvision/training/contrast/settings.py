"""What a pretraining without labels is told."""

from dataclasses import dataclass

from pocketvision.errors import UsageError


@dataclass(frozen=True)
class ContrastSettings:
    """model: an architecture; weights: as in training, none is a random start. batch: images a step, of two views each.
    temperature: of the loss. projection: numbers of the vectors that are compared. smallest_area: share of an image that a view
    shows at least; Chen et al. take 0.08 of 224 pixels. size: in pixels, None for the architecture's.

    Raises UsageError for values out of range.
    """

    model: str = "efficientnet_lite0"
    weights: str = "auto"
    epochs: int = 100
    batch: int = 128
    lr: float = 1e-3
    weight_decay: float = 1e-4
    temperature: float = 0.5
    projection: int = 128
    smallest_area: float = 0.2
    size: int | None = None
    val_share: float = 0.05
    seed: int = 0
    workers: int = 2

    def __post_init__(self) -> None:
        ranges = {
            "epochs": (1, 100_000),
            "batch": (2, 65_536),
            "lr": (1e-9, 10),
            "weight_decay": (0, 1),
            "temperature": (0.01, 10),
            "projection": (2, 65_536),
            "smallest_area": (0.01, 1),
            "val_share": (0.001, 0.5),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(f"{name} is {value:g}; expected {low:g} to {high:g}.")
