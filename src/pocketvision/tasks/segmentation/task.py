"""The row of TASKS for segmentation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pocketvision.tasks.manifest import TaskManifest, output_names
from pocketvision.tasks.segmentation.agreement import agree
from pocketvision.tasks.segmentation.answer import Segmentation
from pocketvision.tasks.segmentation.decode import LOGITS, check, decode
from pocketvision.tasks.segmentation.draw import draw
from pocketvision.tasks.segmentation.merging import MergedMask
from pocketvision.tasks.segmentation.tiles import Tiling, asked, several, windows
from pocketvision.tasks.segmentation.track import SmoothedMasks
from pocketvision.tasks.segmentation.truth import SEGMENTATION as KIND
from pocketvision.tasks.segmentation.truth import MaskLabels
from pocketvision.tasks.segmentation.wire import WIRE
from pocketvision.tasks.task import Role, Task, Views

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pocketvision.tasks.doubting import Doubting
    from pocketvision.tasks.manifest import TaskManifest
    from pocketvision.tasks.measuring import Measuring
    from pocketvision.tasks.reporting.parts import TaskReport
    from pocketvision.tasks.task import Detail
    from pocketvision.tasks.turning import View

_LOGITS = 4.0
"""A logit that is off by so much moves a probability by 1 at most."""


def _measuring() -> "Measuring[Segmentation, Any]":
    from pocketvision.tasks.segmentation.measuring import MEASURING

    return MEASURING


def _averaged() -> "Callable[[Sequence[View], TaskManifest, Detail], Segmentation]":
    from pocketvision.tasks.segmentation.averaging import averaged

    return averaged


def _doubting() -> "Doubting[Segmentation, Any]":
    from pocketvision.tasks.segmentation.doubting import DOUBTING

    return DOUBTING


def _report() -> "TaskReport":
    from pocketvision.tasks.segmentation.report.report import REPORT

    return REPORT


def segmenting(labels: Sequence[str], postprocessing: Mapping[str, Any]) -> dict[str, TaskManifest]:
    """The tasks of a bundle that makes masks and nothing else, with nothing measured yet."""
    outputs = output_names(KIND, SEGMENTATION.role_names, alone=False)
    return {KIND: TaskManifest(KIND, tuple(labels), outputs, postprocessing=dict(postprocessing))}


def _check(task: TaskManifest) -> None:
    check(task)
    Tiling.of(task)


SEGMENTATION = Task[Segmentation](
    kind=KIND,
    truth=MaskLabels,
    roles=(Role(LOGITS, "logit", scale=_LOGITS),),
    decode=decode,
    agree=agree,
    averaged=_averaged,
    doubting=_doubting,
    measuring=_measuring,
    report=_report,
    wire=WIRE,
    draw=draw,
    tracker=SmoothedMasks,
    page=Path(__file__).with_name("page.js"),
    views=Views(several, windows, MergedMask, asked),
    in_pixels=True,
    check=_check,
)
