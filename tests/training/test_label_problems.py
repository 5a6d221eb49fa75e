"""Planted wrong labels are found; what can not be judged is said."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pocketvision.data.samples import Samples
from pocketvision.errors import UsageError
from pocketvision.tasks.classification.truth import class_truth
from pocketvision.training.label_problems import label_problems, require_judged
from pocketvision.training.label_sheet import write_label_sheet

NO_PAIRS = np.empty((0, 2), np.int64)
WRONG = (3, 25)


def _samples(labels: list[int], names: tuple[str, ...] = ("cat", "dog")) -> Samples:
    return Samples(
        Path("photos"), [f"{place}.png" for place in range(len(labels))], class_truth(np.array(labels), names)
    )


@pytest.fixture
def planted() -> tuple[Samples, np.ndarray, np.ndarray]:
    """Two clouds of 20 pictures each, and two of them with the other's label."""
    random, truth = np.random.default_rng(0), np.repeat([0, 1], 20)
    features = random.normal(size=(40, 5)).astype(np.float32)
    features[:, 0] += 6 * truth
    labels = truth.copy()
    labels[list(WRONG)] = 1 - labels[list(WRONG)]
    return _samples(labels.tolist()), features, np.ones(40, np.bool_)


def test_planted_errors_come_first_with_their_true_class(planted: tuple[Samples, np.ndarray, np.ndarray]) -> None:
    samples, features, readable = planted
    found = label_problems(samples, NO_PAIRS, features, readable)
    assert set(found.rows[:2].tolist()) == set(WRONG)
    assert (found.scores[:2] < found.others[:2]).all()
    assert found.doubtful == 2
    assert {row[0]: row[2] for row in found.table()[:2]} == {"3.png": "cat", "25.png": "dog"}
    assert found.table()[2][2] == ""


def test_a_wrong_label_is_not_vouched_for_by_its_twin(planted: tuple[Samples, np.ndarray, np.ndarray]) -> None:
    samples, features, readable = planted
    features[4] = features[3]
    labels = samples.labels.copy()
    labels[4] = labels[3]
    samples = replace(samples, truth=class_truth(labels, samples.class_names))
    alone = label_problems(samples, NO_PAIRS, features, readable)
    together = label_problems(samples, np.array([[3, 4]]), features, readable)
    score = [dict(zip(each.rows.tolist(), each.scores.tolist(), strict=True))[3] for each in (alone, together)]
    assert score[1] <= score[0] < 0.5


def test_the_only_picture_of_a_class_is_not_judged(planted: tuple[Samples, np.ndarray, np.ndarray]) -> None:
    samples, features, readable = planted
    labels = samples.labels.copy()
    labels[0] = 2
    found = label_problems(_samples(labels.tolist(), ("cat", "dog", "owl")), NO_PAIRS, features, readable)
    assert 0 not in found.rows
    assert "the only one of a class" in found.lines[1]


@pytest.mark.parametrize("labels", [[], [0, 0, 0]])
def test_empty_data_and_one_class_are_refused(labels: list[int]) -> None:
    with pytest.raises(UsageError, match="two or more apart"):
        require_judged(_samples(labels))


def test_features_that_are_no_numbers_are_refused(planted: tuple[Samples, np.ndarray, np.ndarray]) -> None:
    samples, features, readable = planted
    features[7, 1] = np.nan
    with pytest.raises(UsageError, match="finite numbers"):
        label_problems(samples, NO_PAIRS, features, readable)


def test_the_table_and_the_page_are_written(planted: tuple[Samples, np.ndarray, np.ndarray], tmp_path: Path) -> None:
    samples, features, readable = planted
    write_label_sheet(label_problems(samples, NO_PAIRS, features, readable), tmp_path / "out")
    lines = (tmp_path / "out" / "labels.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "path,label,suggested,score"
    assert len(lines) == 41
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert page.count("<figure>") == 2
    assert "<b>dog</b>, rather cat?" in page
