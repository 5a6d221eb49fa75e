"""Every kind of task through its wire: decoded, told in JSON, understood again, described, put into cells, drawn and followed."""

import json
from dataclasses import dataclass
from itertools import product

import jsonschema
import numpy as np
import pytest
from bright_spots.task import SPOTS
from halves import HALVES, reading_halves

from pocketvision.preprocessing import Placement
from pocketvision.tasks.canvas import Canvas
from pocketvision.tasks.catalog import TASKS, Answers, decoded
from pocketvision.tasks.classification.answer import Classification
from pocketvision.tasks.manifest import TaskManifest, Tensors
from pocketvision.tasks.task import Detail, Smoothing
from pocketvision.tasks.wire import (
    UnknownAnswer,
    answers_from_json,
    answers_to_json,
    cells,
    columns,
    line,
    prediction,
    schema_of,
    smoothed,
)

OUTSIDE = (HALVES, SPOTS)
LEVELS = {"fine": 8, "coarse": 2}
LABELS = ("red", "green", "파랑")
DETAILS = [
    Detail(),
    Detail(top_k=1),
    Detail(top_k=9, min_score=0.9, most=1, masks=False),
    Detail(min_score=0.0, mask_form="png"),
]
TOLD_BY_HAND = {
    "classification": {"label": "파랑", "probability": 0.5, "top": [{"label": "파랑", "probability": 0.5}]},
    "tags": {"tags": [{"label": "파랑", "probability": 0.5, "threshold": 0.25}]},
    "number": {"value": 3, "unit": "cm", "interval": {"low": 2, "high": 4, "coverage": 0.9}},
    "detection": {"objects": [{"label": "파랑", "score": 0.5, "box": [1, 2, 30.5, 40]}]},
    "segmentation": {"size": [2, 1], "classes": [{"label": "파랑", "share": 0.5, "value": 2}]},
    "halves": {"finds": []},
    "spots": {"spots": []},
}


@dataclass(frozen=True)
class Sample:
    """What a kind is tried with: a bundle's task, and outputs of several images."""

    task: TaskManifest
    outputs: Tensors


def sample(kind: str) -> Sample:
    """Raises KeyError for a row of the table that nobody has made a sample of."""
    shares = np.random.default_rng(0).dirichlet(np.ones(len(LABELS)), size=6).astype(np.float32)
    samples = {
        "classification": Sample(
            TaskManifest("classification", LABELS, {"logits": "logits", "probabilities": "probabilities"}),
            {"logits": np.log(shares), "probabilities": shares},
        ),
        "tags": Sample(
            TaskManifest("tags", LABELS, {"logits": "logits", "probabilities": "probabilities"}),
            {"logits": np.log(shares / (1 - shares)), "probabilities": shares},
        ),
        "number": Sample(
            TaskManifest(
                "number",
                (),
                {"value": "value", "standardised": "standardised"},
                postprocessing={"unit": "cm", "interval": {"half_width": 0.5, "coverage": 0.9}},
            ),
            {"value": 100 * shares[:, :1], "standardised": shares[:, :1]},
        ),
        "detection": Sample(
            TaskManifest("detection", LABELS, {"boxes": "boxes", "scores": "scores"}),
            {
                "boxes": np.tile(np.array([[4, 5, 30, 40], [6, 5, 31, 42], [30, 20, 64, 48]], np.float32), (6, 1, 1)),
                "scores": np.stack([shares, shares[:, ::-1], shares / 2], axis=1),
            },
        ),
        "segmentation": Sample(
            TaskManifest("segmentation", LABELS, {"logits": "logits"}),
            {"logits": np.random.default_rng(2).normal(0, 2, (6, 3, 6, 8)).astype(np.float32)},
        ),
        "halves": Sample(reading_halves(LABELS), {"probabilities": shares}),
        "spots": Sample(
            TaskManifest("spots", (), {"fine": "fine", "coarse": "coarse"}),
            {role: np.random.default_rng(1).random((6, side, side), np.float32) for role, side in LEVELS.items()},
        ),
    }
    return samples[kind]


@pytest.fixture(autouse=True)
def _halves(monkeypatch: pytest.MonkeyPatch) -> None:
    for row in OUTSIDE:
        monkeypatch.setitem(TASKS, row.kind, row)


KINDS = [*TASKS, *(row.kind for row in OUTSIDE)]
kinds = pytest.mark.parametrize("kind", KINDS)
both = pytest.mark.parametrize(("kind", "detail"), list(product(KINDS, DETAILS)), ids=str)


def answers_of(kind: str, detail: Detail) -> list[Answers]:
    each = sample(kind)
    places = [Placement.of_decoding((64, 48))] * 6
    return decoded({"here": each.task}, each.outputs, places, detail)


