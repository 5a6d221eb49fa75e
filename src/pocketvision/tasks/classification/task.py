"""Classification's row of TASKS."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketvision.tasks.classification.agreement import agree
from pocketvision.tasks.classification.answer import Classification
from pocketvision.tasks.classification.decision import Decision
from pocketvision.tasks.classification.decode import LOGITS, PROBABILITIES, classify
from pocketvision.tasks.classification.draw import draw
from pocketvision.tasks.classification.track import HeldLabel
from pocketvision.tasks.classification.truth import ClassLabels
from pocketvision.tasks.classification.wire import WIRE
from pocketvision.tasks.manifest import TaskManifest, output_names
from pocketvision.tasks.task import Role, Task

if TYPE_CHECKING:
    from pocketvision.tasks.measuring import Measuring
    from pocketvision.tasks.reporting.parts import TaskReport


def _measuring() -> "Measuring[Classification, Any]":
    from pocketvision.tasks.classification.measuring import MEASURING

    return MEASURING


def _report() -> "TaskReport":
    from pocketvision.tasks.classification.report.report import REPORT

    return REPORT


CLASSIFICATION = Task[Classification](
    kind="classification",
    truth=ClassLabels,
    roles=(Role(LOGITS, "logit"), Role(PROBABILITIES, "probability", scale=1.0)),
    decode=classify,
    agree=agree,
    report=_report,
    measuring=_measuring,
    wire=WIRE,
    draw=draw,
    tracker=HeldLabel,
    page=Path(__file__).with_name("page.js"),
    check=Decision.of,
)


def classifying(labels: Sequence[str], temperature: float = 1.0) -> dict[str, TaskManifest]:
    """The tasks of a bundle that classifies and nothing else, with nothing measured yet. ValueError for a temperature that is not
    above 0."""
    if not temperature > 0:
        raise ValueError(f"the temperature is {temperature}; expected a number above 0")
    kind = CLASSIFICATION.kind
    outputs = output_names(kind, CLASSIFICATION.role_names, alone=True)
    return {kind: TaskManifest(kind, tuple(labels), outputs, "linear", {"temperature": temperature})}
