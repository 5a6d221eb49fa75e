"""The figures of detection: COCO's own code says the same, and what it does not know is worked by hand."""

import numpy as np
import pytest
from coco_cases import NAMES, TASK, Case, cocos, drawn

from pocketvision.errors import PocketVisionError
from pocketvision.tasks.detection.answer import Detections
from pocketvision.tasks.detection.bootstrap import resampled
from pocketvision.tasks.detection.metrics import measure
from pocketvision.tasks.detection.precision import average_precisions
from pocketvision.tasks.detection.record import joined
from pocketvision.tasks.detection.truth import BoxLabels
from pocketvision.tasks.measuring import MeasureOptions


def nothing_found(case: Case) -> Case:
    none = Detections(NAMES, np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))
    return Case(case.truth, [none] * len(case.truth))


def without_objects_of(case: Case, place: int) -> Case:
    """Detections of the class stay."""
    rows = []
    for image in range(len(case.truth)):
        row = case.truth.rows.row(image)
        own = row["classes"] != place
        rows.append((row["boxes"][own], row["classes"][own].tolist()))
    return Case(BoxLabels.of(rows, NAMES), case.found)


CASES = {
    **{f"drawn {seed}": drawn(seed) for seed in range(6)},
    "crowds": drawn(10, crowds=0.6),
    "no crowds": drawn(11, crowds=0),
    "ties of scores": drawn(12, ties=True),
    "own areas": drawn(13, own_areas=True),
    "a class without objects": without_objects_of(drawn(14), 1),
    "many detections": drawn(15, images=3, extra=400),
    "many objects": drawn(16, images=2, objects=80),
    "one image": drawn(17, images=1, objects=3, extra=2),
    "nothing found": nothing_found(drawn(18)),
    "only crowds": drawn(19, crowds=1),
}


@pytest.mark.parametrize("name", CASES)
def test_coco_says_the_same(name: str) -> None:
    case = CASES[name]
    wanted, precisions = cocos(case)
    rows = joined(case.records)
    assert average_precisions(rows, len(NAMES)) == pytest.approx(precisions, abs=1e-9, nan_ok=True)
    if wanted["ap"] is None:
        with pytest.raises(PocketVisionError, match="nothing to measure"):
            measure(case.records, TASK, MeasureOptions())
        return
    found = measure(case.records, TASK, MeasureOptions()).figures
    assert list(found) == list(wanted)
    for figure, value in wanted.items():
        assert found[figure] == pytest.approx(value, abs=1e-9), figure


def test_weights_of_images_are_images_said_again() -> None:
    """A bootstrap's figure is that of a set in which images stand as often as they were drawn."""
    case, seed = drawn(3), 5
    records = case.records
    chosen = np.random.default_rng(seed).integers(0, len(records), (1000, len(records)))[7]
    again = joined([records[place] for place in sorted(chosen.tolist())])
    wanted = average_precisions(again, len(NAMES))
    assert resampled(joined(records), len(NAMES), seed)[7] == pytest.approx(wanted, abs=1e-9, nan_ok=True)
