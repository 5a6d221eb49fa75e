"""The number format that is fastest by the clock is taken where its loss agrees, and measured once."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from plain_backbone import PLAIN

from pocketvision.training import measured_precision as module
from pocketvision.training.measured_precision import measured_precision, precision_of
from pocketvision.training.recipe import ModelSettings, Recipe


class Clock:
    """Steps in the formats' order take these seconds, again and again."""

    def __init__(self, *seconds: float) -> None:
        self.seconds, self.now, self.calls = seconds, 0.0, 0

    def __call__(self) -> float:
        if self.calls % 2:
            self.now += self.seconds[self.calls // 2 % len(self.seconds)]
        self.calls += 1
        return self.now


@pytest.mark.parametrize(
    ("seconds", "fastest"),
    [
        ((1.0, 0.5, 0.6), "bfloat16"),
        ((0.5, 1.0, 0.49), "float32"),  # 2 % is the clock's chance
        ((1.0, 0.5, 0.4), "onednn_bfloat16"),
    ],
)
def test_the_fastest_is_taken_and_kept(seconds: tuple[float, ...], fastest: str, tmp_path: Path) -> None:
    random = torch.get_rng_state()
    clock = Clock(*seconds)
    found, rates = measured_precision(PLAIN, 32, 8, folder=tmp_path, clock=clock)
    assert found == fastest
    assert rates == pytest.approx({name: 8 / each for name, each in zip(module.candidates(), seconds, strict=True)})
    assert torch.equal(torch.get_rng_state(), random)
    calls = clock.calls
    assert measured_precision(PLAIN, 32, 8, folder=tmp_path, clock=clock) == (found, rates) and clock.calls == calls
    (kept,) = tmp_path.iterdir()
    assert json.loads(kept.read_text()) == rates
    kept.write_text("{")  # damaged: measured anew
    assert measured_precision(PLAIN, 32, 8, folder=tmp_path, clock=clock)[0] == fastest and clock.calls > calls


def test_a_format_whose_loss_does_not_agree_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_step", lambda *given: 1.0 if given[-1] == "float32" else 1.1)
    assert measured_precision(PLAIN, 32, 8, folder=tmp_path, clock=Clock(1.0, 0.5, 0.4)) == (
        "float32",
        {"float32": 8.0},
    )


def test_a_run_takes_what_its_recipe_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(model=ModelSettings("small_cnn", weights="none"))
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(module, "measured_precision", lambda *given: (["bfloat16", asked.append(given)]))  # type: ignore[func-returns-value]
    assert [precision_of(replace(recipe, precision=name)) for name in ("auto", "float32", "bfloat16")] == [
        "float32",
        "float32",
        "bfloat16",
    ]
    assert asked == [] and precision_of(replace(recipe, precision="measured", batch=128)) == "bfloat16"
    assert [(rows.name, size, batch) for rows, size, batch in asked] == [("small_cnn", 32, 128)]  # type: ignore[attr-defined]
