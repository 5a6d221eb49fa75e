"""The recipe: settings by path, their files, and what is refused, with where it stands."""

from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest

from pocketvision.data.augment import AUGMENTATIONS
from pocketvision.errors import UsageError
from pocketvision.preprocessing import MAX_PIXELS, SAMPLED, WHITE_LEVELS, Interpolation
from pocketvision.training.data_settings import DataSettings
from pocketvision.training.precision import PRECISIONS
from pocketvision.training.recipe import Recipe
from pocketvision.training.recipe_file import read_recipe, recipe_of, recipe_text, write_recipe
from pocketvision.training.setting import settings_of
from pocketvision.training.setting_aliases import ALIASES, given_flat
from pocketvision.training.setting_values import applied, changed, given_settings, values_of
from pocketvision.training.settings import MOST_EPOCHS, MOST_OF_HEADS, STEP_SIZE, Phase, ScheduleSettings, StepSize


def given(*settings: str, **flat: Any) -> Recipe:
    return applied(Recipe(), [*given_settings(settings), *given_flat(flat)])


def test_a_value_is_given_by_its_path() -> None:
    found = given(
        "optimizer.lr=3e-4", "phases.2.epochs=5", "cache.enabled=off", "data.size=96", "model.weights_key=a=b"
    )
    assert (found.optimizer.lr, found.phases[1].epochs, found.cache.enabled, found.data.size) == (3e-4, 5, False, 96)
    assert found.model.weights_key == "a=b"
    assert given("data.size=none").data.size is None
    assert given('loss.class_weights=cat=2,"a, b"=0.5').loss.class_weights == {"cat": 2.0, "a, b": 0.5}
    assert given("loss.class_weights=balanced").loss.class_weights == "balanced"


def test_phases_are_numbered_and_one_is_added_after_the_last() -> None:
    found = given("phases.4.unfreeze=6", "phases.3.unfreeze=5", "phases.*.patience=2")
    assert [phase.unfreeze for phase in found.phases] == [0, 3, 5, 6]
    assert [phase.patience for phase in found.phases] == [2, 2, None, None]
    assert found.phases[2] == Phase(unfreeze=5)
    with pytest.raises(UsageError, match=r"--set phases\.4\.lr: there are 2 so far; expected a number from 1 to 3"):
        given("phases.4.lr=1")
    with pytest.raises(UsageError, match=r"phases\.0\.lr"):
        given("phases.0.lr=1")


