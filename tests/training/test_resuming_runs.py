"""What a run that goes on may change, what it says after an error, and what it makes of data that was changed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pocketvision.data.samples import Samples
from pocketvision.data.splits import write_split_csv
from pocketvision.errors import TrainingError, UsageError
from pocketvision.tasks.classification.truth import class_truth
from pocketvision.training.recipe import Recipe
from pocketvision.training.recorded_split import RecordedSplit
from pocketvision.training.resuming import resumed, telling_how_to_go_on
from pocketvision.training.run_folder import RunFolder, RunSettings
from pocketvision.training.setting_values import given_settings

NAMES = ("cat", "dog")


def hashes(*contents: str) -> NDArray[np.void]:
    return np.array([each.encode().ljust(16, b".") for each in contents], dtype="V16")


def samples_of(root: Path, paths: str, labels: list[int]) -> Samples:
    return Samples(root, [f"{each}.png" for each in paths], class_truth(np.array(labels, np.int32), NAMES))


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """Of the images a to d; c and d validate."""
    run = RunFolder(tmp_path / "run")
    run.folder.mkdir()
    samples = samples_of(tmp_path / "data", "abcd", [0, 1, 0, 1]).with_splits(np.array([0, 0, 1, 1], np.int8))
    write_split_csv(run.split, samples, hashes(*"abcd"), np.array([-1, 0, -1, 1]))
    RunSettings(
        str(tmp_path / "data"), {}, None, Recipe(batch=32).resolved(100, closed_form=True), "", "started"
    ).write(run)
    return run


def recorded(run: RunFolder, *, forced: bool = False) -> RecordedSplit:
    found = RecordedSplit.read(run, forced=forced)
    assert found is not None
    return found


def test_the_same_images_are_known_in_any_order(run: RunFolder, tmp_path: Path) -> None:
    moved = samples_of(tmp_path / "elsewhere", "1234", [1, 0, 1, 0])
    order, rows = recorded(run).in_order(moved, hashes(*"dcba"))
    assert order.tolist() == [3, 2, 1, 0] and rows.tolist() == [0, 1, 2, 3]


def test_a_changed_picture_is_refused_by_its_name(run: RunFolder, tmp_path: Path) -> None:
    data = samples_of(tmp_path / "data", "abcd", [0, 1, 0, 1])
    with pytest.raises(
        UsageError, match=r"1 image gone or changed \(.*b\.png\); 1 image new or changed \(b\.png\).*--force"
    ):
        recorded(run).in_order(data, hashes("a", "B", "c", "d"))
    relabelled = samples_of(tmp_path / "data", "abcd", [0, 1, 1, 1])
    with pytest.raises(UsageError, match=r"gone or changed \(.*c\.png\)"):
        recorded(run).in_order(relabelled, hashes(*"abcd"))


def test_by_force_it_goes_on_with_what_there_is(run: RunFolder, tmp_path: Path) -> None:
    """a was changed, b is gone, e is new."""
    said: list[str] = []
    data = samples_of(tmp_path / "data", "acde", [0, 0, 1, 1])
    order, rows = recorded(run, forced=True).in_order(data, hashes("A", "c", "d", "e"), said.append)
    assert order.tolist() == [0, 1, 2] and rows.tolist() == [0, 2, 3]
    assert said[0].startswith("Other data than the run began with, by --force: 2 images gone or changed (")
    assert said[0].endswith("1 left out, and 1 new ones not learned from.")


def test_other_truth_than_classes_is_refused_by_the_picture_s_name(run: RunFolder, tmp_path: Path) -> None:
    samples = samples_of(tmp_path / "data", "ab", [0, 1])
    record = replace(recorded(run), content=tuple(each.tobytes() for each in hashes("a", "b")), labels=("cat", "dog"))
    record = replace(record, splits=(0, 1), paths=("a.png", "b.png"), said=("0" * 16, "1" * 16), likely=None)
    with pytest.raises(UsageError, match=r"2 images of which something else is said now \(a\.png, b\.png\)"):
        record.in_order(samples, hashes("a", "b"))
    assert replace(record, forced=True).in_order(samples, hashes("a", "b"))[0].tolist() == [0, 1]


def test_epochs_rates_and_batch_may_change_and_the_rest_may_not(run: RunFolder) -> None:
    given = ["phases.2.epochs=99", "phases.2.lr=1e-4", "batch=16", "data.workers=1", "checkpoints.seconds=5"]
    found = resumed(run, given_settings(given), None, None)
    recipe = found.settings.recipe
    assert (recipe.phases[1].epochs, recipe.phases[1].lr, recipe.batch) == (99, 1e-4, 16)
    assert found.more and not found.is_done and not found.moved
    assert not resumed(run, given_settings(["phases.*.epochs=1"]), None, None).more
    assert resumed(run, [], "other", None).moved
    with pytest.raises(
        UsageError, match=r"settings come from the run; epochs and lr .* not --set seed, --set model\.dropout"
    ):
        resumed(run, given_settings(["seed=1", "model.dropout=0.1", "batch=4"]), None, None)
    with pytest.raises(UsageError, match="no phase is added"):
        resumed(run, given_settings(["phases.3.epochs=4"]), None, None)


def test_a_run_that_was_killed_before_it_began_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no run\.json.*killed in its first second can be removed: train anew"):
        resumed(RunFolder(tmp_path), [], None, None)


def test_an_error_of_a_training_says_how_to_go_on(run: RunFolder) -> None:
    with (
        pytest.raises(TrainingError, match=r"The disk\. What was learned .* pocketvision train --resume .*run$"),
        telling_how_to_go_on(run),
    ):
        raise TrainingError("The disk.")
