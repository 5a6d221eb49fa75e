"""Real data: blood smears with boxes in Pascal VOC, as published (../shared/data, left out where it is not there)."""

from pathlib import Path

import numpy as np
import pytest

from pocketvision.data.box_writers.catalog import WRITERS, write_boxes
from pocketvision.data.boxes.input_size import choose_size
from pocketvision.data.boxes.picture_sizes import stored_sizes
from pocketvision.data.sources.catalog import read_samples
from pocketvision.data.splits import make_split
from pocketvision.tasks.detection.truth import DETECTION, BoxLabels

BCCD = Path(__file__).parents[4] / "shared/data/bccd"
pytestmark = pytest.mark.skipif(not BCCD.is_dir(), reason="../shared/data/bccd is not here")


def test_blood_cells_are_read_as_published() -> None:
    samples = read_samples(BCCD)
    truth = samples.truth[DETECTION]
    assert isinstance(truth, BoxLabels) and len(samples) == 364
    assert dict(zip(truth.class_names, truth.box_counts().tolist(), strict=True)) == {
        "Platelets": 361,
        "RBC": 4153,
        "WBC": 372,
    }
    assert [len(samples.split_indices(split)) for split in ("train", "val", "test")] == [205, 87, 72]
    assert {finding.kind: finding.count for finding in samples.found} == {"no_area": 2}
    first = samples.paths.index("BCCD/JPEGImages/BloodImage_00000.jpg")
    assert truth.rows.row(first)["boxes"][0].tolist() == [260, 177, 491, 376]
    assert sum(column.nbytes for column in truth.rows.columns.values()) <= 40 * len(truth.boxes)
    assert choose_size(truth, stored_sizes(map(samples.file, range(364)))[:, :2]).size == 320


def test_blood_cells_are_shared_out_by_their_boxes() -> None:
    truth = read_samples(BCCD).truth[DETECTION]
    assert isinstance(truth, BoxLabels)
    split = make_split(truth.strata, val_share=0.2, test_share=0.2, seed=0, class_names=truth.class_names)
    for part in (1, 2):
        chosen = truth.select(np.flatnonzero(split == part))
        assert np.abs(chosen.box_counts() / truth.box_counts() - 0.2).max() < 0.01 and 70 <= len(chosen) <= 76


@pytest.mark.slow
@pytest.mark.parametrize("target", WRITERS)
def test_blood_cells_come_back_from_every_format(target: str, tmp_path: Path) -> None:
    samples = read_samples(BCCD)
    truth = samples.truth[DETECTION]
    write_boxes(samples, target, tmp_path / "out")
    again = read_samples(tmp_path / "out")
    held = again.truth[DETECTION]
    assert isinstance(truth, BoxLabels) and isinstance(held, BoxLabels) and again.class_names == samples.class_names
    place = {path.rpartition("/")[2]: index for index, path in enumerate(again.paths)}
    order = np.array([place[path.rpartition("/")[2]] for path in samples.paths])
    assert again.splits is not None and samples.splits is not None and (again.splits[order] == samples.splits).all()
    same = held.select(order)
    assert (same.rows.offsets == truth.rows.offsets).all() and (same.classes == truth.classes).all()
    assert np.abs(same.boxes - truth.boxes).max() < 0.01
