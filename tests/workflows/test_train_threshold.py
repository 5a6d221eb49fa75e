"""train --threshold: chosen on the validation images, kept in the bundle, and what is refused before the training."""

from pathlib import Path

import pytest

import pocketvision
from pocketvision.bundle import read_bundle
from pocketvision.errors import UsageError
from pocketvision.training.recipe import Recipe
from pocketvision.training.recipe_file import read_recipe
from pocketvision.workflows.evaluate import evaluate
from pocketvision.workflows.training_run import TrainResult

Network = dict[str, str]
QUICK = {"size": 64, "epochs1": 1, "epochs2": 0, "views": 1, "batch": 8, "seed": 3, "lr1": 1e-2}


def trained(photos: Path, network: Network, out: Path, **options: object) -> TrainResult:
    return pocketvision.train(photos, out=out, **network, **{**QUICK, **options})  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_training_chooses_thresholds(photos: Path, small_network: Network, tmp_path: Path) -> None:
    result = trained(photos, small_network, tmp_path / "run", threshold="recall=0.95", abstain_below=0.55)
    told = read_bundle(result.bundle.folder).task.postprocessing
    assert told["thresholds_for"]["wishes"] == ["recall=0.95"] and told["abstain_below"] == 0.55
    validation = result.evaluations[0]
    assert told["thresholds_for"]["images"] == len(validation.paths)
    assert validation.metrics.recall is not None and validation.metrics.recall >= 0.95
    assert validation.metrics.abstaining is not None and validation.metrics.abstaining.threshold == 0.55
    again = evaluate(result.bundle.folder, tmp_path / "run" / "split.csv", split="val")
    assert again.metrics.confusion_matrix.tolist() == validation.metrics.confusion_matrix.tolist()
    assert result.bundle.figures[0].value == validation.metrics.accuracy
    assert "before its thresholds" not in read_bundle(result.bundle.folder).headline
    page = result.report.read_text(encoding="utf-8")
    assert "recall=0.95" in page and "<h3>Thresholds</h3>" in page and "The bundle itself is unsure below" in page
    recipe = read_recipe(tmp_path / "run" / "recipe.toml")
    assert (recipe.decision.threshold, recipe.decision.abstain_below) == ("recall=0.95", 0.55)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"threshold": "recal=0.9"}, "Unknown wish for a threshold 'recal'. Did you mean recall?"),
        ({"threshold": "teesing:f1"}, "Unknown class 'teesing'. Did you mean teasing?"),
        ({"threshold": "1.5"}, r"The threshold 1.5 is outside \[0, 1\]"),
        ({"threshold": "f1,recall=0.9"}, "Two classes have one threshold, and 2 wishes are told"),
        ({"abstain_below": 1.5}, "1.5"),
    ],
)
def test_nonsense_is_refused_before_the_training(
    photos: Path, small_network: Network, tmp_path: Path, options: dict[str, object], complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        trained(photos, small_network, tmp_path / "run", **options)
    assert not (tmp_path / "run" / "stage1").exists() and not (tmp_path / "run" / "bundle").exists()


def test_the_recipe_has_no_threshold_by_default() -> None:
    assert (Recipe().decision.threshold, Recipe().decision.abstain_below) == (None, None)