def test_every_flat_name_sets_its_path() -> None:
    defaults = values_of(Recipe())
    for name, alias in ALIASES.items():
        kind = alias.setting.plain
        choice = next((each for each in alias.setting.choices if each != alias.default), "other")
        value = {bool: False, int: choice if alias.setting.choices else 64, float: 0.125, str: choice}[kind]
        found = values_of(applied(Recipe(), given_flat({name: value})))
        different = {path for path, each in found.items() if each != defaults[path]}
        number = alias.path.replace("*", "1")
        assert number in different and different <= {number, number.replace(".1.", ".2.")}, name
        assert found[number] == value
    assert {"epochs1", "lr2", "unfreeze", "patience", "schedule_patience", "cache_limit", "precision"} <= set(ALIASES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optimizer.lrr=1", r"--set optimizer\.lrr: Unknown setting 'optimizer\.lrr'\. Did you mean optimizer\.lr"),
        ("phases.lr=1", r"Unknown setting 'phases\.lr'\. Did you mean phases\.1\.lr"),
        ("data=3", "Unknown setting 'data'"),
        ("lr2=1", r"'lr2' is an option of its own; its setting is phases\.\*\.lr"),
        ("seed", "--set 'seed': expected PATH=VALUE"),
        ("seed=one", r"--set seed is 'one'; expected a whole number from 0 to 2147483647"),
        ("seed=1.5", "--set seed is '1.5'; expected a whole number"),
        ("optimizer.lr=nan", r"--set optimizer\.lr is nan; expected a number from 1e-09 to 10"),
        ("optimizer.lr=0", r"--set optimizer\.lr is 0; expected a number from 1e-09 to 10"),
        ("cache.enabled=maybe", r"--set cache\.enabled is 'maybe'; expected true or false"),
        ("data.white_level=4000", r"is 4000; expected 255, 1023, 4095, 16383, 65535"),
        ("schedule.name=platoe", r"--set schedule\.name: Unknown schedule 'platoe'\. Did you mean plateau"),
        ("data.augmentation=lite", "Unknown augmentation 'lite'. Did you mean light"),
        ("loss.class_weights=heavy", "'heavy' is neither none, balanced nor NAME=NUMBER"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        given(text)


@pytest.mark.parametrize(
    ("settings", "flat", "message"),
    [
        (["phases.1.epochs=5"], {"epochs1": 4}, r"--set phases\.1\.epochs 5 and --epochs1 4 contradict each other"),
        (["phases.2.patience=5"], {"patience": 4}, r"--set phases\.2\.patience 5 and --patience 4 contradict"),
        (["seed=1", "seed=2"], {}, r"--set seed 1 and --set seed 2 contradict each other: both are seed"),
        (["phases.*.epochs=0"], {}, "No phase has an epoch: there is nothing to train"),
        (["data.test_share=0.8"], {"val_share": 0.3}, "leave less than a tenth to train on"),
        (
            ["regularisation.mixup=0.2"],
            {"batch": 1},
            "MixUp, CutMix and mosaics mix the images of a batch, and a batch is 1 here",
        ),
        (
            ["distillation.teacher=large", "phases.1.size_from=32"],
            {},
            "A teacher's answers are kept by the view, of one size and strength, and a phase that grows",
        ),
        ([], {"epochs3": 1}, "Unknown option 'epochs3'. Did you mean epochs"),
    ],
)
def test_settings_that_contradict_each_other(settings: list[str], flat: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        given(*settings, **flat)


def test_the_same_value_twice_is_no_contradiction() -> None:
    assert given("phases.1.epochs=5", epochs1=5).phases[0].epochs == 5


def test_python_gives_values_in_their_types() -> None:
    assert changed(Recipe(), {"cache.limit": 3, "data.size": 64.0}).cache.limit == 3.0
    for path, value in (("seed", True), ("data.size", "64"), ("cache.enabled", 1), ("model.name", 3), ("seed", None)):
        with pytest.raises(UsageError, match=rf"{path} is .*; expected"):
            changed(Recipe(), {path: value})
    with pytest.raises(UsageError, match=r"data\.val_share is 2; expected a number from 0\.01 to 0\.8"):
        Recipe(data=DataSettings(val_share=2))


def test_what_a_recipe_asks_of_its_architecture() -> None:
    with pytest.raises(UsageError, match=r"Unknown .*'efficientnet_light0'.*efficientnet_lite0"):
        given("model.name=efficientnet_light0").require_model()
    with pytest.raises(UsageError, match=r"phases\.2\.unfreeze is 9: efficientnet_lite0 has 7 stages; expected 0 to 7"):
        given("phases.2.unfreeze=9").require_model()


ODD = {
    "model.name": 'a"b\\c\x7f\nd\udc80é',
    "loss.class_weights": {'cat, "big"': 2.0, "dog": 1e-9},
    "phases.3.lr": 1e-9,
    "data.size": 64,
    "cache.enabled": False,
    "cache.limit": 1e5,
}


@pytest.mark.parametrize("explained", [False, True])
def test_a_recipe_comes_back_from_its_file(tmp_path: Path, explained: bool) -> None:
    recipe = changed(Recipe(), ODD)
    write_recipe(tmp_path / "recipe.toml", recipe)
    assert read_recipe(tmp_path / "recipe.toml") == recipe == read_recipe(tmp_path)
    text = recipe_text(recipe, explained=explained)
    (tmp_path / "again.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert read_recipe(tmp_path / "again.toml") == recipe
    assert ("# Share for validation when no split is given (from 0.01 to 0.8)" in text) == explained


def test_what_a_file_leaves_out_has_its_default(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("seed = 3\n[data]\ntest_share = 0.2\n[[phases]]\nepochs = 2\n[[phases]]\nunfreeze = 5\nlr = 1\n")
    found = read_recipe(path)
    assert found == changed(
        Recipe(phases=(Phase(epochs=2), Phase(unfreeze=5, lr=1.0))), {"seed": 3, "data.test_share": 0.2}
    )
    path.write_text("[phases]\n2.lr = 0.5\n")
    assert [phase.lr for phase in read_recipe(path).phases] == [None, 0.5]  # by number: of the default ones
    path.write_text("[loss.class_weights]\ncat = 2\n")
    assert read_recipe(path).loss.class_weights == {"cat": 2.0}


def test_files_beside_a_recipe_are_meant(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text("{}")
    (tmp_path / "mine.toml").write_text('[model]\nname = "rows.json"\nweights = "elsewhere.pth"\n')
    found = read_recipe(tmp_path / "mine.toml").model
    assert (found.name, found.weights) == (str((tmp_path / "rows.json").resolve()), "elsewhere.pth")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[data]\n\nval_shar = 1\n",
            r"mine\.toml, line 3, data\.val_shar: Unknown setting.*Did you mean data\.val_share",
        ),
        ("[data]\nval_share = 2\n", r"mine\.toml, line 2, data\.val_share is 2; expected a number from 0\.01 to 0\.8"),
        ("# seed\nseed = '1'\n", r"mine\.toml, line 2, seed is '1'; expected a whole number"),
        ("[[phases]]\nepochs = 1\n[[phases]]\nlr = 'x'\n", r"mine\.toml, line 4, phases\.2\.lr is 'x'"),
        ("[schedule]\nname = 'platoe'\n", r"mine\.toml, line 2, schedule\.name: Unknown schedule .*plateau"),
        ("data.size = 5", r"mine\.toml, line 1, data\.size is 5; expected a whole number from 28 to 2048"),
        ("phases = []", r"mine\.toml: No phase has an epoch"),
        ("phases = 3", r"mine\.toml, line 1, phases: Unknown setting"),
        ("[[data]]\nsize = 64\n", r"mine\.toml, line 2, data\.1\.size: Unknown setting"),
        ("seed = \n", r"mine\.toml is no TOML: .*line 1"),
        ("version = 2\n", r"mine\.toml is a recipe of version '2'.*Upgrade it"),
        ("version = 'x'\n", r"is a recipe of version 'x'"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_recipe(tmp_path / "mine.toml")


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"The recipe .*none\.toml can not be read: No such file"):
        read_recipe(tmp_path / "none.toml")
    with pytest.raises(UsageError, match=r"recipe\.toml can not be read"):
        read_recipe(tmp_path)


def test_choices_are_those_of_the_tables() -> None:
    """Spelt in the metadata, which load nothing; the tables of the rooms are the truth."""
    choices = {each.path: each.choices for each in settings_of(Recipe)}
    assert choices["data.augmentation"] == ("auto", *AUGMENTATIONS)
    learned = tuple(each for each in get_args(Interpolation) if each != SAMPLED)  # which imported weights alone ask for
    assert choices["data.interpolation"] == learned
    assert choices["data.white_level"] == WHITE_LEVELS
    assert sorted(choices["precision"]) == sorted(("auto", "measured", *PRECISIONS))
    assert DataSettings.max_pixels == MAX_PIXELS


def test_every_setting_tells_what_it_is() -> None:
    for each in settings_of(Recipe):
        assert each.help and not each.help.endswith("."), each.path
        assert each.optional == (each.default is None), each.path
        assert not each.optional or each.unset, f"{each.path} does not say what None means"
        numbers = {int, float} & set(each.kinds)
        assert not numbers or each.choices or each.low is not None, f"{each.path} has no range"
    assert len(fields(ScheduleSettings)) >= 2


def test_what_the_data_decides_is_resolved() -> None:
    found = Recipe().resolved(3_409, closed_form=True)
    assert [(phase.solver, phase.epochs) for phase in found.phases] == [("ridge", 1), ("gradient", 4)]
    assert found.resolved(100, closed_form=False) == found  # once and for all
    few, many = Recipe().resolved(800, closed_form=True), Recipe().resolved(20, closed_form=True)
    assert few.phases[1].epochs == 13  # 320 steps of 25 an epoch
    assert many.phases[1].epochs == MOST_EPOCHS


def test_heads_without_a_closed_form_and_random_starts_learn_by_gradients() -> None:
    heads, tail = Recipe().resolved(800, closed_form=False).phases
    assert (heads.solver, heads.epochs, tail.solver, tail.epochs) == ("gradient", 13, "gradient", 4)
    heads, tail = Recipe().resolved(200, closed_form=False).phases
    assert (heads.epochs, tail.epochs) == (46, 15)  # of 7 steps
    assert Recipe().resolved(20, closed_form=False).phases[0].epochs == MOST_OF_HEADS
    scratch = given("model.weights=none").resolved(800, closed_form=True)
    assert [(p.solver, p.epochs) for p in scratch.phases] == [("gradient", 20), ("gradient", 20)]


def test_a_task_s_batch_and_rate_are_taken_where_none_is_given() -> None:
    asked = StepSize(16, 2e-3)
    heads, tail = Recipe().resolved(208, closed_form=False, step_size=asked).phase_settings()
    assert (heads.batch, heads.lr, heads.epochs) == (16, 2e-3, 25)  # 13 steps an epoch
    assert (tail.batch, tail.lr, tail.epochs) == (16, 3e-4, 8)
    own = given("batch=32", "optimizer.lr=0.001").resolved(208, closed_form=False, step_size=asked)
    assert own.step_size == STEP_SIZE


def test_heads_on_maps_may_take_longer_and_another_model_its_own_steps() -> None:
    asked = StepSize(8, 2e-3, longer=2)
    found = given("phases.3.model=u_net_small", "phases.3.steps=75").resolved(367, closed_form=False, step_size=asked)
    assert [phase.epochs for phase in found.phases] == [14, 4, 4]  # of 46 steps
    few = found.phase_settings()[2]
    assert (few.model, few.solver, few.batch, few.lr) == ("u_net_small", "gradient", 8, 2e-3)
    again = given("phases.3.model=u_net_small", "phases.3.steps=75").resolved(19, closed_form=True)
    assert (again.phases[2].solver, again.phases[2].epochs) == ("gradient", 75)
    with pytest.raises(UsageError, match="beside model u_net_small"):
        given("phases.3.model=u_net_small", "phases.3.solver=ridge")


def test_whoever_gives_epochs_or_a_rate_means_gradients() -> None:
    assert given("phases.1.epochs=3").resolved(800, closed_form=True).phases[0].solver == "gradient"
    assert given("phases.1.lr=0.01").resolved(800, closed_form=True).phases[0].solver == "gradient"
    assert given("phases.1.epochs=0").resolved(800, closed_form=True).phase_settings()[0].number == 2


@pytest.mark.parametrize(("schedule", "patience"), [("cosine", 13), ("one_cycle", 13), ("plateau", 7), ("constant", 7)])
def test_a_schedule_that_falls_to_nothing_runs_to_its_end(schedule: str, patience: int) -> None:
    found = given(f"schedule.name={schedule}").resolved(800, closed_form=True)
    assert found.phases[1].patience == patience


def test_an_unresolved_recipe_has_no_settings_for_the_engine() -> None:
    with pytest.raises(ValueError, match="the recipe is not resolved"):
        Recipe().phase_settings()


def test_efforts_differ_in_their_phases() -> None:
    quick, best = recipe_of(None, [], "quick"), recipe_of(None, [], "best")
    assert [phase.solver for phase in quick.resolved(800, closed_form=True).phases] == ["ridge"]
    assert best.phases[1].unfreeze > Recipe().phases[1].unfreeze
    assert best.phases[1].steps > Recipe().phases[1].steps
    with pytest.raises(UsageError, match="quick"):
        recipe_of(None, [], "quik")
    with pytest.raises(UsageError, match="contradict"):
        recipe_of(Recipe(), [], "best")
