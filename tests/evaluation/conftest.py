from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from class_records import recorded
from PIL import Image

from pocketvision.evaluation.evaluate import evaluate_records
from pocketvision.evaluation.evaluation import Evaluation
from pocketvision.evaluation.overlap import Role
from pocketvision.evaluation.report.figures import write_chart
from pocketvision.evaluation.report.record import AuditFinding, AuditSummary, RunRecord
from pocketvision.progress import EpochRecord
from pocketvision.tasks.classification.decode import softmax
from pocketvision.tasks.classification.task import classifying
from pocketvision.tasks.reporting.parts import ClassCounts


def epoch(stage: int, number: int, val_loss: float = 0.6) -> EpochRecord:
    """One row of a history."""
    return EpochRecord(stage, number, 0.5, 0.8, val_loss, 0.75, 1e-3, 1.5, 321.0, waiting=0.25, peak_memory=812.0)


@pytest.fixture(autouse=True)
def drawn_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """See blank_charts in tests/conftest.py."""
    monkeypatch.setattr("pocketvision.evaluation.report.write.write_chart", write_chart)


MakeEvaluation = Callable[..., Evaluation]


@pytest.fixture
def make_evaluation(tmp_path: Path) -> MakeEvaluation:
    """Makes an evaluation of made-up answers about real files."""

    def make(
        class_names: tuple[str, ...] = ("no", "yes"), name: str = "test", role: Role = "test", images: int = 40
    ) -> Evaluation:
        generator = np.random.default_rng(len(class_names))
        labels = np.arange(images) % len(class_names)
        logits = generator.normal(size=(images, len(class_names))).astype(np.float32)
        logits[np.arange(images), labels] += 1.5
        paths = [f"{number} 그림.png" for number in range(images)]
        for path in paths:
            Image.new("RGB", (30, 20), "red").save(tmp_path / path)
        records = {"classification": recorded(logits, softmax(logits, 1.3), labels)}
        tasks = classifying(class_names, 1.3)
        return evaluate_records(tasks, records, root=tmp_path, paths=paths, name=name, role=role)

    return make


@pytest.fixture
def full_record(make_evaluation: MakeEvaluation) -> RunRecord:
    """A record in which no part is left out."""
    history = [epoch(1, 1), epoch(1, 2, val_loss=0.5), epoch(2, 1, val_loss=0.4)]
    return RunRecord(
        title="leaves",
        created="2026-11-22T10:00:00+00:00",
        evaluations=(make_evaluation(name="validation", role="selection"), make_evaluation(name="test")),
        model="efficientnet_lite0",
        recipe={
            "phases.1.epochs": 15,
            "data.balance_to": None,
            "cache.enabled": True,
            "loss.class_weights": {"yes": 2.0},
        },
        audit=AuditSummary(90, (AuditFinding("duplicates", "warning", 2, ("a.png, b.png",)),)),
        classes=(ClassCounts("no", 30, 8, 20, weight=1.0), ClassCounts("yes", 10, 3, 20, added=20, weight=2.0)),
        history=history,
        chosen=history[-1],
        agreement={"model.onnx": {"images": 11.0, "tolerance": 1e-3, "max_probability_difference": 2e-6}},
        bundle="runs/leaves/bundle",
        sizes={"model.onnx": 13_700_000},
        timings={"audit": 2.0, "total": 4000.0},
        versions={"pocketvision": "0.1.0"},
        notes=("Epochs were capped.",),
    )
