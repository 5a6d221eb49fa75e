"""The table of learners. A new kind of task is a folder beside this file and a row here, or a row of an installed package."""

from pocketvision.errors import UsageError
from pocketvision.plugins import row_named
from pocketvision.training.classification import learner as classification
from pocketvision.training.detection import learner as detection
from pocketvision.training.learner import LearnerRow
from pocketvision.training.number import learner as number
from pocketvision.training.segmentation import learner as segmentation
from pocketvision.training.tags import learner as tags

LEARNERS: dict[str, LearnerRow] = {
    row.kind: row for row in (classification.ROW, tags.ROW, number.ROW, detection.ROW, segmentation.ROW)
}
"""From a kind of task to what learns it."""

GROUP = "pocketvision.learners"
"""The entry points of learners from outside."""


def learner_named(kind: str) -> LearnerRow:
    """The row of a kind of task. Raises UsageError for one that neither the table nor an installed package has."""
    row = row_named(LEARNERS, kind, group=GROUP, what="learner")
    if not isinstance(row, LearnerRow):
        raise UsageError(
            f"The learner {kind} of an installed package is a {type(row).__name__}; expected a LearnerRow."
        )
    return row
