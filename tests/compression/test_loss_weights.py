"""What the losses of several tasks weigh where a bundle's network learns again."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pocketvision.bundle import Bundle
from pocketvision.compression.loss_weights import LossWeights, loss_weights_of
from pocketvision.training.recipe import Recipe
from pocketvision.training.recipe_file import write_recipe
from pocketvision.training.setting_values import changed

TASKS = ("detection", "number", "tags")


@pytest.mark.parametrize(
    ("learned", "judged", "weights"),
    [
        (None, {}, "equal"),
        (None, {"number": 2}, {"number": 2}),
        ("equal", {"number": 1}, "equal"),
        ({"tags": 3}, {}, {"tags": 3}),
        ({"tags": 3, "gone": 5}, {"tags": 2, "number": 0.5}, {"tags": 6, "number": 0.5}),
        ({"tags": 3}, {"tags": 0}, {"tags": 3}),
        ({"tags": 0}, {"tags": 4}, {"tags": 0}),
        ("uncertainty", {}, "uncertainty"),
        ("grad_norm", {"detection": 2, "tags": 0}, {"detection": 2}),
        ({"detection": 0, "number": 0, "tags": 0, "gone": 1}, {}, "equal"),
    ],
)
def test_weights_are_the_runs_times_the_budgets(
    learned: LossWeights | None, judged: Mapping[str, float], weights: LossWeights, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    manifest = replace(tiny_bundle.manifest, tasks=dict.fromkeys(TASKS, tiny_bundle.task))
    if learned is not None:
        write_recipe(tmp_path / "recipe.toml", changed(Recipe(), {"loss.weights": learned}))
    assert loss_weights_of(Bundle(tmp_path / "bundle", manifest), judged, TASKS) == weights


def test_a_task_alone_has_none(tiny_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("not read", encoding="utf-8")
    assert loss_weights_of(Bundle(tmp_path / "bundle", tiny_bundle.manifest), {}, ("classification",)) == "equal"
