"""What a run tells at its end: the bundle measured on the run's own splits, and the report."""

from collections.abc import Sequence

import numpy as np

from pocketvision.bundle import Bundle
from pocketvision.data.samples import SPLITS
from pocketvision.evaluation.evaluate import Evaluation, evaluate_predictor
from pocketvision.evaluation.report.record import AuditFinding, AuditSummary, ClassCounts, RunRecord
from pocketvision.evaluation.report.write import write_report
from pocketvision.runtime.predictor import Predictor
from pocketvision.training.recipe import Recipe
from pocketvision.training.stage import EpochRecord
from pocketvision.workflows.progress import Counted, OnEvent
from pocketvision.workflows.run_folder import RunFolder, RunSettings, timestamp
from pocketvision.workflows.training_data import TrainingData

# Split by its name in the report. The validation split chose the epoch and the temperature: its figures are a selection.
_EVALUATED = (("val", "validation", True), ("test", "test", False))


def evaluate_run(
    bundle: Bundle, data: TrainingData, recipe: Recipe, positive: str | None, on_event: OnEvent
) -> list[Evaluation]:
    """Evaluate the bundle, as it ships, on the validation split and on the test split if there is one."""
    predictor = Predictor(bundle)
    evaluations = []
    for split, name, selection in _EVALUATED:
        indices = data.indices(split)
        if len(indices) == 0:
            continue
        evaluations.append(
            evaluate_predictor(
                predictor,
                data.samples.select(indices),
                name=name,
                selection=selection,
                positive=positive,
                workers=recipe.workers,
                seed=recipe.seed,
                on_progress=lambda done, total: on_event(Counted("evaluate", done, total)),
            )  # fmt: skip
        )
    return evaluations


def write_run_report(
    run: RunFolder,
    settings: RunSettings,
    data: TrainingData,
    history: Sequence[EpochRecord],
    best: EpochRecord,
    evaluations: Sequence[Evaluation],
    bundle: Bundle,
    timings: dict[str, float],
    notes: Sequence[str],
) -> None:
    """Write report.html, metrics.json, history.csv and plots/ into the run's folder."""
    recipe = settings.recipe
    record = RunRecord(
        title=run.folder.resolve().name,
        created=timestamp(),
        evaluations=tuple(evaluations),
        model=recipe.model,
        recipe=recipe.to_dict(),
        audit=_audit_summary(data),
        classes=_class_counts(data, recipe),
        history=history,
        chosen=best,
        agreement=bundle.manifest.agreement,
        bundle=str(bundle.folder),
        sizes={name: file.size for name, file in bundle.manifest.files.items()},
        timings=timings,
        versions=bundle.manifest.versions,
        notes=tuple(notes),
    )
    write_report(run.folder, record, settings.lang)


def _audit_summary(data: TrainingData) -> AuditSummary:
    return AuditSummary(
        images=data.audit.images,
        findings=tuple(
            AuditFinding(finding.kind, finding.severity == "error", finding.count, tuple(finding.files[:3]))
            for finding in data.audit.findings
        ),
    )


def _class_counts(data: TrainingData, recipe: Recipe) -> tuple[ClassCounts, ...]:
    names = data.samples.class_names
    counts = {
        split: np.bincount(data.samples.labels[data.indices(split)], minlength=len(names)).tolist() for split in SPLITS
    }
    balanced = np.bincount(data.entries("train", recipe.balance_to, recipe.seed).labels, minlength=len(names)).tolist()
    weights = data.loss_weights(recipe.class_weights)
    return tuple(
        ClassCounts(
            name=name,
            train=counts["train"][index],
            val=counts["val"][index],
            test=counts["test"][index],
            added=balanced[index] - counts["train"][index],
            weight=1.0 if weights is None else float(weights[index]),
        )
        for index, name in enumerate(names)
    )
