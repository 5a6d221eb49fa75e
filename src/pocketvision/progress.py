"""What a workflow reports while it works: small values handed to a callable. The command line draws them; logs keep them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

NO_FIGURES = ("loss", "weight", "cosine")
"""What else is said of a task in an epoch."""


@dataclass(frozen=True)
class EpochRecord:
    """One line of history. `seconds` covers training and validation; `images_per_second` training alone.

    The accuracies are classification's where it is learned; else val_accuracy is the figure of the first task, and train_accuracy
    its share of what was right. tasks: TASK.loss and TASK.FIGURE of validation, for each, such as detection.AP50; of several also
    TASK.weight, and ONE+OTHER.cosine of their gradients. Empty where classification is alone.
    waiting: the share of the training pass that was spent waiting for batches, in [0, 1]. peak_memory: the most that the process
    held in the epoch, in MB; 0 where that is not known. gpu_memory: the most of a GPU's memory, in MB; 0 without one.
    """

    stage: int
    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float
    seconds: float
    images_per_second: float
    tasks: Mapping[str, float] = field(default_factory=dict)
    waiting: float = 0.0
    peak_memory: float = 0.0
    gpu_memory: float = 0.0

    @property
    def losses(self) -> dict[str, float]:
        """By task, its validation loss in `tasks`."""
        return {name.removesuffix(".loss"): value for name, value in self.tasks.items() if name.endswith(".loss")}

    @property
    def figures(self) -> dict[str, float]:
        """By task, its figure in `tasks`."""
        named = ((*column.rpartition("."), value) for column, value in self.tasks.items())
        return {task: value for task, _, what, value in named if what not in NO_FIGURES}

    @property
    def validated(self) -> dict[str, float]:
        """What people read of `tasks`: loss and figure by column, without the task where there is one alone."""
        read = {name: value for name, value in self.tasks.items() if not name.endswith((".weight", ".cosine"))}
        return read if len(self.figures) > 1 else {name.rpartition(".")[2]: value for name, value in read.items()}


@dataclass(frozen=True)
class StepProgress:
    """What a progress display needs after each batch."""

    stage: int
    epoch: int
    step: int
    steps: int
    loss: float
    accuracy: float
    images_per_second: float


@dataclass(frozen=True)
class Note:
    """A sentence for the reader, such as a file that was skipped and why."""

    text: str


@dataclass(frozen=True)
class Counted:
    """`done` of `total` items of a step such as "audit" or "cache". Every item is reported; a display may skip some."""

    step: str
    done: int
    total: int


@dataclass(frozen=True)
class EpochEnded:
    """An epoch's figures. `best`: whether its validation loss is the lowest of its stage so far."""

    record: EpochRecord
    epochs: int
    best: bool


@dataclass(frozen=True)
class PlannedPhase:
    """A phase to come. epochs: at most. passes: what an epoch costs an image, in passes of a view through the frozen network: a
    first guess. seconds: of an epoch, where it was measured."""

    stage: int
    epochs: int
    passes: float = 1.0
    seconds: float | None = None


@dataclass(frozen=True)
class Planned:
    """What a training will do, once its data is known, and again when its plan changes. images: of an epoch, validation included.
    views: that are run through the frozen network once. at_the_end: images that are compared and evaluated after the last epoch.
    after: seconds then, whatever the images."""

    phases: tuple[PlannedPhase, ...]
    images: int
    views: int
    at_the_end: int
    after: float


Event = Note | Counted | StepProgress | EpochEnded | Planned
OnEvent = Callable[[Event], None]


def silent(event: Event) -> None:
    """Shows nothing: the Python API's default."""
