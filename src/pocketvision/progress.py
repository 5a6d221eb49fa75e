"""What a workflow reports while it works: small values handed to a callable. The command line draws them; logs keep them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pocketvision.training.figures import EpochRecord, StepProgress

if TYPE_CHECKING:
    from pocketvision.training.loop import LoopStep

_TUNING_STEPS = 50


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
class Planned:
    """What a training will do, once its data is known. epochs: (stage, epochs at most) of the stages to come. images: of an
    epoch, validation included. at_the_end: images that are compared and evaluated after the last one."""

    epochs: tuple[tuple[int, int], ...]
    images: int
    at_the_end: int


Event = Note | Counted | StepProgress | EpochEnded | Planned
OnEvent = Callable[[Event], None]


def report_tuning_step(on_event: OnEvent, step: "LoopStep", steps: int) -> None:
    """A note of every fiftieth step of a tuning, and of its last."""
    if step.step % _TUNING_STEPS == 0 or step.step == steps:
        on_event(
            Note(
                f"Tuning {step.step}/{steps}: loss {step.loss:.3f}, accuracy {step.accuracy:.1%}, "
                f"{step.images_per_second:.0f} images/s"
            )
        )


def silent(event: Event) -> None:
    """Shows nothing: the Python API's default."""
