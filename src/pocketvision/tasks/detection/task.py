"""The row of TASKS for detection."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketvision.tasks.detection.agreement import agree
from pocketvision.tasks.detection.answer import Detections
from pocketvision.tasks.detection.decode import BOXES, SCORES, check, decode
from pocketvision.tasks.detection.draw import draw
from pocketvision.tasks.detection.ordering import PIXELS, in_order_of
from pocketvision.tasks.detection.track import FollowedObjects
from pocketvision.tasks.detection.truth import DETECTION as KIND
from pocketvision.tasks.detection.truth import BoxLabels
from pocketvision.tasks.detection.wire import WIRE
from pocketvision.tasks.manifest import TaskManifest, output_names
from pocketvision.tasks.task import Looked, Places, Role, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pocketvision.tasks.doubting import Doubting
    from pocketvision.tasks.manifest import TaskManifest
    from pocketvision.tasks.measuring import Measuring
    from pocketvision.tasks.reporting.parts import TaskReport
    from pocketvision.tasks.task import Detail
    from pocketvision.tasks.turning import View


def _measuring() -> "Measuring[Detections, Any]":
    from pocketvision.tasks.detection.measuring import MEASURING

    return MEASURING


def _averaged() -> "Callable[[Sequence[View], TaskManifest, Detail], Detections]":
    from pocketvision.tasks.detection.fusion import averaged

    return averaged


def _doubting() -> "Doubting[Detections, Any]":
    from pocketvision.tasks.detection.doubting import DOUBTING

    return DOUBTING


def _report() -> "TaskReport":
    from pocketvision.tasks.detection.report.report import REPORT

    return REPORT


def detecting(labels: Sequence[str], postprocessing: Mapping[str, Any]) -> dict[str, TaskManifest]:
    """The tasks of a bundle that finds objects and nothing else, with nothing measured yet."""
    outputs = output_names(KIND, DETECTION.role_names, alone=False)
    return {KIND: TaskManifest(KIND, tuple(labels), outputs, postprocessing=dict(postprocessing))}


def _with_looked(answer: Detections, looked: Looked) -> Detections:
    return replace(answer, looked=looked)


DETECTION = Task[Detections](
    kind=KIND,
    truth=BoxLabels,
    roles=(Role(BOXES, "side of a box", scale=PIXELS), Role(SCORES, "score", scale=1.0)),
    decode=decode,
    agree=agree,
    ordered=in_order_of,
    averaged=_averaged,
    doubting=_doubting,
    measuring=_measuring,
    report=_report,
    wire=WIRE,
    draw=draw,
    tracker=FollowedObjects,
    follows=True,
    page=Path(__file__).with_name("page.js"),
    places=Places("objects", attrgetter("boxes"), attrgetter("names"), attrgetter("looked"), _with_looked),
    in_pixels=True,
    check=check,
)
