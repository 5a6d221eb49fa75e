"""A training on pictures that show the same things: split by likely groups, said, and told again by a run that goes on."""

import csv
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from bursts import features_of_pixels, write_bursts
from golden_pictures import SMALL_RUN

import pocketvision
from pocketvision.progress import EpochEnded, Event
from pocketvision.training import grouping
from pocketvision.workflows.training_run import TrainResult

SHORT = {**SMALL_RUN, "epochs2": 1, "batch": 16}


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainResult, dict[str, Any]]:
    """A run that was interrupted after its first epoch, and its near-twins at that time."""
    folder = tmp_path_factory.mktemp("bursts")
    (folder / "data").mkdir()

    def interrupt(event: Event) -> None:
        if isinstance(event, EpochEnded):
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grouping, "frozen_features", features_of_pixels)
        result = pocketvision.train(write_bursts(folder / "data"), out=folder / "run", on_event=interrupt, **SHORT)
    return result, near_twins(result.run)


def near_twins(run: Path) -> dict[str, Any]:
    return json.loads((run / "metrics.json").read_text(encoding="utf-8"))["near_twins"]  # type: ignore[no-any-return]


def test_no_likely_group_is_parted_and_the_run_says_so(grouped: tuple[TrainResult, dict[str, Any]]) -> None:
    result, twins = grouped
    splits = defaultdict(set)
    with (result.run / "split.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            splits[row["likely_group"] or row["path"]].add(row["split"])
    assert all(len(each) == 1 for each in splits.values())
    assert twins["groups_kept_together"] > 10
    assert (twins["with_twin"], twins["rest"]) == (0, twins["all"])
    (note,) = [note for note in result.notes if "likely belong to" in note]
    assert "The split keeps them together" in note
    page = result.report.read_text(encoding="utf-8")
    assert f"The split kept {twins['groups_kept_together']} likely groups together" in page
    assert re.search(r"0 of \d+ validation images have a picture of the same likely group in training", page)


@pytest.mark.slow
def test_a_run_that_goes_on_has_the_same_figures_and_looks_no_more(
    grouped: tuple[TrainResult, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    result, before = grouped
    monkeypatch.setattr(grouping, "frozen_features", None)
    resumed = pocketvision.train(resume=result.run)
    after = near_twins(resumed.run)
    assert not resumed.interrupted
    assert {name: after[name] for name in ("images", "with_twin", "groups_kept_together")} == {
        name: before[name] for name in ("images", "with_twin", "groups_kept_together")
    }
    (validation,) = resumed.evaluations
    assert after["all"]["value"] == validation.first.metrics.headline.value
