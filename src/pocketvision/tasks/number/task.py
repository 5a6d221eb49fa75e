"""The row of TASKS for numbers."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketvision.tasks.largest_agreement import agreeing_in
from pocketvision.tasks.number.answer import Number
from pocketvision.tasks.number.decode import STANDARDISED, VALUE, Shipped, decode
from pocketvision.tasks.number.draw import draw
from pocketvision.tasks.number.track import MeanNumber
from pocketvision.tasks.number.truth import NUMBER as KIND
from pocketvision.tasks.number.truth import NumberLabels
from pocketvision.tasks.number.wire import WIRE
from pocketvision.tasks.task import Role, Task

if TYPE_CHECKING:
    from pocketvision.tasks.measuring import Measuring
    from pocketvision.tasks.reporting.parts import TaskReport


def _measuring() -> "Measuring[Number, Any]":
    from pocketvision.tasks.number.measuring import MEASURING

    return MEASURING


def _report() -> "TaskReport":
    from pocketvision.tasks.number.report.report import REPORT

    return REPORT


NUMBER = Task[Number](
    kind=KIND,
    truth=NumberLabels,
    roles=(Role(VALUE, "number"), Role(STANDARDISED, "standardised number", scale=1.0)),
    decode=decode,
    agree=agreeing_in(
        STANDARDISED, "max_standardised_difference", "numbers differ by up to {largest} standard deviations"
    ),
    measuring=_measuring,
    report=_report,
    wire=WIRE,
    draw=draw,
    tracker=MeanNumber,
    page=Path(__file__).with_name("page.js"),
    has_classes=False,
    check=Shipped.of,
)
