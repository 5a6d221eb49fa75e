"""What a learner is: the training half of a kind of task, from what heads put out and what a person said to a loss."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pocketvision.data.balance import ClassWeights
from pocketvision.preprocessing import Fit, Placement
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.training.mixing import Mix, Mosaic
from pocketvision.training.settings import AUGMENTATION, STEP_SIZE, Phase, StepSize

Outputs = Mapping[str, Tensor]
"""What a head puts out to be learned from, by role, a batch first (models/heads/head.py)."""


@dataclass(frozen=True)
class Validated:
    """Of the validation images: the loss to stop on, and the figure that people read, in [0, 1], higher is better.

    name: the figure's, as the field says it and without a dot, such as AP50.
    """

    loss: float
    figure: float
    name: str


class Learner(Protocol):
    """The training half of a task. Targets and records are of its own making; nobody else looks into them.

    It is only shown images that have the task's truth.
    """

    def targets(self, truth: Any, rows: NDArray[np.int64], placements: Sequence[Placement]) -> Any:
        """What the loss needs of a batch. truth: of all images (tasks/truth.py), of the class that the task's kind has. rows: (N)
        which image each of the batch is. placements: where it lies in the network's input; each is computed when it is asked for.
        """

    def loss(self, outputs: Outputs, targets: Any) -> dict[str, Tensor]:
        """The parts of what is minimised, by name, each a number: their sum counts."""

    def right(self, outputs: Outputs, targets: Any) -> tuple[int, int]:
        """How many of how many are right, for people to watch: images for a classifier, objects for a detector."""

    def mixed(self, targets: Any, mix: Mix | Mosaic) -> Any:
        """The targets of a batch whose rows were mixed with others (mixing.py). Raises UsageError where that has no sense."""

    def record(self, outputs: Outputs, targets: Any) -> Any:
        """What validation and calibration keep of a batch, without gradients."""

    def validated(self, records: Sequence[Any]) -> Validated:
        """Of the records of all batches, at least one."""

    def calibrate(self, records: Sequence[Any]) -> dict[str, Any]:
        """The task's postprocessing (tasks/manifest.py), as plain values for JSON, found on the records of at least one batch."""

    def score_of(self, outputs: Outputs, choice: int) -> Tensor:
        """(N) what says yes to `choice`, such as a class's logit: what an explanation differentiates."""


@dataclass(frozen=True)
class LearnerOptions:
    """What a recipe says about learning: label_smoothing in [0, 1); class_weights as in data/balance.py. loss: one of the
    kind's, by name; empty takes its own default. regions, border: of masks, the share of the part of regions, and what borders
    weigh more; None where nothing is said."""

    label_smoothing: float = 0.0
    class_weights: ClassWeights = field(default="none")
    loss: str = ""
    regions: float | None = None
    border: float | None = None


@dataclass(frozen=True)
class LearnerRow:
    """A row.

    kind: of the task. head: of HEADS, what learns unless another is asked for. make: from the options and the truth of the images
    that are learned from, of the kind's class (to weigh classes by, to standardise numbers by); raises UsageError for options
    that do not fit it. fit: how an image is brought to the network's shape (preprocessing.py). solved_head: of HEADS, what learns
    where a phase solves it; empty for the same. turns: whether views may be turned by some degrees: an upright box around a
    turned object is too large for it. placed: whether the truth lies somewhere in the image. input_size: from the truth of the
    images and their sizes, (n, 2) width and height, to the side of the input that shows what is to be learned, and why, as a
    sentence; None takes the weights'. constant: from the truth and the sizes of the images that are learned from and of others,
    what an answer that never looks would reach on these, as a sentence; None where the figures say it themselves. step_size,
    augmentation: where a recipe gives none. other: from the number of images that are learned from to a phase of another model
    that is tried too, None for none. apart: how far what a head puts out is from what another network's does for the same images,
    to be minimised, scores of classes softened by a temperature; None: nothing is learned from another network. taught: what
    `apart` takes, from what a bundle's graph puts out by role, that bundle's task, the places (classes) of the learner's classes
    among its own, and the learner; raises UsageError for a bundle whose answers can not be brought to the learner's terms. mean:
    whether several networks' outputs have a mean.
    """

    kind: str
    head: str
    make: Callable[[LearnerOptions, Any], Learner]
    fit: Fit = "crop"
    solved_head: str = ""
    turns: bool = True
    placed: bool = True
    input_size: Callable[[Any, NDArray[np.integer]], tuple[int, str]] | None = None
    constant: Callable[[Any, NDArray[np.integer], Any, NDArray[np.integer]], str] | None = None
    step_size: StepSize = STEP_SIZE
    augmentation: str = AUGMENTATION
    other: Callable[[int], Phase | None] | None = None
    apart: Callable[[Outputs, Outputs, float], Tensor] | None = None
    taught: Callable[[Outputs, TaskManifest, Tensor, Any], dict[str, Tensor]] | None = None
    mean: bool = True
