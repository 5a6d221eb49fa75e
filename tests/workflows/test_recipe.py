"""A run's recipe: what is kept of it, and that it repeats the training."""

import json
from pathlib import Path
from typing import Any

import pytest

import pocketvision
from pocketvision.cli.main import main
from pocketvision.errors import UsageError
from pocketvision.training.recipe import Recipe
from pocketvision.training.recipe_file import read_recipe
from pocketvision.workflows.training_run import TrainResult


def test_a_run_keeps_what_was_resolved(trained: TrainResult) -> None:
    recipe, run = read_recipe(trained.run), json.loads((trained.run / "run.json").read_text())
    assert recipe.precision in ("float32", "bfloat16")
    assert recipe.data.test_share == 0.2
    assert 'name = "architecture.json"' in (trained.run / "recipe.toml").read_text()  # wherever the run is moved to
    assert Path(recipe.model.name) == trained.run.resolve() / "architecture.json"
    assert run["status"] == "finished" and "recipe" not in run
    assert {"pocketvision", "torch", "threads"} <= set(run["versions"])


@pytest.mark.slow
def test_its_recipe_repeats_it_bit_by_bit(
    photos: Path, tiny_training: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fewer views than were asked for, as many as the cache holds: the recipe has what was done."""
    short = tiny_training | {"epochs1": 1, "epochs2": 1, "views": 60, "unfreeze": 4, "cache_limit": 0.003, "seed": 5}
    first = pocketvision.train(photos, out=tmp_path / "first", test_share=0.2, **short)
    views = read_recipe(first.run).cache.views
    assert 1 <= views < 60
    with pytest.raises(SystemExit) as stopped:
        main(["train", str(photos), "--recipe", str(first.run / "recipe.toml"), "--out", str(tmp_path / "again")])
    assert not stopped.value.code, capsys.readouterr().err
    for name in ("bundle/model.safetensors", "stage2/best.safetensors", "recipe.toml", "architecture.json"):
        assert (first.run / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_a_run_that_goes_on_keeps_its_recipe(trained: TrainResult) -> None:
    with pytest.raises(
        UsageError, match=r"epochs and lr of its phases, .* can change, not --set optimizer\.lr, --seed"
    ):
        pocketvision.train(resume=trained.run, settings={"optimizer.lr": 0.5}, seed=8)
    with pytest.raises(UsageError, match="has its own recipe: leave --recipe, --preset and --effort out"):
        pocketvision.train(resume=trained.run, recipe=Recipe())
    with pytest.raises(UsageError, match="no phase is added"):
        pocketvision.train(resume=trained.run, settings=["phases.3.epochs=1"])
    assert pocketvision.train(resume=trained.run, settings={"phases.1.epochs": 1}).unchanged


def test_the_shell_gives_what_python_gives(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Recipe] = []

    def note(_: Any, settings: Any, *__: Any) -> None:
        asked.append(settings.recipe)
        raise UsageError("enough")

    monkeypatch.setattr("pocketvision.workflows.train.run_training", note)
    (tmp_path / "mine.toml").write_text("seed = 4\nbatch = 16\n")
    words = [
        "--epochs1",
        "3",
        "--lr2",
        "0.5",
        "--no-cache",
        "--size",
        "96",
        "--set",
        "batch=8",
        "--class-weights",
        "a=2",
    ]
    with pytest.raises(SystemExit):
        main(["train", str(photos), "--out", str(tmp_path / "run"), "--recipe", str(tmp_path / "mine.toml"), *words])
    with pytest.raises(UsageError, match="enough"):
        pocketvision.train(
            photos,
            out=tmp_path / "run",
            recipe=tmp_path / "mine.toml",
            settings={"phases.1.epochs": 3, "batch": 8},
            lr2=0.5,
            cache=False,
            size=96,
            class_weights={"a": 2.0},
        )
    assert asked[0] == asked[1]
    assert (asked[0].seed, asked[0].batch, asked[0].cache.enabled, asked[0].phases[0].epochs) == (4, 8, False, 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "optimizer.lrr=1"], "Did you mean optimizer.lr"),
        (["--set", "phases.1.epochs=2", "--epochs1", "3"], "contradict each other"),
        (["--recipe", "none.toml"], "none.toml can not be read"),
        (["--lr1", "0"], "--lr1 is 0; expected a number from 1e-09 to 10"),
    ],
)
def test_the_shell_names_what_is_wrong(photos: Path, words: list[str], message: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["train", str(photos), *words])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err.replace("\n", " ")


def test_help_is_short_and_the_recipe_says_all(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    shown = capsys.readouterr().out
    assert "--recipe" in shown and "--size" in shown
    assert [each for each in ("--epochs1", "--lr2", "--dropout", "--cache-limit", "--patience") if each in shown] == []
    with pytest.raises(SystemExit):
        main(["train", "--show-recipe", "--lr2", "0.25", "--set", "data.size=96"])
    text = capsys.readouterr().out
    assert "lr = 0.25\n" in text and "size = 96\n" in text and "# weights_key =\n" in text
    assert "# Share for an untouched test split (from 0 to 0.8)\n" in text


def test_a_wrong_word_in_python_has_near_matches(photos: Path) -> None:
    with pytest.raises(UsageError, match=r"Unknown option 'epoch1'\. Did you mean epochs1"):
        pocketvision.train(photos, epoch1=3)
    with pytest.raises(UsageError, match=r"Unknown setting 'data\.sise'"):
        pocketvision.train(photos, settings={"data.sise": 3})
    import inspect

    parameters = inspect.signature(pocketvision.train).parameters
    assert parameters["epochs2"].default is None and parameters["cache_limit"].default == 20.0


@pytest.mark.slow
def test_a_quick_run_solves_its_head_alone_and_says_so_in_its_recipe(photos: Path, tmp_path: Path) -> None:
    done = pocketvision.train(photos, out=tmp_path / "run", effort="quick", size=64, views=1)
    assert [(record.stage, record.epoch) for record in done.history] == [(1, 1)]
    written = read_recipe(done.run)
    assert [(phase.solver, phase.epochs) for phase in written.phases] == [("ridge", 1)]
    assert done.bundle.manifest.tasks["classification"].head == "multiscale_linear"