@both
def test_what_is_told_is_understood_and_described(kind: str, detail: Detail) -> None:
    validator = jsonschema.Draft202012Validator(schema_of(kind))
    validator.check_schema(schema_of(kind))
    for answers in answers_of(kind, detail):
        assert answers["here"].kind == kind
        told = answers_to_json(answers, detail)
        read = answers_from_json(json.loads(json.dumps(told)))
        assert answers_to_json(read, detail) == told
        assert type(read["here"]) is type(answers["here"])
        validator.validate(told["here"])
        with pytest.raises(jsonschema.ValidationError):
            validator.validate({**told["here"], "kind": "another"})


@kinds
def test_a_form_that_is_none_is_refused(kind: str) -> None:
    whole = {"kind": kind, "headline": "", **TOLD_BY_HAND[kind]}
    answers_from_json({"here": whole})
    for name in schema_of(kind)["required"][2:]:
        for wrong in ({}, {name: 7}, {name: [7]}):
            broken = {**{key: value for key, value in whole.items() if key != name}, **wrong}
            with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
                answers_from_json({"here": broken})


@both
def test_cells_fit_their_columns(kind: str, detail: Detail) -> None:
    for named in ({"here": kind}, {"here": kind, "there": kind}):
        header = columns(named, detail)
        assert len(set(header)) == len(header) > 0
        for answers in answers_of(kind, detail):
            row = cells(named, answers, detail)
            assert len(row) == len(header)
            assert all(isinstance(cell, str | int | float) for cell in row)
        assert cells(named, {}, detail) == [""] * len(header)


@kinds
def test_it_is_drawn_on_a_picture_of_any_size(kind: str) -> None:
    for size in ((48, 64), (1, 1), (700, 900)):
        pixels = np.full((*size, 3), 128, np.uint8)
        canvas = Canvas(pixels, latin=False)
        for answers in answers_of(kind, Detail(min_score=0.0)):
            TASKS[kind].draw(canvas, answers["here"])
        drawn = canvas.finished()
        assert drawn.shape == pixels.shape and drawn.dtype == np.uint8
        assert (pixels == 128).all()
        assert (drawn != pixels).any()


@kinds
@pytest.mark.parametrize("smoothing", ["majority", "ema"])
def test_what_is_followed_is_an_answer_of_its_kind(kind: str, smoothing: str) -> None:
    tracker = TASKS[kind].tracker
    if tracker is None:
        assert kind == "halves"
        return
    follow = tracker(Smoothing(smoothing, 0.5, 0.1))
    for place, answers in enumerate(answers_of(kind, Detail())):
        shown = follow(place / 10, answers["here"])
        assert shown.kind == kind and shown.headline
        answers_from_json(json.loads(json.dumps(answers_to_json({"here": shown}, Detail()))))


def test_every_page_module_is_a_file() -> None:
    pages = [task.page for task in TASKS.values() if task.page is not None]
    assert pages and all(page.read_text(encoding="utf-8").count("export ") >= 6 for page in pages)


def test_classification_alone_has_its_names_beside() -> None:
    kind, detail = {"classification": "classification"}, Detail(top_k=2)
    answers: Answers = {"classification": Classification(LABELS, np.array([0.25, 0.125, 0.625], np.float32))}
    told = {
        "kind": "classification",
        "headline": "파랑 62%",
        "label": "파랑",
        "probability": 0.625,
        "top": [{"label": "파랑", "probability": 0.625}, {"label": "red", "probability": 0.25}],
    }
    beside = {name: told[name] for name in ("label", "probability", "top")}
    assert prediction(answers, detail) == {**beside, "answers": {"classification": told}}
    pairs = {"label": "파랑", "probability": 0.625, "top": [["파랑", 0.625], ["red", 0.25]]}
    assert line(kind, answers, detail) == {**pairs, "answers": {"classification": told}}
    assert line(kind, {}, detail) == {"label": None, "probability": None, "top": [], "answers": {}}
    assert smoothed(kind, answers, detail)["smooth_label"] == "파랑"
    two = {"a": "classification", "b": "halves"}
    assert columns(two, detail) == ["a.label", "a.probability", "a.label_2", "a.probability_2", "b.found", "b.count"]
    for names in (line(two, {"a": answers["classification"]}, detail), line(two, {}, detail)):
        assert list(names) == ["answers"]


def test_an_answer_of_an_unknown_kind_is_kept_as_it_came() -> None:
    document = {"sky": {"kind": "weather", "headline": "rain", "millimetres": 3}}
    read = answers_from_json(document)
    assert read["sky"] == UnknownAnswer("weather", "rain", document["sky"])
    assert read["sky"].confidence is None
    assert answers_to_json(read, Detail()) == document
    assert columns({"sky": "weather"}, Detail()) == ["answer"]
    assert cells({"sky": "weather"}, read, Detail()) == ["rain"]
