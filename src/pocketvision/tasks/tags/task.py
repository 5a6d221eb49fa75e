"""The row of TASKS for tags."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketvision.tasks.largest_agreement import agreeing_in
from pocketvision.tasks.tags.answer import Tags
from pocketvision.tasks.tags.decode import LOGITS, PROBABILITIES, decode, thresholds_of
from pocketvision.tasks.tags.draw import draw
from pocketvision.tasks.tags.track import HeldTags
from pocketvision.tasks.tags.truth import TAGS as KIND
from pocketvision.tasks.tags.truth import TagLabels
from pocketvision.tasks.tags.wire import WIRE
from pocketvision.tasks.task import Role, Task

if TYPE_CHECKING:
    from pocketvision.tasks.measuring import Measuring
    from pocketvision.tasks.reporting.parts import TaskReport


def _measuring() -> "Measuring[Tags, Any]":
    from pocketvision.tasks.tags.measuring import MEASURING

    return MEASURING


def _report() -> "TaskReport":
    from pocketvision.tasks.tags.report.report import REPORT

    return REPORT


TAGS = Task[Tags](
    kind=KIND,
    truth=TagLabels,
    roles=(Role(LOGITS, "logit"), Role(PROBABILITIES, "probability", scale=1.0)),
    decode=decode,
    agree=agreeing_in(PROBABILITIES, "max_probability_difference", "probabilities of tags differ by up to {largest}"),
    measuring=_measuring,
    report=_report,
    wire=WIRE,
    draw=draw,
    tracker=HeldTags,
    page=Path(__file__).with_name("page.js"),
    check=thresholds_of,
)
