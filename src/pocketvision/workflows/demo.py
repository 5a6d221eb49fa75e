"""demo: a question about the embedded faces, from pictures to a report, a bundle and a few predictions."""

from dataclasses import dataclass, replace
from pathlib import Path

from pocketvision.data.demo_faces import CHEERFUL, DemoPartition, demo_partition
from pocketvision.data.samples import Samples
from pocketvision.data.splits import write_split_csv
from pocketvision.progress import Note, OnEvent, silent
from pocketvision.runtime.predictor import Predictor
from pocketvision.tasks.classification.answer import Classification
from pocketvision.training.demo_recipes import POSITIVES, RECIPES, told
from pocketvision.training.recipe import Recipe
from pocketvision.training.run_folder import RunFolder, RunSettings, new_run_folder
from pocketvision.workflows.training_run import TrainResult, run_training

SHOWN_PREDICTIONS = 6


@dataclass(frozen=True, eq=False)
class DemoResult:
    """The training's result, and what its bundle says about a few faces that it never saw: (picture, true label, answer)."""

    training: TrainResult
    predictions: tuple[tuple[Path, str, Classification], ...]


def demo(
    *,
    question: str = CHEERFUL,
    out: str | Path | None = None,
    seed: int = 0,
    lang: str = "en",
    on_event: OnEvent = silent,
) -> DemoResult:
    """Train on the embedded faces and measure the bundle on faces, a design and both unseen.

    question: "cheerful" (or upset) or "teasing" (or not, the reference job). seed: of the split and of the training.
    Needs no network: the pictures are in the package, the weights in a package of the `train` extra.
    """
    partition = demo_partition(question, seed)
    run = new_run_folder(None if out is None else Path(out), Path("demo"))
    recipe = replace(RECIPES[question], seed=seed)
    on_event(Note(told(recipe)))
    result = train_on(partition, run, recipe, POSITIVES[question], lang=lang, on_event=on_event)
    return DemoResult(result, _predict_some(result, partition.samples.select(partition.unseen_faces)))


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
    settings = RunSettings(
        data=str(table.resolve()),
        columns={},
        labels=None,
        recipe=recipe,
        data_fingerprint="",
        status="started",
        lang=lang,
        positive=positive,
    )
    unseen = {
        "unseen_faces": partition.samples.select(partition.unseen_faces),
        "unseen_design": partition.samples.select(partition.unseen_design),
        "unseen_both": partition.samples.select(partition.both_unseen),
    }
    return run_training(run, settings, cache_folder, on_event, further=unseen)


def _predict_some(result: TrainResult, samples: Samples) -> tuple[tuple[Path, str, Classification], ...]:
    """A few pictures, evenly taken, so that both classes are among them."""
    predictor = Predictor(result.bundle)
    step = max(1, len(samples) // SHOWN_PREDICTIONS)
    chosen = range(0, len(samples), step)[:SHOWN_PREDICTIONS]
    return tuple((samples.file(i), samples.class_name(i), predictor(samples.file(i))) for i in chosen)
