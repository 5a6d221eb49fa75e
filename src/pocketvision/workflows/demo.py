"""demo: the reference job on the embedded faces, from pictures to a report, a bundle and a few predictions."""

from dataclasses import dataclass
from pathlib import Path

from pocketvision.data.demo_faces import demo_partition
from pocketvision.data.samples import Samples
from pocketvision.data.splits import write_split_csv
from pocketvision.progress import Note, OnEvent, silent
from pocketvision.runtime.predictor import Predictor
from pocketvision.tasks.classification.answer import Classification
from pocketvision.training.recipe import DEFAULT_PHASES, Recipe
from pocketvision.training.run_folder import RunSettings, new_run_folder
from pocketvision.training.setting_values import changed
from pocketvision.workflows.training_run import TrainResult, run_training

POSITIVE = "teasing"
# The reference job's recipe, but for the second stage's 20 epochs: with 8 the demo took 87 s on two quiet cores, and leaves
# room below its three minutes for slower ones.
DEMO_EPOCHS2 = 8
SHOWN_PREDICTIONS = 6


@dataclass(frozen=True, eq=False)
class DemoResult:
    """The training's result, and what its bundle says about a few faces that it never saw: (picture, true label, answer)."""

    training: TrainResult
    predictions: tuple[tuple[Path, str, Classification], ...]


def demo(*, out: str | Path | None = None, seed: int = 0, lang: str = "en", on_event: OnEvent = silent) -> DemoResult:
    """Train on the embedded faces with the reference job's recipe and measure the bundle on faces, a design and both unseen.

    Needs no network: the pictures are in the package, the weights in a package of the `train` extra.
    """
    run = new_run_folder(None if out is None else Path(out), Path("demo"))
    partition = demo_partition(seed)
    table = run.folder / "faces.csv"
    write_split_csv(table, partition.training_samples())
    own = {"phases.2.epochs": DEMO_EPOCHS2, "data.balance_to": 250, "loss.class_weights": {POSITIVE: 2.0}, "seed": seed}
    recipe = changed(Recipe(), own)
    on_event(
        Note(
            f"The demo caps stage 2 at {DEMO_EPOCHS2} epochs (a real run: {DEFAULT_PHASES[1].epochs}). Classes are balanced to "
            f"{recipe.data.balance_to} training images; {POSITIVE} weighs 2.0 in the loss."
        )
    )
    settings = RunSettings(
        data=str(table.resolve()),
        columns={},
        labels=None,
        recipe=recipe,
        data_fingerprint="",
        status="started",
        lang=lang,
        positive=POSITIVE,
    )
    unseen = {
        "unseen_faces": partition.samples.select(partition.unseen_faces),
        "unseen_design": partition.samples.select(partition.unseen_design),
        "unseen_both": partition.samples.select(partition.both_unseen),
    }
    result = run_training(run, settings, None, on_event, further=unseen)
    return DemoResult(result, _predict_some(result, unseen["unseen_faces"]))


def _predict_some(result: TrainResult, samples: Samples) -> tuple[tuple[Path, str, Classification], ...]:
    """A few pictures, evenly taken, so that both classes are among them."""
    predictor = Predictor(result.bundle)
    step = max(1, len(samples) // SHOWN_PREDICTIONS)
    chosen = range(0, len(samples), step)[:SHOWN_PREDICTIONS]
    return tuple((samples.file(i), samples.class_name(i), predictor(samples.file(i))) for i in chosen)
