"""The row of TASKS."""

from typing import TYPE_CHECKING, Any

from bright_spots.agreement import agree
from bright_spots.answer import BrightSpots
from bright_spots.decode import decode
from bright_spots.show import Held, draw
from bright_spots.truth import Points
from bright_spots.wire import WIRE
from pocketvision.tasks.task import Role, Task

if TYPE_CHECKING:
    from pocketvision.tasks.measuring import Measuring
    from pocketvision.tasks.reporting.parts import TaskReport


def _measuring() -> "Measuring[BrightSpots, Any]":
    from bright_spots.measuring import MEASURING

    return MEASURING


def _report() -> "TaskReport":
    from bright_spots.report.report import REPORT

    return REPORT


SPOTS = Task[BrightSpots](
    kind="spots",
    truth=Points,
    roles=(Role("fine", "score", scale=1.0), Role("coarse", "score", scale=1.0)),
    decode=decode,
    agree=agree,
    measuring=_measuring,
    report=_report,
    wire=WIRE,
    draw=draw,
    tracker=Held,
    has_classes=False,
)
