"""How segmentation is measured."""

from pocketvision.tasks.measuring import Deciding, Measuring
from pocketvision.tasks.segmentation.answer import Segmentation
from pocketvision.tasks.segmentation.choosing import choose_thresholds, points
from pocketvision.tasks.segmentation.comparison import compare
from pocketvision.tasks.segmentation.metrics import check_options, kept_miou, measure
from pocketvision.tasks.segmentation.mistakes import mistakes
from pocketvision.tasks.segmentation.record import SegmentationRecord, decided, record

MEASURING = Measuring[Segmentation, SegmentationRecord](
    record=record,
    check=check_options,
    measure=measure,
    compare=compare,
    mistakes=mistakes,
    headline_of=kept_miou,
    deciding=Deciding(choose_thresholds, decided, points, unset="the class of the highest score", abstains=False),
)
