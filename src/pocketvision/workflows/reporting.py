"""What a run writes at its end: the bundle measured on the run's own splits, and the report."""

from collections.abc import Callable, Mapping, Sequence

from pocketvision.bundle import Bundle
from pocketvision.data.learned_from import Matches, looked_up
from pocketvision.data.samples import SPLITS, Samples
from pocketvision.evaluation.deciding import Wanted, decided_by_validation, wanted_after_training
from pocketvision.evaluation.evaluate import evaluate_predictor
from pocketvision.evaluation.evaluation import Evaluation, untouched_first
from pocketvision.evaluation.near_twins import near_twins
from pocketvision.evaluation.overlap import Role
from pocketvision.evaluation.report.record import AuditSummary, RunRecord
from pocketvision.evaluation.report.repeating import of_run, repeating
from pocketvision.evaluation.report.write import write_report
from pocketvision.explain.training_pictures import looking_of
from pocketvision.models.catalog import architecture
from pocketvision.progress import Counted, EpochRecord, Note, OnEvent
from pocketvision.runtime.predictor import Predictor
from pocketvision.tasks.classification.truth import CLASSIFICATION
from pocketvision.tasks.comparing import MEASURED
from pocketvision.tasks.reporting.parts import ClassCounts
from pocketvision.training.learned_tasks import manifests
from pocketvision.training.recipe import Recipe
from pocketvision.training.run_folder import RunFolder, RunSettings, timestamp
from pocketvision.training.setting_values import setting_at, values_of
from pocketvision.training.training_data import TrainingData

# Split by its name in the report, and what its images were to the training.
_EVALUATED: tuple[tuple[str, str, Role], ...] = (("val", "validation", "selection"), ("test", "test", "test"))


def evaluate_run(
    bundle: Bundle,
    data: TrainingData,
    recipe: Recipe,
    positive: str | None,
    further: Mapping[str, Samples],
    on_event: OnEvent,
    splits: tuple[str, ...] = ("val", "test"),
) -> list[Evaluation]:
    """Evaluate the bundle, as it ships, on the validation split, on the test split if there is one, and on `further` images.

    What the audit found to be learned from already is in no figure; of `further` images, what the bundle's hashes tell.
    """
    sets: list[tuple[str, Samples, Role, Matches | None]] = [
        (name, data.samples.select(data.indices(split)), role, data.matches(split))
        for split, name, role in _EVALUATED
        if split in splits and len(data.indices(split))
    ]
    for name, samples in further.items():
        files = [samples.file(index) for index in range(len(samples))]
        found, _ = looked_up(data.learned_from, files, workers=recipe.data.workers, max_pixels=recipe.data.max_pixels)
        sets.append((name, samples, "test", found))
    total = sum(len(samples) for _, samples, _, _ in sets)

    def progress_after(done: int) -> Callable[[int, int], None]:
        return lambda now, _: on_event(Counted("evaluate", done + now, total))

    on_event(Counted("evaluate", 0, total))
    predictor, done, evaluations = Predictor(bundle, detail=MEASURED), 0, list[Evaluation]()
    for name, samples, role, matches in sets:
        evaluations.append(
            evaluate_predictor(
                predictor,
                samples,
                name=name,
                role=role,
                matches=matches,
                positive=positive,
                workers=recipe.data.workers,
                max_pixels=recipe.data.max_pixels,
                seed=recipe.seed,
                on_progress=progress_after(done),
            )
        )
        done += len(samples)
    return evaluations


def wanted_of(settings: RunSettings, data: TrainingData) -> Wanted | None:
    """What thresholds are wished for; UsageError for what does not fit the classes."""
    decision = settings.recipe.decision
    task = manifests(data.learned)[_decided(data)]
    return wanted_after_training(task, decision.threshold, settings.positive, decision.abstain_below)


def _decided(data: TrainingData) -> str:
    """The task that thresholds are of: the first of classification that is learned, else the first."""
    tasks = manifests(data.learned)
    return next((name for name, task in tasks.items() if task.kind == CLASSIFICATION), next(iter(tasks)))


def decide_run(bundle: Bundle, settings: RunSettings, data: TrainingData, log: OnEvent) -> Bundle:
    """The bundle with the thresholds that the recipe wishes for, chosen on all validation images."""
    wanted = wanted_of(settings, data)
    if wanted is None:
        return bundle
    (validation,) = evaluate_run(bundle, data, settings.recipe, settings.positive, {}, log, splits=("val",))
    bundle, note = decided_by_validation(bundle, _decided(data), wanted, validation)
    if note:
        log(Note(note))
    return bundle


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
    weights_origin: str,
) -> None:
    """Write report.html, metrics.json, history.csv and plots/ into the run's folder."""
    recipe = settings.recipe
    record = RunRecord(
        title=run.folder.resolve().name,
        created=timestamp(),
        evaluations=tuple(evaluations),
        model=recipe.model.name,
        recipe=values_of(recipe),
        meanings={path: setting_at(Recipe, path, path).help for path in values_of(recipe)},
        used=_used(recipe, bundle, weights_origin),
        stages=len(architecture(recipe.model.name).stage_lines()),
        audit=AuditSummary.of(data.audit),
        classes=_class_counts(data, recipe),
        history=history,
        chosen=best,
        agreement=bundle.manifest.agreement,
        bundle=str(bundle.folder),
        sizes={name: file.size for name, file in bundle.manifest.files.items()},
        timings=timings,
        versions=bundle.manifest.versions,
        notes=tuple(notes),
        twins=near_twins(evaluations[0], data.near_twins, data.kept_together, recipe.seed),
        looking=looking_of(bundle, untouched_first(evaluations)[0].root),
        command=repeating(bundle.folder, run.split, untouched_first(evaluations)[0].name),
        repeats=of_run(run.folder, run.split, settings.data, vars(settings)),
    )
    write_report(run.folder, record, settings.lang)


def _used(recipe: Recipe, bundle: Bundle, weights_origin: str) -> dict[str, str | int]:
    """What was taken where the recipe leaves it open."""
    height, width = bundle.preprocessing.height, bundle.preprocessing.width
    used: dict[str, str | int] = {}
    if recipe.model.weights == "auto":
        used["model.weights"] = weights_origin
    if recipe.data.size is None:
        used["data.size"] = height if height == width else f"{width} × {height}"
    if recipe.data.white_level is None:
        used["data.white_level"] = bundle.preprocessing.white_level
    return used


def _class_counts(data: TrainingData, recipe: Recipe) -> tuple[ClassCounts, ...]:
    names = data.samples.class_names
    counts = {split: data.samples.select(data.indices(split)).class_counts().tolist() for split in SPLITS}
    balanced = (
        data.samples.select(data.entries("train", recipe.data.balance_to, recipe.seed).samples).class_counts().tolist()
    )
    weights = data.loss_weights(recipe.loss.class_weights)
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
