"""demo: a question about the embedded faces, from pictures to a report, a bundle and a few predictions."""

from dataclasses import dataclass, replace
from pathlib import Path

from pocketvision.data.demo_faces import CHEERFUL, DemoPartition, demo_partition
from pocketvision.data.demo_scene_files import SCENES, SOURCES, write_scenes
from pocketvision.data.demo_scenes import scene_parts
from pocketvision.data.samples import Samples
from pocketvision.data.splits import write_split_csv
from pocketvision.errors import UsageError, unknown_name
from pocketvision.progress import Note, OnEvent, silent
from pocketvision.runtime.predictor import Predictor
from pocketvision.tasks.classification.answer import Classification
from pocketvision.tasks.classification.truth import CLASSIFICATION
from pocketvision.tasks.detection.truth import DETECTION
from pocketvision.tasks.segmentation.truth import SEGMENTATION
from pocketvision.training.demo_recipes import POSITIVES, RECIPES, SCENE_RECIPES, told
from pocketvision.training.recipe import Recipe
from pocketvision.training.run_folder import RunFolder, RunSettings, new_run_folder
from pocketvision.workflows.training_run import TrainResult, run_training

SHOWN_PREDICTIONS = 6

ALL = "all"
SCENES_OF = {DETECTION: (DETECTION,), SEGMENTATION: (SEGMENTATION,), ALL: tuple(SOURCES)}
"""What is learned from scenes: by the demo's task, the tasks of its network."""


@dataclass(frozen=True, eq=False)
class DemoResult:
    """The training's result, and what its bundle says about a few faces that it never saw: (picture, true label, answer); of
    scenes none."""

    training: TrainResult
    predictions: tuple[tuple[Path, str, Classification], ...]


def demo(
    *,
    task: str = CLASSIFICATION,
    question: str = CHEERFUL,
    out: str | Path | None = None,
    seed: int = 0,
    lang: str = "en",
    on_event: OnEvent = silent,
) -> DemoResult:
    """Train on the embedded faces and measure the bundle on faces, a design and both unseen.

    task: "classification"; of scenes composed of them, measured on a design unseen, "detection" of the faces, "segmentation", or
    "all": both, and what stands behind them, in one network. question, of the first: "cheerful" (or upset) or "teasing" (or not,
    the reference job). seed: of pictures, split and training.
    Needs no network: the pictures are in the package, the weights in a package of the `train` extra.
    Raises UsageError for a task or a question that there is not.
    """
    if task not in (CLASSIFICATION, *SCENES_OF):
        raise unknown_name("task of the demo", task, (CLASSIFICATION, *SCENES_OF))
    if task in SCENES_OF:
        if question != CHEERFUL:
            raise UsageError(f"--question {question} is asked of single faces; leave it out with --task {task}.")
        return DemoResult(_train_on_scenes(task, out, seed, lang, on_event), ())
    partition = demo_partition(question, seed)
    run = new_run_folder(None if out is None else Path(out), Path("demo"))
    recipe = replace(RECIPES[question], seed=seed)
    on_event(Note(told(recipe)))
    result = train_on(partition, run, recipe, POSITIVES[question], lang=lang, on_event=on_event)
    return DemoResult(result, _predict_some(result, partition.samples.select(partition.unseen_faces)))


def _train_on_scenes(task: str, out: str | Path | None, seed: int, lang: str, on_event: OnEvent) -> TrainResult:
    """Compose scenes in a new run, and learn from them as from anybody's boxes and masks."""
    run = new_run_folder(None if out is None else Path(out), Path("demo"))
    scenes, recipe = run.folder / "scenes", replace(SCENE_RECIPES[task], seed=seed)
    write_scenes(scenes, seed, SCENES, scene_parts(seed), SCENES_OF[task])
    on_event(Note(f"{sum(SCENES.values())} scenes are in {scenes}. {told(recipe)}"))
    return run_training(run, _settings(scenes, recipe, lang, None), None, on_event)


def train_on(
    partition: DemoPartition,
    run: RunFolder,
    recipe: Recipe,
    positive: str,
    *,
    lang: str = "en",
    cache_folder: Path | None = None,
    on_event: OnEvent = silent,
) -> TrainResult:
    """Train on the partition's seen pictures, in a new `run`, and measure on the three that are unseen.

    cache_folder: of the trunk cache, where runs share one; None keeps it in the run, until it is done.
    """
    table = run.folder / "faces.csv"
    write_split_csv(table, partition.training_samples())
    unseen = {
        "unseen_faces": partition.samples.select(partition.unseen_faces),
        "unseen_design": partition.samples.select(partition.unseen_design),
        "unseen_both": partition.samples.select(partition.both_unseen),
    }
    return run_training(run, _settings(table, recipe, lang, positive), cache_folder, on_event, further=unseen)


def _settings(data: Path, recipe: Recipe, lang: str, positive: str | None) -> RunSettings:
    return RunSettings(
        data=str(data.resolve()),
        columns={},
        labels=None,
        recipe=recipe,
        data_fingerprint="",
        status="started",
        lang=lang,
        positive=positive,
    )


def _predict_some(result: TrainResult, samples: Samples) -> tuple[tuple[Path, str, Classification], ...]:
    """A few pictures, evenly taken, so that both classes are among them."""
    predictor = Predictor(result.bundle)
    step = max(1, len(samples) // SHOWN_PREDICTIONS)
    chosen = range(0, len(samples), step)[:SHOWN_PREDICTIONS]
    return tuple((samples.file(i), samples.class_name(i), predictor(samples.file(i))) for i in chosen)
