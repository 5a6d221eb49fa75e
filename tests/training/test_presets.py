"""Presets: each is a recipe that trains, and what is given beside its name goes on top."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pocketvision.data.augment import AUGMENTATIONS
from pocketvision.errors import UsageError
from pocketvision.models.network import Network
from pocketvision.training.inputs import ImageViews, PlainInputs
from pocketvision.training.learned_tasks import augmentation_with, objective_of
from pocketvision.training.learner import LearnerOptions
from pocketvision.training.phases import Entries, train_phases
from pocketvision.training.presets import PRESETS
from pocketvision.training.recipe_file import recipe_of
from pocketvision.training.setting_values import Given, changed, given_settings


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_trains(name: str, network: Network, images: ImageViews) -> None:
    """On tiny pictures, an epoch a phase: everything but the model, the size and the length is the preset's own."""
    preset = PRESETS[name]
    assert len(preset.source) > 40
    recipe = preset.recipe if preset.recipe.model.from_scratch else recipe_of(preset.recipe, [])
    short = {f"phases.{number}.epochs": 1 for number, each in enumerate(recipe.phases, 1) if each.epochs}
    deep = {f"phases.{n}.unfreeze": min(each.unfreeze, 4) for n, each in enumerate(recipe.phases, 1)}
    recipe = changed(recipe, {**short, **deep, "batch": 18, "cache.enabled": False})
    resolved = recipe.resolved(36, closed_form=False)
    views = augmentation_with(AUGMENTATIONS[resolved.data.augmentation], recipe.augment, "all")
    truth = images.samples.truth
    options = LearnerOptions(recipe.regularisation.label_smoothing, recipe.loss.class_weights, recipe.loss.name or "")
    inputs = PlainInputs(replace(images, augmentation=views), network, 0)
    phases = [replace(each, epochs=1) for each in resolved.phase_settings()]
    trained = train_phases(
        network,
        dict.fromkeys((-1, 0, 1, 2, 3), inputs),
        entries=Entries(np.arange(36), np.zeros(36, np.int64)),
        validation=Entries(np.arange(36, 48), np.zeros(12, np.int64)),
        phases=phases,
        from_scratch=recipe.model.from_scratch,
        objective=objective_of(truth, options=options),
        seed=0,
        name_of=str,
        checkpoints=None,
    )
    assert len(trained.history) == len(phases) and all(np.isfinite(each.val_loss) for each in trained.history)


def test_a_file_and_settings_go_on_top_of_a_preset(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("seed = 7\n[optimizer]\nclip = 1.0\n", encoding="utf-8")
    found = recipe_of(file, given_settings(["schedule.name=cosine"]), preset="scratch_small_images")
    base = PRESETS["scratch_small_images"].recipe
    assert found == replace(
        base, seed=7, optimizer=replace(base.optimizer, clip=1.0), schedule=replace(base.schedule, name="cosine")
    )
    file.write_text("[[phases]]\nepochs = 2\n", encoding="utf-8")
    assert [each.epochs for each in recipe_of(file, [], preset="two_stage").phases] == [2]
    assert recipe_of(file, []).phases == recipe_of(file, [], preset="finetune").phases


def test_everything_is_as_deep_as_the_model() -> None:
    assert [each.unfreeze for each in recipe_of(None, [], preset="finetune").phases] == [0, 8]
    given = [Given("model.name", "mobilenet_v3_large", "--model")]
    deeper = recipe_of(None, given, preset="finetune").phases[1].unfreeze
    assert deeper == len(recipe_of(None, given).model.spec().stage_lines()) + 1


def test_names_and_contradictions_are_told() -> None:
    with pytest.raises(UsageError, match=r"Unknown preset 'finetun'.*finetune"):
        recipe_of(None, [], preset="finetun")
    with pytest.raises(UsageError, match="--preset finetune and --effort best contradict each other"):
        recipe_of(None, [], "best", "finetune")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["data.sampler=balanced", "data.balance_to=9"], "data.sampler balanced and data.balance_to"),
        (["data.sampler=balanced", "loss.class_weights=balanced"], "count twice"),
        (["batch=8", "optimizer.accumulate=9"], "optimizer.accumulate 9 parts are more than the batch's 8"),
        (["optimizer.accumulate=2", "loss.weights=grad_norm"], "grad_norm"),
        (["augment.policy=auto_augment", "augment.magnitude=5"], "auto_augment draws its own"),
        (["optimizer.name=sgd", "optimizer.eps=1e-8"], "sgd divides by nothing"),
        (["model.drop_path=0.1"], "model.drop_path is of a random start"),
        (["batch=1", "regularisation.mixup=0.2"], "a batch is 1 here"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        recipe_of(None, given_settings(settings))


def test_the_guide_names_every_preset_and_its_source() -> None:
    guide = (Path(__file__).parents[2] / "docs/recipes.md").read_text(encoding="utf-8")
    for name, preset in PRESETS.items():
        assert f"| `{name}` | {preset.source} |\n" in guide, name
