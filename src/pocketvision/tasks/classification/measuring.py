"""How a classifier is measured."""

from pocketvision.tasks.classification.answer import Classification
from pocketvision.tasks.classification.choosing import choose_thresholds, decide, points
from pocketvision.tasks.classification.comparison import compare_records
from pocketvision.tasks.classification.conformal import with_sets
from pocketvision.tasks.classification.metrics import check_options, kept_accuracy, measure
from pocketvision.tasks.classification.mistakes import mistakes
from pocketvision.tasks.classification.record import ClassRecord, record
from pocketvision.tasks.measuring import Deciding, Measuring

MEASURING = Measuring[Classification, ClassRecord](
    record=record,
    check=check_options,
    measure=measure,
    compare=compare_records,
    mistakes=mistakes,
    headline_of=kept_accuracy,
    deciding=Deciding(choose_thresholds, decide, points, "the most probable class, and never unsure", sets=with_sets),
)
