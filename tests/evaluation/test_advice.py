"""What next: each piece of advice comes when its reason is there, and only then."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from class_records import recorded

from pocketvision.evaluation.evaluate import evaluate_records
from pocketvision.evaluation.evaluation import Evaluation
from pocketvision.evaluation.overlap import Role
from pocketvision.evaluation.report.advice import what_next
from pocketvision.evaluation.report.record import RunRecord
from pocketvision.tasks.classification.decode import softmax
from pocketvision.tasks.classification.task import classifying
from pocketvision.tasks.reporting.parts import Advice, ClassCounts

MakeRecord = Callable[..., RunRecord]


def evaluation_of(labels: list[int], answers: list[int], role: Role = "test", sure: float = 2.0) -> Evaluation:
    """Three classes, answered as told."""
    logits = np.zeros((len(labels), 3), np.float32)
    logits[np.arange(len(labels)), answers] = sure
    records = {"classification": recorded(logits, softmax(logits, 1.0), np.array(labels))}
    paths = [f"{number}.png" for number in range(len(labels))]
    return evaluate_records(classifying(("ant", "bee", "cat")), records, root=Path(), paths=paths, role=role)


# 3 of 4 ants are bees; one bee is an ant; every cat is right.
CONFUSED = evaluation_of([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2], [1, 1, 1, 0, 1, 1, 1, 0, 2, 2, 2, 2])


def advice(record: RunRecord) -> dict[str, Advice]:
    """Advice by its key."""
    return {item.key: item for item in what_next(record)}


def test_the_weakest_class_and_what_it_is_taken_for() -> None:
    given = advice(RunRecord("photos", "today", (CONFUSED,)))
    assert given["weakest"].values == {"name": "ant", "found": "1", "images": "4", "other": "bee", "count": "3"}
    assert given["weakest"].link == "mistakes-0-1"
    assert list(given) == ["weakest", "pictures"]


def test_a_class_that_is_answered_too_often() -> None:
    given = advice(RunRecord("photos", "today", (evaluation_of([0, 1, 1, 1, 1, 2], [0, 1, 1, 0, 0, 2]),)))
    assert given["overcalled"].values == {"name": "ant", "other": "bee", "count": "2"}
    assert given["overcalled"].link == "mistakes-1-0"


def test_no_mistake_is_no_proof() -> None:
    given = advice(RunRecord("photos", "today", (evaluation_of([0, 1, 2], [0, 1, 2]),)))
    assert list(given) == ["flawless"]
    assert float(given["flawless"].values["share"].rstrip("%")) > 50


def test_sure_mistakes_may_be_wrong_labels() -> None:
    given = advice(RunRecord("photos", "today", (evaluation_of([0, 1, 2], [0, 1, 1], sure=9.0),)))
    assert given["sure"].values == {"count": "1", "share": "95.0%"} and given["sure"].link == "mistakes-2-1"
    assert "sure" not in advice(RunRecord("photos", "today", (CONFUSED,)))


@pytest.mark.parametrize(
    ("train", "recipe", "wanted"),
    [
        (10, {}, True),
        (10, {"loss.class_weights": "none", "data.balance_to": None}, True),
        (80, {}, False),
        (10, {"loss.class_weights": "balanced"}, False),
        (10, {"loss.class_weights": {"ant": 2.0}}, False),
        (10, {"data.balance_to": 100}, False),
    ],
)
def test_a_small_weak_class_is_to_be_balanced_unless_it_is(train: int, recipe: dict[str, object], wanted: bool) -> None:
    classes = (ClassCounts("ant", train, 4, 4), ClassCounts("bee", 100, 4, 4), ClassCounts("cat", 90, 4, 4))
    record = RunRecord("photos", "today", (CONFUSED,), recipe=recipe, classes=classes)  # type: ignore[arg-type]
    given = advice(record)
    assert ("balance" in given) == wanted
    if wanted:
        assert given["balance"].values["to"] == "100"


def test_what_the_learning_curves_suggest(full_record: RunRecord) -> None:
    record = replace(full_record, evaluations=(CONFUSED,), classes=())
    last = replace(record.history[-1], stage=2, epoch=4)  # type: ignore[type-var]

    def given(train: float, val: float, epochs2: int, stages: int | None = 9) -> set[str]:
        chosen = replace(last, train_accuracy=train, val_accuracy=val)
        recipe = {"phases.1.epochs": 2, "phases.2.epochs": epochs2, "phases.2.unfreeze": 3}
        trained = replace(record, history=(chosen,), chosen=chosen, recipe=recipe, stages=stages)
        return set(advice(trained)) & {"epochs", "unfreeze", "overfitted"}

    assert given(0.8, 0.8, epochs2=4) == {"epochs"}
    assert given(0.8, 0.8, epochs2=20) == {"unfreeze"}
    assert given(0.8, 0.8, epochs2=20, stages=3) == set()
    assert given(0.8, 0.8, epochs2=20, stages=None) == set()
    assert given(0.99, 0.8, epochs2=20) == {"overfitted"}
    assert given(0.95, 0.93, epochs2=20) == set()


def test_without_a_test_split_one_is_asked_for() -> None:
    chosen = evaluation_of([0, 1], [0, 0], role="selection")
    assert "test" in advice(RunRecord("photos", "today", (chosen,), recipe={}))
    assert "test" not in advice(RunRecord("photos", "today", (chosen, CONFUSED), recipe={}))
    assert "test" not in advice(RunRecord("photos", "today", (chosen,)))
