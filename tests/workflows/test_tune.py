"""A learning rate and a batch that are looked for before a training."""

import json
from pathlib import Path

import pytest
from PIL import Image

import pocketvision.training.batch_finder as batch_finder
from pocketvision.cli.main import main
from pocketvision.errors import UsageError
from pocketvision.models.network import Network
from pocketvision.training.batch_finder import batches_within
from pocketvision.training.rate_finder import HIGHEST, RateSweep
from pocketvision.training.recipe import Recipe
from pocketvision.training.recipe_file import recipe_of
from pocketvision.training.setting_values import Given
from pocketvision.workflows.tune import tune_batch, tune_lr


def test_where_the_loss_falls_fastest_is_suggested() -> None:
    rates = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    assert (
        RateSweep(1, rates, (2.0, 1.9, 1.4, 0.5, 0.4, 3.0)).suggested == 1e-3
    )  # falls by 1.4 over the two decades around it
    assert RateSweep(1, rates, (2.0, 2.1, 2.2, 2.5, 3.0, 9.0)).suggested is None


@pytest.fixture(scope="module")
def recipe(small_network: dict[str, str]) -> Recipe:
    """From a random start."""
    values = {"model.name": small_network["model"], "model.weights": "none", "batch": 8, "data.size": 32}
    return recipe_of(None, [Given(path, value, path) for path, value in values.items()])


def test_the_command_finds_a_rate_and_draws_its_curve(
    photos: Path, small_network: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot, told = tmp_path / "rates.png", tmp_path / "rates.json"
    network = {"model.name": small_network["model"], "model.weights": "none", "batch": "8", "data.size": "32"}
    settings = [word for path, value in network.items() for word in ("--set", f"{path}={value}")]
    with pytest.raises(SystemExit) as stopped:
        main(["tune", "lr", str(photos), *settings, "--plot", str(plot), "--json", str(told)])
    assert stopped.value.code == 0
    found = json.loads(told.read_text(encoding="utf-8"))
    assert found["phase"] == 1 and len(found["rates"]) == len(found["losses"])
    assert found["rates"] == sorted(found["rates"])
    assert 1e-6 < found["suggested"] < HIGHEST
    assert min(found["losses"]) < found["losses"][0]
    assert f"--set phases.1.lr={found['suggested']:.2g}" in " ".join(capsys.readouterr().out.split())
    with Image.open(plot) as image:
        assert image.format == "PNG"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["rates.json", "rates.png"]


def test_later_phases_begin_where_earlier_ones_end_and_what_can_not_be_swept_is_refused(
    photos: Path, small_network: dict[str, str]
) -> None:
    values = {**small_network, "batch": 8, "size": 32}
    values = {
        {"model": "model.name", "weights": "model.weights", "size": "data.size"}.get(k, k): v for k, v in values.items()
    }
    recipe = recipe_of(None, [Given(path, value, path) for path, value in values.items()])
    found = tune_lr(photos, recipe, steps=20)
    assert found.phase == 2 and found.losses[0] < 0.7  # a head that knows nothing has log 2 and more
    with pytest.raises(UsageError, match="Phase 1 is solved in closed form and has no learning rate"):
        tune_lr(photos, recipe, phase=1)
    with pytest.raises(UsageError, match="--phase is 7; the recipe has the phases 1, 2"):
        tune_lr(photos, recipe, phase=7)
    with pytest.raises(UsageError, match="--steps is 5; expected at least 20"):
        tune_lr(photos, recipe, steps=5)


def test_the_largest_batch_within_a_limit_and_the_fastest(
    photos: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def step(network: Network, settings: object, **_: object) -> tuple[float, float]:
        del network
        asked.append(settings.batch)  # type: ignore[attr-defined]
        return 1.0 + 0.01 * asked[-1] ** 2, 0.0

    monkeypatch.setattr(batch_finder, "seconds_of_step", step)
    monkeypatch.setattr(batch_finder, "peak_memory", lambda: 500.0 + 10 * asked[-1])
    found = tune_batch(photos, recipe, memory=0.7)
    assert asked == [2, 4, 8, 16]  # 32 would take 820 MB
    assert (found.largest, found.fastest) == (16, 8)
    with pytest.raises(UsageError, match=r"A step of two images takes more than 0\.4 GB"):
        tune_batch(photos, recipe, memory=0.4)
    with pytest.raises(UsageError, match="--memory is 0; expected gigabytes"):
        tune_batch(photos, recipe, memory=0)


def test_a_step_that_is_measured_leaves_the_network_alone(recipe: Recipe, small_network: dict[str, str]) -> None:
    import torch

    from pocketvision.models.catalog import architecture, build

    network = build(architecture(small_network["model"]), num_classes=2)
    before = {name: values.clone() for name, values in network.state_dict().items()}
    (settings,) = recipe.resolved(48, closed_form=True).phase_settings()[-1:]
    found = batches_within(
        network, settings, from_scratch=True, precision=torch.float32, size=(32, 32), limit=1e6, most=4
    )
    assert [each.images for each in found.tried] == [2, 4]
    assert all(each.memory > 0 and each.images_per_second > 0 for each in found.tried)
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
