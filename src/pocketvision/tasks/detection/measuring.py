"""How detection is measured."""

from pocketvision.tasks.detection.answer import Detections
from pocketvision.tasks.detection.choosing import choose_thresholds, points
from pocketvision.tasks.detection.comparison import compare
from pocketvision.tasks.detection.decode import THRESHOLD
from pocketvision.tasks.detection.metrics import check_options, kept_ap, measure
from pocketvision.tasks.detection.mistakes import mistakes
from pocketvision.tasks.detection.record import DetectionRecord, decided, record
from pocketvision.tasks.measuring import Deciding, Measuring

MEASURING = Measuring[Detections, DetectionRecord](
    record=record,
    check=check_options,
    measure=measure,
    compare=compare,
    mistakes=mistakes,
    headline_of=kept_ap,
    deciding=Deciding(choose_thresholds, decided, points, f"objects with a score of {THRESHOLD:g} and more"),
)
