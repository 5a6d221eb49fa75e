"""What of a validation has a near-twin in training: the figures, and the sentences of the report in both languages."""

import re
from pathlib import Path

import numpy as np
import pytest

import pocketvision.evaluation.report.render as render
from pocketvision.evaluation.evaluate import evaluate_records
from pocketvision.evaluation.evaluation import Evaluation
from pocketvision.evaluation.near_twins import NearTwins, near_twins
from pocketvision.evaluation.report.record import RunRecord
from pocketvision.evaluation.report.render import render_report
from pocketvision.tasks.classification.record import ClassRecord
from pocketvision.tasks.classification.task import classifying
from pocketvision.tasks.reporting.parts import ClassCounts

COUNTS = (ClassCounts("dog", 80, 20, 0), ClassCounts("cat", 80, 20, 0))


@pytest.fixture(scope="module")
def validation() -> Evaluation:
    """40 images, the first 30 of them answered rightly."""
    truth = np.arange(40) % 2
    answers = np.where(np.arange(40) < 30, truth, 1 - truth)
    logits = (3 * np.eye(2)[answers]).astype(np.float32)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    records = [ClassRecord(*row, int(label)) for *row, label in zip(logits, shares, truth, strict=True)]
    paths = [f"{index}.png" for index in range(40)]
    return evaluate_records(
        classifying(("dog", "cat")), {"classification": records}, root=Path(), paths=paths, role="selection"
    )


def paths(start: int, end: int) -> frozenset[str]:
    return frozenset(f"{index}.png" for index in range(start, end))


def found(validation: Evaluation, twins: frozenset[str], groups: int) -> NearTwins:
    twin = near_twins(validation, twins, groups)
    assert twin is not None
    return twin


def test_the_rest_is_measured_without_those_that_have_a_twin(validation: Evaluation) -> None:
    plain = found(validation, paths(0, 20), 0).to_dict()
    assert (plain["images"], plain["with_twin"], plain["all"]["value"], plain["rest"]["value"]) == (40, 20, 0.75, 0.5)
    assert found(validation, paths(0, 40), 0).to_dict()["rest"] is None
    assert near_twins(validation, None, 0) is None


@pytest.mark.parametrize(
    ("lang", "sentences"),
    [
        (
            "en",
            (
                "20 of 40 validation images have a picture of the same likely group in training",
                "The split kept 7 likely groups together",
                "were searched, and none were found",
            ),
        ),
        ("ko", ("20장은 같은 묶음으로", "7개 묶음이 나뉘지", "발견되지 않았습니다")),
    ],
)
def test_the_report_tells_both_figures(
    validation: Evaluation, lang: str, sentences: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    charts = ("roc", "pr", "coverage", "probability_distribution", "calibration", "thresholds")
    monkeypatch.setattr(render, "page_charts", lambda *_: dict.fromkeys(charts, "<svg></svg>"))
    cases = (found(validation, paths(0, 20), 0), found(validation, frozenset(), 7), found(validation, frozenset(), 0))
    for twins, sentence in zip(cases, sentences, strict=True):
        page = render_report(RunRecord("photos", "today", (validation,), classes=COUNTS, twins=twins), lang)
        (told,) = re.findall(r'<p id="near-twins">(.*?)</p>', page)
        assert sentence in told
    assert 'id="near-twins"' not in render_report(RunRecord("photos", "today", (validation,), classes=COUNTS), lang)
