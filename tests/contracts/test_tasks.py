"""Every kind of task: from a graph's outputs to records, figures and comparisons, against numbers worked by hand."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bright_spots.measuring import interval_of
from bright_spots.task import SPOTS
from bright_spots.truth import Points, points
from numpy.typing import NDArray

from pocketvision.compression.variant import answered_with
from pocketvision.errors import PocketVisionError, UsageError
from pocketvision.evaluation.evaluate import evaluate_records
from pocketvision.evaluation.report.texts import LANGUAGES, texts
from pocketvision.preprocessing import Placement
from pocketvision.statistics import Headline, Interval, percentile_interval, wilson
from pocketvision.tasks.catalog import TASKS, task_named
from pocketvision.tasks.classification.task import classifying
from pocketvision.tasks.classification.truth import ClassLabels
from pocketvision.tasks.comparing import Records, SeveralComparisons, compare_tasks, fitted_truth, lost_points
from pocketvision.tasks.detection.truth import BoxLabels
from pocketvision.tasks.manifest import TaskManifest
from pocketvision.tasks.measuring import MeasureOptions
from pocketvision.tasks.number.metrics import draws, r2
from pocketvision.tasks.number.truth import NumberLabels
from pocketvision.tasks.ragged import Ragged
from pocketvision.tasks.reporting.parts import Subject
from pocketvision.tasks.segmentation.truth import MaskArrays, MaskLabels
from pocketvision.tasks.tags.metrics import resampled
from pocketvision.tasks.tags.truth import TagLabels
from pocketvision.tasks.truth import Truth

Outputs = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Case:
    """Images of which every figure is known.

    truth: of all images; partly: of all but the last; foreign: truth of another kind. reference, candidate: a graph's outputs.
    headline: the reference's. drop: of the candidate, in points. figures: some of the metrics. mistakes: in words.
    """

    tasks: dict[str, TaskManifest]
    truth: Truth
    partly: Truth
    reference: Outputs
    candidate: Outputs
    headline: Headline
    drop: float
    figures: dict[str, float]
    mistakes: tuple[tuple[int, str], ...]
    foreign: Truth

    @property
    def name(self) -> str:
        return next(iter(self.tasks))

    @property
    def images(self) -> int:
        return len(self.truth)

    def records(self, outputs: Outputs, truth: Truth | None) -> dict[str, list[Any]]:
        said = {} if truth is None else fitted_truth(self.tasks, {self.name: truth}, "here")
        return answered_with(self.tasks, outputs, [Placement.of_decoding((8, 8))] * self.images, said).records


def _classes(*rows: tuple[float, float, float]) -> Outputs:
    probabilities = np.array(rows, np.float32)
    return {"logits": np.log(probabilities), "probabilities": probabilities}


def _spots(last: bool) -> Points:
    """In pictures of 8 x 8 pixels. last: whether anybody looked at the last one."""
    rows = [{"xy": np.array(xy, np.float32).reshape(-1, 2)} for xy in ([], [(1, 1)], [(1, 1), (7, 7)], [])]
    return Points(Ragged.of(rows), np.array([True, True, True, last]))


def _levels(*cells: tuple[tuple[int, int], ...]) -> Outputs:
    """cells: of 2 x 2 pixels, by row and column, where each image has a spot."""
    fine = np.zeros((len(cells), 4, 4), np.float32)
    for image, found in enumerate(cells):
        for cell in found:
            fine[(image, *cell)] = 1
    return {"fine": fine, "coarse": np.ones((len(cells), 1, 1), np.float32)}


def _marks(last: bool) -> TagLabels:
    """last: whether anybody looked at the last image, which has none."""
    marks = np.array([[1, 1], [0, 1], [1, 0], [0, 0]], np.bool_)
    return TagLabels(marks, np.array([True, True, True, last]), ("a", "b"))


def _shares(*rows: tuple[float, float]) -> Outputs:
    probabilities = np.array(rows, np.float32)
    return {"logits": np.log(probabilities / (1 - probabilities)), "probabilities": probabilities}


def _values(*values: float) -> Outputs:
    column = np.array(values, np.float32)[:, None]
    return {"value": column, "standardised": column / 10}


def _r2_interval(*values: float) -> Interval | None:
    chosen = draws(4, 0)
    return percentile_interval(r2(np.array(values)[chosen], TRUE_NUMBERS[chosen]))


def _objects(last: bool) -> BoxLabels:
    """An ant, a bee, an ant, and nothing, in pictures of 8 x 8 pixels. last: whether anybody looked at the last one."""
    corner, other = [[0, 0, 4, 4]], [[4, 4, 8, 8]]
    truth = BoxLabels.of([(corner, [0]), (other, [1]), (corner, [0]), ([], [])], ("ant", "bee"))
    return replace(truth, present=np.array([True, True, True, last]))


def _detections(second: float) -> Outputs:
    """An ant where it is, a bee where it is with a score of `second`, and an ant where none is."""
    boxes = np.array([[0, 0, 4, 4], [4, 4, 8, 8], [4, 0, 8, 4]], np.float32)
    scores = np.zeros((4, 3, 2), np.float32)
    scores[0, 0, 0], scores[1, 1, 1], scores[2, 2, 0] = 0.9, second, 0.75
    return {"boxes": np.tile(boxes, (4, 1, 1)), "scores": scores}


def _ap_interval() -> Interval | None:
    """The ant is found as often as the first image was drawn, in so many of the 101 points of recall; the bee always."""
    drawn = np.random.default_rng(0).integers(0, 4, (1000, 4))
    counts = np.stack([(drawn == image).sum(axis=1) for image in range(4)], axis=1)
    ants = counts[:, 0] + counts[:, 2]
    reached = counts[:, :1] / np.maximum(ants, 1)[:, None] >= np.linspace(0, 1, 101)
    ant = np.where(ants > 0, np.where(counts[:, 0] > 0, reached.sum(axis=1), 0) / 101, np.nan)
    bee = np.where(counts[:, 1] > 0, 1, np.nan)
    sums, known = np.nansum([ant, bee], axis=0), np.isfinite([ant, bee]).sum(axis=0)
    return percentile_interval(np.where(known > 0, sums / np.maximum(known, 1), np.nan))


def _masks(last: bool) -> MaskLabels:
    """Ants; ants left of bees; bees; ants, in pictures of 8 x 8 pixels. last: whether there is a mask of the last one."""
    halves = np.repeat(np.array([[0, 1]], np.uint8), 8, axis=0).repeat(4, axis=1)
    arrays = (np.zeros((8, 8), np.uint8), halves, np.ones((8, 8), np.uint8), np.zeros((8, 8), np.uint8))
    return MaskLabels.of(MaskArrays(arrays), ("ant", "bee"), np.array([True, True, True, last]))


def _logits(bees: bool) -> Outputs:
    """As the masks are, but that the upper bees of the third are ants; and without `bees` those of the second."""
    said = np.zeros((4, 8, 8), np.float32)
    said[1, :, 4:], said[2, 4:] = float(bees), 1
    return {"logits": np.stack([4 - 8 * said, 8 * said - 4], axis=1)}


def _miou_interval() -> Interval | None:
    """The third image costs 32 bees, which are said to be ants."""
    drawn = np.random.default_rng(0).integers(0, 4, (1000, 4))
    one, two, three, four = ((drawn == image).sum(axis=1) for image in range(4))
    ants, bees, lost = 64 * one + 32 * two + 64 * four, 32 * two + 64 * three, 32 * three
    ious = [
        np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
        for part, whole in ((ants, ants + lost), (bees - lost, bees))
    ]
    sums, known = np.nansum(ious, axis=0), np.isfinite(ious).sum(axis=0)
    return percentile_interval(sums / known)


TAG_SCORES = np.array([(0.9, 0.8), (0.7, 0.6), (0.4, 0.1), (0.2, 0.3)], np.float32).astype(np.float64)
MEAN_AP = ((1 + 2 / 3) / 2 + 1) / 2
TRUE_NUMBERS = np.array([2.0, 4, 6, 8])

CASES: dict[str, Case] = {
    # Right, right, wrong and sure, right; the candidate loses the second and the last.
    "classification": Case(
        tasks=classifying(("ant", "bee", "cow")),
        truth=ClassLabels(np.array([0, 1, 1, 2], np.int32), ("ant", "bee", "cow")),
        partly=ClassLabels(np.array([0, 1, 1, -1], np.int32), ("ant", "bee", "cow")),
        reference=_classes((0.8, 0.1, 0.1), (0.2, 0.7, 0.1), (0.9, 0.05, 0.05), (0.1, 0.1, 0.8)),
        candidate=_classes((0.8, 0.1, 0.1), (0.6, 0.3, 0.1), (0.9, 0.05, 0.05), (0.5, 0.1, 0.4)),
        headline=Headline("accuracy", 3 / 4, wilson(3, 4)),
        drop=50.0,
        figures={"balanced_accuracy": (1 + 1 / 2 + 1) / 3, "log_loss": -(2 * log(0.8) + log(0.7) + log(0.05)) / 4},
        mistakes=((2, "bee → ant 90%"),),
        foreign=points(0, 3, 1, 2),
    ),
    # Both right, one wrongly said, one missed, none. Of `a` the order is right, wrong, right of two: AP (1 + 2/3) / 2;
    # of `b` right, right, wrong: 1. The candidate has one of `b` last: 1 and 2/4.
    "tags": Case(
        tasks={"tags": TaskManifest("tags", ("a", "b"), {"logits": "logits", "probabilities": "probabilities"})},
        truth=_marks(True),
        partly=_marks(False),
        reference=_shares((0.9, 0.8), (0.7, 0.6), (0.4, 0.1), (0.2, 0.3)),
        candidate=_shares((0.9, 0.8), (0.7, 0.05), (0.4, 0.1), (0.2, 0.3)),
        headline=Headline("mAP", MEAN_AP, percentile_interval(resampled(TAG_SCORES, _marks(True).marks, 0))),
        drop=100 * (MEAN_AP - ((1 + 2 / 3) / 2 + (1 + 2 / 4) / 2) / 2),
        figures={"f1_micro": 2 * 3 / (4 + 4), "f1_macro": (2 * 1 / (2 + 2) + 1) / 2, "exact": 2 / 4},
        mistakes=((1, "wrongly a 70%"), (2, "missed a 40%")),
        foreign=ClassLabels(np.zeros(4, np.int32), ("ant",)),
    ),
    # Off by 0, 1, -1 and 2 of numbers whose squares about their mean, 5, are 9, 1, 1, 9. The candidate is off by 2 in the first.
    "number": Case(
        tasks={
            "number": TaskManifest(
                "number",
                (),
                {"value": "value", "standardised": "standardised"},
                postprocessing={"unit": "cm", "interval": {"half_width": 1.5, "coverage": 0.9}},
            )
        },
        truth=NumberLabels(TRUE_NUMBERS, "cm"),
        partly=NumberLabels(np.append(TRUE_NUMBERS[:3], np.nan), "cm"),
        reference=_values(2, 5, 5, 10),
        candidate=_values(4, 5, 5, 10),
        headline=Headline("R2", 1 - 6 / 20, _r2_interval(2, 5, 5, 10)),
        drop=100 * 4 / 20,
        figures={"mae": 1.0, "rmse": (6 / 4) ** 0.5, "bias": 0.5, "mae_of_mean": 2.0, "covered": 3 / 4},
        mistakes=((3, "8 cm → 10"),),
        foreign=ClassLabels(np.zeros(4, np.int32), ("ant",)),
    ),
    # The ant's precision is 1 up to a recall of a half, which is 51 of 101 points; the bee is found, and lost by the candidate.
    "detection": Case(
        tasks={"detection": TaskManifest("detection", ("ant", "bee"), {"boxes": "boxes", "scores": "scores"})},
        truth=_objects(True),
        partly=_objects(False),
        reference=_detections(0.8),
        candidate=_detections(0),
        headline=Headline("AP", (51 / 101 + 1) / 2, _ap_interval()),
        drop=50.0,
        figures={"ap50": (51 / 101 + 1) / 2, "ap_small": (51 / 101 + 1) / 2, "ar_100": (1 / 2 + 1) / 2, "objects": 3},
        mistakes=((2, "1 missed, 1 background"),),
        foreign=ClassLabels(np.zeros(4, np.int32), ("ant",)),
    ),
    # Of 160 pixels of ants and 96 of bees 32 bees are said to be ants; the candidate says so of 32 more.
    "segmentation": Case(
        tasks={"segmentation": TaskManifest("segmentation", ("ant", "bee"), {"logits": "logits"})},
        truth=_masks(True),
        partly=_masks(False),
        reference=_logits(True),
        candidate=_logits(False),
        headline=Headline("mIoU", (160 / 192 + 64 / 96) / 2, _miou_interval()),
        drop=100 * ((160 / 192 + 64 / 96) / 2 - (160 / 224 + 32 / 96) / 2),
        figures={"pixel_accuracy": 224 / 256, "dice": (320 / 352 + 128 / 160) / 2, "pixels": 256},
        mistakes=((2, "50% wrong, most of it bee → ant"),),
        foreign=ClassLabels(np.zeros(4, np.int32), ("ant",)),
    ),
    # Nothing there and nothing found; one of one; one of two; one where none is. The candidate does not find the second's.
    "spots": Case(
        tasks={"spots": TaskManifest("spots", (), {"fine": "fine", "coarse": "coarse"})},
        truth=_spots(True),
        partly=_spots(False),
        reference=_levels((), ((0, 0),), ((0, 0),), ((1, 1),)),
        candidate=_levels((), (), ((0, 0),), ((1, 1),)),
        headline=Headline(
            "F1", 2 * 2 / (3 + 3), interval_of(np.array([(0, 0, 0), (1, 1, 1), (1, 1, 2), (0, 1, 0)]), 0)
        ),
        drop=100 * (2 * 2 / (3 + 3) - 2 * 1 / (2 + 3)),
        figures={"hits": 2, "found": 3, "there": 3},
        mistakes=((2, "1 missed, 0 too many"), (3, "0 missed, 1 too many")),
        foreign=ClassLabels(np.zeros(4, np.int32), ("ant",)),
    ),
}


@pytest.fixture(params=[*TASKS, SPOTS.kind])
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Case:
    """Of each row of the table, and of one from outside."""
    monkeypatch.setitem(TASKS, SPOTS.kind, SPOTS)
    kind: str = request.param
    return CASES[kind]


def test_records_become_the_figures_worked_by_hand(case: Case) -> None:
    task = case.tasks[case.name]
    measuring = task_named(task.kind).measuring()
    records = case.records(case.reference, case.truth)[case.name]
    metrics = measuring.measure(records, task, MeasureOptions())
    assert (metrics.images, metrics.headline) == (case.images, case.headline)
    assert {name: metrics.to_dict()[name] for name in case.figures} == pytest.approx(case.figures)
    kept = metrics.summary()
    assert kept["images"] == case.images and measuring.headline_of(kept) == case.headline
    assert measuring.headline_of({"images": 3}) is None
    paths = [f"{place}.png" for place in range(case.images)]
    found = measuring.mistakes(records, paths, task)
    assert [(mistake.path, mistake.text) for mistake in found] == [
        (paths[place], text) for place, text in case.mistakes
    ]
    assert [each.badness for each in found] == sorted((each.badness for each in found), reverse=True)


def test_no_records_are_not_measured(case: Case) -> None:
    task = case.tasks[case.name]
    with pytest.raises(PocketVisionError, match="no images"):
        task_named(task.kind).measuring().measure([], task, MeasureOptions())


def test_the_drop_is_the_one_worked_by_hand(case: Case) -> None:
    reference, candidate = (case.records(outputs, case.truth) for outputs in (case.reference, case.candidate))
    found = compare_tasks(case.tasks, reference, candidate)
    assert found.images == case.images and found.drop == pytest.approx(case.drop)
    assert found.within(case.drop) and not found.within(case.drop - 0.1)
    assert found.drop_interval is not None and found.drop_interval.low < case.drop < found.drop_interval.high
    assert found.is_sure(found.drop_interval.high) and not found.is_sure(case.drop)
    assert found.headline is not None and found.reference_headline == case.headline
    assert found.headline.value == pytest.approx(case.headline.value - case.drop / 100)
    assert f"{case.drop:.2f} points" in found.explain(1)
    assert all(isinstance(value, int | float) for value in found.figures().values())
    same = compare_tasks(case.tasks, reference, reference)
    assert same.drop == 0 and same.within(0) and same.closeness > found.closeness


def test_without_truth_there_is_no_drop(case: Case) -> None:
    reference, candidate = (case.records(outputs, None) for outputs in (case.reference, case.candidate))
    found = compare_tasks(case.tasks, reference, candidate)
    assert (found.drop, found.headline, found.reference_headline) == (None, None, None)
    assert not found.is_sure(100) and not found.can_be_sure(100)


def test_agreement_is_whole_with_itself_and_not_with_others(case: Case) -> None:
    task = case.tasks[case.name]
    agree = task_named(task.kind).agree
    agree(task.tensors(case.reference), task.tensors(case.reference)).require("file")
    with pytest.raises(PocketVisionError, match=r"model\.bin"):
        agree(task.tensors(case.reference), task.tensors(case.candidate)).require("model.bin")


def test_truth_that_does_not_fit_is_refused(case: Case) -> None:
    with pytest.raises(UsageError, match=r"pictures/: .*measured by"):
        fitted_truth(case.tasks, {case.name: case.foreign}, "pictures/")


def test_several_tasks_are_compared_as_one(case: Case) -> None:
    """The same task twice, of which the second has truth for all images but the last, and loses nothing."""
    first = case.tasks[case.name]
    names = {each: {role: f"{each}.{role}" for role in first.outputs} for each in ("first", "second")}
    tasks = {each: replace(first, outputs=outputs) for each, outputs in names.items()}
    partly = {"first": case.truth, "second": case.partly}
    said = fitted_truth(tasks, {**partly, "another": case.foreign}, "here")
    assert set(said) == set(tasks)
    placements = [Placement.of_decoding((8, 8))] * case.images

    def records(**outputs: Outputs) -> Records:
        own = {
            names[each][role]: found[name] for each, found in outputs.items() for role, name in first.outputs.items()
        }
        return answered_with(tasks, own, placements, said).records

    reference = records(first=case.reference, second=case.reference)
    assert reference["second"][-1] is None and None not in reference["first"]
    found = compare_tasks(tasks, reference, records(first=case.candidate, second=case.reference))
    alone = compare_tasks(case.tasks, *(case.records(each, case.truth) for each in (case.reference, case.candidate)))
    assert isinstance(found, SeveralComparisons)
    assert (found.images, found.drop, found.drop_interval) == (case.images, alone.drop, alone.drop_interval)
    assert (found.headline, found.reference_headline) == (alone.headline, alone.reference_headline)
    assert found.within(case.drop) and not found.within(case.drop - 0.1) and not found.is_sure(case.drop)
    assert found.figures()["first.drop"] == pytest.approx(case.drop) and found.figures()["second.drop"] == 0
    assert found.figures()["second.images"] == case.images - 1
    assert found.explain(1) == f"first: {alone.explain(1)}" and found.closeness == alone.closeness
    judged = {weight: replace(found, weights={"first": weight}) for weight in (0.0, 0.5, 2.0)}
    assert {weight: lost_points(each) for weight, each in judged.items()} == {
        weight: pytest.approx(weight * case.drop) for weight in judged
    }
    assert judged[0.0].within(0) and judged[0.5].within(case.drop / 2) and not judged[2.0].within(2 * case.drop - 0.1)
    assert judged[2.0].explain(1) == f"first: {alone.explain(0.5)}" and lost_points(alone) == alone.drop
    with pytest.raises(ValueError, match="no images"):
        compare_tasks(tasks, {"first": [None], "second": [None]}, {"first": [None], "second": [None]})


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_report_has_what_it_names(case: Case, lang: str) -> None:
    """Templates, texts and charts of every section, in every language; and what is kept as JSON."""
    task = case.tasks[case.name]
    records, paths = case.records(case.reference, case.truth), [f"{place}.png" for place in range(case.images)]
    found = evaluate_records(case.tasks, records, root=Path(), paths=paths).tasks[case.name]
    report, subject = task_named(task.kind).report(), Subject(found, Path(), f"{case.name}-")
    sections, table = report.sections(subject), texts(lang, report.folder)
    templates = {file.name for file in (report.folder / "templates").iterdir()}
    assert {"headline.html.j2", *(f"section_{each.name}.html.j2" for each in sections)} == templates
    for each in sections:
        assert {f"section.{each.name}", f"nav.{each.name}", *(f"figure.{name}" for name in each.charts)} <= set(table)
    assert {f"metric.{each.name}" for each in report.columns} | {f"metric.{case.headline.name}"} <= set(table)
    assert all(each.cell(found.metrics) for each in report.columns)
    links = [item.link for item in report.advice(subject, _Alone()) if item.link is not None]
    assert all(link.startswith(subject.prefix) for link in links)
    json.dumps({**report.figures(found), **found.to_dict()}, allow_nan=False)


@dataclass(frozen=True)
class _Alone:
    """No training is known."""

    recipe = None
    classes = ()


def test_what_predicts_loads_nothing_that_measures() -> None:
    """Nor a report: they are loaded when they are asked for."""
    script = (
        "import sys; import pocketvision.runtime.predictor;"
        "print([name for name in sys.modules if name.split('.')[0] in ('sklearn', 'scipy', 'jinja2', 'matplotlib', 'torch')"
        " or any(part in name for part in ('.measuring', '.metrics', '.reporting', '.report.') if 'pocketvision.' in name)])"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
