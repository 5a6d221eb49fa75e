"""Thresholds in the report: the curve with the chosen point, the rows, and what is withheld, in both languages."""

import re
from pathlib import Path

import numpy as np
import pytest

import pocketvision.evaluation.report.render as render
from pocketvision.evaluation.deciding import redecided
from pocketvision.evaluation.evaluate import evaluate_records
from pocketvision.evaluation.evaluation import Evaluation
from pocketvision.evaluation.report.record import RunRecord
from pocketvision.evaluation.report.render import render_report
from pocketvision.tasks.classification.choosing import choose_thresholds
from pocketvision.tasks.classification.record import ClassRecord
from pocketvision.tasks.classification.report.deciding import draw_thresholds
from pocketvision.tasks.classification.task import classifying
from pocketvision.tasks.manifest import abstaining_below
from pocketvision.tasks.measuring import MeasureOptions
from pocketvision.tasks.reporting.charts import Look
from pocketvision.tasks.thresholds import Wish

TWO, FOUR = ("dog", "cat"), ("a", "b", "c", "d")
LOOK = Look(lambda key, **_: key, "black", "grey", "black", ("red", "blue", "green"), ("DejaVu Sans",))


def decided(labels: tuple[str, ...], wishes: list[str], below: float | None = None) -> Evaluation:
    """120 images of a noisy classifier, decided as is wished for."""
    generator = np.random.default_rng(2)
    truth = generator.integers(0, len(labels), 120)
    logits = (generator.normal(size=(120, len(labels))) + 1.4 * np.eye(len(labels))[truth]).astype(np.float32)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    records = [ClassRecord(*row, int(label)) for *row, label in zip(logits, shares, truth, strict=True)]
    tasks = classifying(labels)
    plain = evaluate_records(
        tasks,
        {"classification": records},
        root=Path(),
        paths=[f"{index}.png" for index in range(120)],
        role="selection",
    )
    task = tasks["classification"]
    if wishes:
        task = choose_thresholds(records, task, [Wish.parse(text) for text in wishes])
    if below is not None:
        task = abstaining_below(task, below)
    return redecided(plain, {"classification": task}, MeasureOptions())


@pytest.fixture(autouse=True)
def without_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time, and has a test of its own."""
    charts = ("roc", "pr", "coverage", "probability_distribution", "calibration", "thresholds")
    monkeypatch.setattr(render, "page_charts", lambda *_: dict.fromkeys(charts, "<svg></svg>"))


def text_of(evaluation: Evaluation, lang: str) -> str:
    page = render_report(RunRecord("photos", "today", (evaluation,)), lang)
    return " ".join(re.sub(r"<style.*?</style>|<svg.*?</svg>|<[^>]+>", " ", page, flags=re.DOTALL).split())


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_two_classes(lang: str) -> None:
    evaluation = decided(TWO, ["recall=0.95"], below=0.7)
    told = text_of(evaluation, lang)
    metrics, coverage = evaluation.metrics, evaluation.metrics.abstaining
    assert (
        metrics.recall is not None and metrics.recall >= 0.95 and coverage is not None and coverage.accuracy is not None
    )
    threshold = evaluation.first.task.postprocessing["thresholds"]["cat"]
    assert f"cat {threshold:.3f} {100 * metrics.precision:.1f}%" in told  # type: ignore[operator]
    assert "recall=0.95" in told and "120" in told
    for share in (coverage.coverage, coverage.accuracy):
        assert f"{100 * share:.1f}%" in told
    assert {"en": "The bundle itself is unsure below a score of 0.7", "ko": "점수가 0.7 미만이면"}[lang] in told


def test_several_classes_show_those_that_were_wished_for() -> None:
    told = text_of(decided(FOUR, ["b:recall=0.9"]), "en")
    thresholds = told[told.index("another threshold of that class") :]
    thresholds = thresholds[: thresholds.index("Probabilities")]
    assert "b 0." in thresholds and "c 0." not in thresholds
    everybody = text_of(decided(FOUR, ["f1"]), "en")
    assert all(re.search(rf"\b{name} [01]\.\d{{3}} ", everybody) for name in FOUR)


def test_without_thresholds_there_is_no_such_section() -> None:
    assert "<h3>Thresholds</h3>" in render_report(RunRecord("photos", "today", (decided(FOUR, ["f1"]),)))
    assert "<h3>Thresholds</h3>" not in render_report(RunRecord("photos", "today", (decided(FOUR, []),)))
    assert "The bundle itself" not in text_of(decided(FOUR, []), "en")


@pytest.mark.parametrize(("labels", "wish"), [(TWO, "precision=0.8"), (FOUR, "b:recall=0.9")])
def test_the_dots_lie_on_the_curves_where_the_bundle_stands(labels: tuple[str, ...], wish: str) -> None:
    from matplotlib.figure import Figure

    evaluation = decided(labels, [wish])
    axes = Figure().subplots()
    draw_thresholds(axes, evaluation.first, evaluation.metrics, LOOK)
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    places = {(round(float(dot.get_xdata()[0]), 6), round(float(dot.get_ydata()[0]), 6)) for dot in dots}
    figures = {each.name: each for each in evaluation.metrics.per_class}
    own = figures["cat" if len(labels) == 2 else "b"]
    assert own.precision is not None and own.recall is not None
    if len(labels) == 2:
        threshold = evaluation.first.task.postprocessing["thresholds"]["cat"]
        expected = {(threshold, own.precision), (threshold, own.recall)}
    else:
        expected = {(own.recall, own.precision)}
    assert places == {(round(x, 6), round(y, 6)) for x, y in expected}


def test_figures_of_the_decision_are_those_of_the_page() -> None:
    """The table of coverage is of the scores that decide, not of the probabilities."""
    evaluation = decided(TWO, ["recall=0.95"])
    rows = [line for line in text_of(evaluation, "en").split("≥ ") if line.startswith("90% ")]
    records = evaluation.first.records
    thresholds = evaluation.first.task.postprocessing["thresholds"]
    ratios = np.stack([each.probabilities / np.array([thresholds[name] for name in TWO]) for each in records])
    sure = ((ratios / ratios.sum(axis=1, keepdims=True)).max(axis=1) >= 0.9).mean()
    assert rows and rows[0].startswith(f"90% {100 * sure:.1f}%")
